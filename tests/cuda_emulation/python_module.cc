// The part of fastrnn._core that runs on a GPU, over the emulation: the same bindings and host code, with pretended
// devices whose memory is the heap; the kernels of the third are of a build for compute_80 alone.
// tests/support/cuda/emulated.py compiles it; it is never installed.
#include <pybind11/stl.h>

#include <map>
#include <mutex>
#include <set>

#include "emulated_runtime.h"
#include "python/bindings.h"

namespace fastrnn {

namespace cuda {

KernelList rnn_kernels();
KernelList lstm_kernels();
KernelList gru_after_kernels();
KernelList gru_before_kernels();
KernelList gru_output_kernels();
KernelList step_kernels();

std::vector<KernelList> compiled_kernels() {
  return {rnn_kernels(),        lstm_kernels(),       gru_after_kernels(),
          gru_before_kernels(), gru_output_kernels(), step_kernels()};
}

namespace {

constexpr const char* kModel = "H100";
constexpr int kOldImage = 2;  // the device with kernels for compute_80

struct Event {
  std::string what;
  int ordinal;
  std::uintptr_t stream;
  std::uintptr_t detail;  // follow, follow_mark: the other stream; launch: the tier; else bytes
};

/// What has happened, and which memory is on a device.
struct Record {
  std::mutex mutex;
  std::vector<Event> events;
  std::set<void*> live;
  std::map<std::uintptr_t, std::pair<std::size_t, int>> foreign;  // begin: bytes, ordinal
  int lose_blocks = 0;

  void add(Event event) {
    const std::lock_guard<std::mutex> lock(mutex);
    events.push_back(std::move(event));
  }
};
Record& record() {
  static Record it;
  return it;
}

struct StreamMark final : Mark {
  std::uintptr_t stream;
  explicit StreamMark(std::uintptr_t stream) : stream(stream) {}
};

class RecordedRuntime final : public EmulatedRuntime {
 public:
  RecordedRuntime(int ordinal, void* stream)
      : EmulatedRuntime(local_device(ordinal)), ordinal_(ordinal), stream_(reinterpret_cast<std::uintptr_t>(stream)) {
    lose_blocks = record().lose_blocks;
  }

  void* allocate(std::size_t bytes) override {
    void* memory = EmulatedRuntime::allocate(bytes);
    add("allocate", bytes);
    record().live.insert(memory);
    return memory;
  }
  void release(void* memory) noexcept override {
    add("release", 0);
    record().live.erase(memory);
    EmulatedRuntime::release(memory);
  }
  void copy_in(void* device, const void* host, std::size_t bytes) override {
    add("copy_in", bytes);
    EmulatedRuntime::copy_in(device, host, bytes);
  }
  void copy_out(void* host, const void* device, std::size_t bytes) override {
    add("copy_out", bytes);
    EmulatedRuntime::copy_out(host, device, bytes);
  }
  void launch(const void* kernel, const LaunchShape& shape, void* params) override {
    EmulatedRuntime::launch(kernel, shape, params);
    add("launch", std::uintptr_t(last_tier));
  }
  void wait() override { add("wait", 0); }
  void follow(void* other) override { add("follow", reinterpret_cast<std::uintptr_t>(other)); }
  std::unique_ptr<Mark> mark() override {
    add("mark", 0);
    return std::make_unique<StreamMark>(stream_);
  }
  void follow(const Mark& mark) override { add("follow_mark", static_cast<const StreamMark&>(mark).stream); }

 private:
  void add(const char* what, std::uintptr_t detail) { record().add({what, ordinal_, stream_, detail}); }

  int ordinal_;
  std::uintptr_t stream_;
};

}  // namespace

std::unique_ptr<Runtime> open_runtime(int ordinal, void* stream) {
  return std::make_unique<RecordedRuntime>(ordinal, stream);
}

int image_of(int ordinal) { return ordinal == kOldImage ? 80 : 90; }

int ordinal_of(const void* memory) {
  const auto at = reinterpret_cast<std::uintptr_t>(memory);
  for (const auto& [begin, extent] : record().foreign)
    if (begin <= at && at < begin + extent.first) return extent.second;
  throw CudaError(0, "expected memory of a CUDA device, got memory of the host");
}

}  // namespace cuda

CudaStatus cuda_status() {
  CudaStatus status;
  status.built = true;
  status.version = 13000;
  const CudaDevice device = {std::string("pretended ") + cuda::kModel, 9, 0, 132, 227 << 10, std::size_t(80) << 30};
  status.devices = {device, device, device};
  return status;
}

std::vector<std::string> cuda_kernels() { return {}; }

}  // namespace fastrnn

PYBIND11_MODULE(emulated_core, module, pybind11::mod_gil_not_used()) {
  namespace py = pybind11;
  using fastrnn::cuda::record;
  fastrnn::python::bind_cuda(module);
  fastrnn::python::bind_device_array(module);
  module.def("events", [] {
    py::list list;
    for (const auto& e : record().events) list.append(py::make_tuple(e.what, e.ordinal, e.stream, e.detail));
    record().events.clear();
    return list;
  });
  module.def("live", [] { return record().live.size(); });
  module.def("own",
             [](std::uintptr_t begin, std::size_t bytes, int ordinal) { record().foreign[begin] = {bytes, ordinal}; });
  module.def("disown_all", [] { record().foreign.clear(); });
  module.def("lose_blocks", [](int count) { record().lose_blocks = count; });
}
