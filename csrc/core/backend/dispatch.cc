#include "core/backend/dispatch.h"

#include "core/backend/options.h"
#include "core/base/choice.h"

#include <atomic>
#include <cstdlib>

#if defined(FASTRNN_NEON)
#include <sys/auxv.h>
#endif

#include "fastrnn/fastrnn.hpp"

namespace fastrnn {

namespace portable {
extern const Backend backend;
}
#if defined(FASTRNN_X86)
namespace avx2 {
extern const Backend backend;
}
#endif
#if defined(FASTRNN_AVX512)
namespace avx512 {
extern const Backend backend;
}
namespace avx512_vnni {
extern const ForwardKernels<float> int8;
}
namespace avx512_bf16 {
extern const ForwardKernels<float> bfloat16;
}
#endif
#if defined(FASTRNN_NEON)
namespace neon {
extern const Backend backend;
}
namespace neon_dotprod {
extern const ForwardKernels<float> int8;
}
namespace neon_bf16 {
extern const ForwardKernels<float> bfloat16;
}
#endif

namespace {

#if defined(FASTRNN_NEON)
// HWCAP_ASIMDDP and HWCAP2_BF16 of Linux, whose headers may be older.
constexpr unsigned long kHasDotprod = 1 << 20, kHasBf16 = 1 << 14;
#endif

struct Candidate {
  const Backend* backend;
  bool available;
};

#if defined(FASTRNN_AVX512) || defined(FASTRNN_NEON)
/// A copy of `base` with another name and, in one precision, other kernels.
Backend extend(const Backend& base, const char* name, Precision precision, const ForwardKernels<float>& kernels) {
  Backend backend = base;
  backend.name = name;
  backend.f32.forward[int(precision)] = &kernels;
  return backend;
}
#endif

/// Slowest first. A new instruction set is one more row.
const std::vector<Candidate>& candidates() {
  static const std::vector<Candidate> list = [] {
    std::vector<Candidate> all = {{&portable::backend, true}};
#if defined(FASTRNN_X86)
    __builtin_cpu_init();  // also asks the operating system whether it saves the wide registers
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    all.push_back({&avx2::backend, has_avx2});
#endif
#if defined(FASTRNN_AVX512)
    const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    const bool has_vnni = has_avx512 && __builtin_cpu_supports("avx512vnni");
    const bool has_bf16 = has_vnni && __builtin_cpu_supports("avx512bf16");
    static const Backend vnni = extend(avx512::backend, "avx512_vnni", Precision::int8, avx512_vnni::int8);
    static const Backend bf16 = extend(vnni, "avx512_bf16", Precision::bfloat16, avx512_bf16::bfloat16);
    all.push_back({&avx512::backend, has_avx512});
    all.push_back({&vnni, has_vnni});
    all.push_back({&bf16, has_bf16});
#endif
#if defined(FASTRNN_NEON)
    const bool has_dotprod = getauxval(AT_HWCAP) & kHasDotprod;
    const bool has_bf16 = has_dotprod && (getauxval(AT_HWCAP2) & kHasBf16);
    static const Backend dotprod = extend(neon::backend, "neon_dotprod", Precision::int8, neon_dotprod::int8);
    static const Backend bf16 = extend(dotprod, "neon_bf16", Precision::bfloat16, neon_bf16::bfloat16);
    all.push_back({&neon::backend, true});
    all.push_back({&dotprod, has_dotprod});
    all.push_back({&bf16, has_bf16});
#endif
    return all;
  }();
  return list;
}

const Backend* find(const std::string& argument, const std::string& name) {
  const auto name_of = [](const Candidate& candidate) { return candidate.backend->name; };
  const Candidate& found = candidates()[find_choice(argument, name, candidates(), name_of)];
  if (found.available) return found.backend;
  throw Error(argument + ": expected an instruction set that this CPU has, got '" + name + "'");
}

const Backend* initial() {
  const char* forced = std::getenv("FASTRNN_ISA");
  if (forced != nullptr && *forced != '\0') return find("FASTRNN_ISA", forced);
  const Backend* best = nullptr;
  for (const Candidate& candidate : candidates())
    if (candidate.available) best = candidate.backend;
  return best;
}

std::atomic<const Backend*>& chosen() {
  static std::atomic<const Backend*> backend{initial()};
  return backend;
}

}  // namespace

const Backend& current_backend() { return *chosen().load(std::memory_order_relaxed); }

const char* available_isa(std::size_t index) {
  for (const Candidate& candidate : candidates())
    if (candidate.available && index-- == 0) return candidate.backend->name;
  return nullptr;
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  while (const char* name = available_isa(names.size())) names.emplace_back(name);
  return names;
}

std::string current_isa() { return current_backend().name; }

void set_isa(const std::string& name) { chosen().store(find("isa", name), std::memory_order_relaxed); }

template <class T>
void activate(const ActivationOption& activation, const T* x, T* y, Index n, bool fast) {
  constexpr Index kPiece = kLookAfter / kPerElement / 64 * 64;  // whole vectors
  const cells::ActivationSpec spec = activation_spec(activation);
  const KernelTable<T>& kernels = current_backend().table<T>();
  for (Index first = 0; first < n; first += kPiece) {
    const Index count = std::min(kPiece, n - first);
    check_interrupted(count * kPerElement);
    kernels.activate(spec, fast, x + first, y + first, count);
  }
}
template void activate<float>(const ActivationOption&, const float*, float*, Index, bool);
template void activate<double>(const ActivationOption&, const double*, double*, Index, bool);

}  // namespace fastrnn
