#include "emulated_runtime.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cuda/kernels/dense/norm_kernel.h"
#include "cuda/kernels/dense/product_kernel.h"
#include "cuda/kernels/dense/rows_kernel.h"
#include "cuda/kernels/graph/step_ends.h"
#include "cuda/shared/params.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace fastrnn::cuda {

const void* product_kernel() { return reinterpret_cast<const void*>(&multiply_matrices); }
const void* gather_kernel() { return reinterpret_cast<const void*>(&gather_operand); }
const void* sum_kernel() { return reinterpret_cast<const void*>(&sum_columns); }
const void* combine_kernel() { return reinterpret_cast<const void*>(&combine_elements); }
const void* fold_kernel() { return reinterpret_cast<const void*>(&fold_repeats); }
const void* packed_kernel() { return reinterpret_cast<const void*>(&copy_packed_rows); }
const void* begin_forward_kernel() { return reinterpret_cast<const void*>(&begin_forward); }
const void* end_forward_kernel() { return reinterpret_cast<const void*>(&end_forward); }
const void* normalise_kernel() { return reinterpret_cast<const void*>(&normalise); }
const void* normalise_back_kernel() { return reinterpret_cast<const void*>(&normalise_back); }
const void* begin_backward_kernel() { return reinterpret_cast<const void*>(&begin_backward); }
const void* end_backward_kernel() { return reinterpret_cast<const void*>(&end_backward); }

namespace {

template <class Matches>
const KernelEntry* look_up(Matches&& matches) {
  for (const KernelList& list : compiled_kernels())
    for (const KernelEntry* e = list.begin; e != list.end; ++e)
      if (matches(*e)) return e;
  return nullptr;
}

/// A fence on both sides of an array, wider than a few rows of most arrays: a row too many neither hits another array
/// nor goes unnoticed. A NaN in every type, and a signalling one in float32: whatever is computed from it has other
/// bits.
constexpr std::size_t kFence = 1 << 16;
constexpr std::uint32_t kFenceWord = 0x7fa57fa5;
/// Before the first fence, the size of the array: another runtime may give it back than the one it is from.
constexpr std::size_t kHead = 64;
static_assert(sizeof(std::size_t) <= kHead);

void forbid([[maybe_unused]] char* fence) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(fence, kFence);
#endif
}
void permit([[maybe_unused]] char* fence) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(fence, kFence);
#endif
}

/// A kernel with its parameters, as every thread of a launch calls it.
template <class Params>
std::function<void()> call_kernel(const void* kernel, void* params) {
  const auto function = reinterpret_cast<void (*)(Params)>(const_cast<void*>(kernel));
  return [function, params = *static_cast<Params*>(params)] { function(params); };
}

}  // namespace

const KernelEntry* find_kernel(Tier tier, cells::Kind kind, Type type, Pass pass) {
  if (pass == Pass::training) pass = Pass::inference;
  return look_up(
      [&](const KernelEntry& e) { return e.tier == tier && e.kind == kind && e.type == type && e.pass == pass; });
}

EmulatedRuntime::EmulatedRuntime(const DeviceSpec& spec) {
  device_.processors = spec.processors;
  device_.shared_per_block = std::size_t(spec.shared);
  device_.shared_per_processor = std::size_t(spec.shared) + 1024;
  device_.cluster = spec.image == 0 || spec.image >= kClusterImage ? spec.cluster : 1;
  emulation::set_device(device_);
}

void* EmulatedRuntime::allocate(std::size_t bytes) {
  char* const head = static_cast<char*>(std::malloc(kHead + bytes + 2 * kFence));
  std::memcpy(head, &bytes, sizeof bytes);
  char* const memory = head + kHead + kFence;
  std::memset(memory, 0xff, bytes);  // NaN, and no flag that anyone waits for
  for (char* fence : {memory - kFence, memory + bytes}) {
    for (std::size_t i = 0; i < kFence; i += sizeof kFenceWord) std::memcpy(fence + i, &kFenceWord, sizeof kFenceWord);
    forbid(fence);
  }
  live_.insert(memory);
  allocated += 1;
  return memory;
}
void EmulatedRuntime::release(void* memory) noexcept {
  char* const begin = static_cast<char*>(memory);
  char* const head = begin - kFence - kHead;
  std::size_t bytes = 0;
  std::memcpy(&bytes, head, sizeof bytes);
  for (char* fence : {begin - kFence, begin + bytes}) {
    permit(fence);
    for (std::size_t i = 0; i < kFence; i += sizeof kFenceWord) {
      if (std::memcmp(fence + i, &kFenceWord, sizeof kFenceWord) == 0) continue;
      std::fprintf(stderr, "FAILED: something was written %td bytes behind the beginning of an array of %zu\n",
                   fence + i - begin, bytes);
      std::abort();
    }
  }
  live_.erase(begin);
  std::free(head);
}

void EmulatedRuntime::copy_in(void* device, const void* host, std::size_t bytes) { std::memcpy(device, host, bytes); }
void EmulatedRuntime::copy_out(void* host, const void* device, std::size_t bytes) { std::memcpy(host, device, bytes); }
void EmulatedRuntime::clear(void* device, std::size_t bytes) { std::memset(device, 0, bytes); }

void EmulatedRuntime::multiply(const Product& product) { launch_product(*this, product); }

int EmulatedRuntime::resident_blocks(const void*, const LaunchShape& shape) {
  if (shape.shared > device_.shared_per_block) return 0;
  return lose_room ? 0 : device_.processors / shape.cluster * shape.cluster;
}

void EmulatedRuntime::launch(const void* kernel, const LaunchShape& shape, void* params) {
  emulation::Launch launch;
  launch.blocks = shape.blocks - (shape.cooperative ? lose_blocks : 0);
  launch.threads = shape.threads;
  launch.cluster = shape.cluster;
  launch.cooperative = shape.cooperative;
  launch.shared = shape.shared;
  auto* call = kernel == begin_forward_kernel()    ? &call_kernel<ForwardStep>
               : kernel == end_forward_kernel()    ? &call_kernel<ForwardEnd>
               : kernel == normalise_kernel()      ? &call_kernel<NormStep>
               : kernel == normalise_back_kernel() ? &call_kernel<NormBackStep>
               : kernel == begin_backward_kernel() ? &call_kernel<BackwardStep>
               : kernel == end_backward_kernel()   ? &call_kernel<BackwardEnd>
               : kernel == gather_kernel()         ? &call_kernel<GatherParams>
               : kernel == sum_kernel()            ? &call_kernel<SumParams>
               : kernel == combine_kernel()        ? &call_kernel<CombineParams>
               : kernel == fold_kernel()           ? &call_kernel<FoldParams>
               : kernel == packed_kernel()         ? &call_kernel<PackedParams>
                                                   : &call_kernel<Product>;
  if (const auto* entry = look_up([&](const KernelEntry& e) { return e.function == kernel; })) {
    last_tier = entry->tier;
    const bool backward = entry->pass == Pass::backward;
    if (entry->tier == Tier::graph) {
      call = backward ? &call_kernel<BackwardStep> : &call_kernel<ForwardStep>;
    } else {
      call = backward ? &call_kernel<BackwardParams> : &call_kernel<ForwardParams>;
    }
  }
  if (recording_)
    recorded_.emplace_back(launch, call(kernel, params));
  else
    emulation::run(launch, call(kernel, params));
}

void EmulatedRuntime::repeat(const std::string&, int times, const std::function<void()>& work) {
  work();
  if (times == 1) return;
  recording_ = true;
  work();
  recording_ = false;
  for (int i = 1; i < times; ++i)
    for (const auto& [launch, thread] : recorded_) emulation::run(launch, thread);
  recorded_.clear();
}

}  // namespace fastrnn::cuda
