// The public functions over a Runtime; where the backend is not built in, the error that says so.
#include "fastrnn/cuda_layer.hpp"

#include <map>
#include <mutex>

#include "cuda/run/run_stack.h"

namespace fastrnn {

using namespace cuda;

struct CudaWeights::Data {
  CudaOptions where;
  Type type;
  std::unique_ptr<Runtime> runtime;
  std::unique_ptr<DeviceLayer> layer;
  mutable std::mutex mutex;
  mutable std::map<void*, std::unique_ptr<Mark>> uses;  // by stream: the end of the last work that reads these weights

  Data(const CudaOptions& where) : where(where), type(find_type(where.dtype)) {}

  /// Notes that work enqueued by `other` on `stream` may read these weights.
  void used(Runtime& other, void* stream) const {
    if (!layer->owns() || stream == where.stream) return;
    std::unique_ptr<Mark> mark = other.mark();
    if (mark == nullptr) return;  // recorded by the caller, who keeps the weights as long as the graph
    const std::lock_guard<std::mutex> lock(mutex);
    uses[stream] = std::move(mark);
  }
};

CudaWeights::CudaWeights([[maybe_unused]] const CellOptions& options,
                         [[maybe_unused]] const Parameters<float>& parameters, const CudaOptions& where,
                         [[maybe_unused]] bool on_device)
    : data_(new Data(where)) {
#if defined(FASTRNN_CUDA)
  local_device(where.ordinal);
  data_->runtime = open_runtime(where.ordinal, where.stream);
  data_->layer = std::make_unique<DeviceLayer>(*data_->runtime, options, parameters, on_device);
  if (!on_device) data_->runtime->wait();  // whatever stream a call is on
#else
  require_cuda_device(where.ordinal);
#endif
}

CudaWeights::~CudaWeights() {
  try {
    for (const auto& [stream, mark] : data_->uses) data_->runtime->follow(*mark);
  } catch (const CudaError&) {  // the driver is gone, and the memory with it
  }
}

const CellOptions& CudaWeights::options() const noexcept { return data_->layer->options(); }
const CudaOptions& CudaWeights::where() const noexcept { return data_->where; }
Index CudaWeights::inputs() const noexcept { return data_->layer->inputs(); }
Index CudaWeights::hidden() const noexcept { return data_->layer->hidden(); }
Index CudaWeights::outputs() const noexcept { return data_->layer->outputs(); }

namespace {

StackShape shape_of(const CudaStack& stack) {
  const StackShape shape = shape_of_stack(stack.weights, stack.directions, stack.merge, stack.dropout);
  const CudaOptions& first = stack.weights[0]->where();
  for (const auto& weights : stack.weights)
    if (weights->where().ordinal != first.ordinal || weights->where().dtype != first.dtype)
      throw Error("layers: expected all on cuda:" + std::to_string(first.ordinal) + " in " + first.dtype +
                  ", got one on cuda:" + std::to_string(weights->where().ordinal) + " in " + weights->where().dtype);
  return shape;
}

/// Tells the weights of a stack in the end, or after an error, that a stream has work which reads them.
class Use {
 public:
  Use(const CudaStack& stack, Runtime& runtime, void* stream) : stack_(stack), runtime_(runtime), stream_(stream) {}
  ~Use() {
    try {
      for (const auto& weights : stack_.weights) weights->data().used(runtime_, stream_);
    } catch (const CudaError&) {  // no work can be enqueued there, either
    }
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

 private:
  const CudaStack& stack_;
  Runtime& runtime_;
  void* const stream_;
};

/// A call with the runtime that it needs.
struct Call {
  std::unique_ptr<Runtime> runtime;
  std::unique_ptr<StackRun> run;

  Call([[maybe_unused]] const CudaStack& stack, [[maybe_unused]] const ForwardArguments<float>& arguments,
       const CudaRun& options, [[maybe_unused]] bool training) {
    shape_of(stack);
    DeviceStack layers{
        {}, stack.directions, stack.merge, stack.dropout, stack.weights[0]->data().type, find_tier(options.tier)};
    for (const auto& weights : stack.weights) layers.layers.push_back(weights->data().layer.get());
#if defined(FASTRNN_CUDA)
    const int ordinal = stack.weights[0]->where().ordinal;
    runtime = open_runtime(ordinal, options.stream);
    const Use use(stack, *runtime, options.stream);
    run = std::make_unique<StackRun>(*runtime, local_device(ordinal), layers, arguments, training, options.on_device);
#endif
  }
};

}  // namespace

Index output_width(const CudaStack& stack) { return shape_of(stack).merged; }

void forward_cuda(const CudaStack& stack, const ForwardArguments<float>& arguments, const CudaRun& run) {
  Call(stack, arguments, run, /*training=*/false);
}

struct CudaSaved::Data {
  const CudaStack stack;
  void* const stream;
  const Call call;
  std::mutex mutex;  // guards the runtime, which threads use in turns

  Data(const CudaStack& stack, const ForwardArguments<float>& arguments, const CudaRun& run)
      : stack(stack), stream(run.stream), call(stack, arguments, run, /*training=*/true) {}
};

CudaSaved::CudaSaved(const CudaStack& stack, const ForwardArguments<float>& arguments, const CudaRun& run)
    : data_(new Data(stack, arguments, run)) {}

CudaSaved::~CudaSaved() = default;

void CudaSaved::backward([[maybe_unused]] const StackBackwardArguments<float>& arguments) const {
#if defined(FASTRNN_CUDA)
  const std::lock_guard<std::mutex> lock(data_->mutex);
  const Use use(data_->stack, *data_->call.runtime, data_->stream);
  data_->call.run->backward(arguments);
#endif
}

void CudaSaved::backward(const BackwardArguments<float>& arguments) const {
  backward(StackBackwardArguments<float>{arguments.dy,
                                         arguments.dh_n,
                                         arguments.dc_n,
                                         arguments.dx,
                                         arguments.dh0,
                                         arguments.dc0,
                                         {arguments},
                                         arguments.threads});
}

}  // namespace fastrnn
