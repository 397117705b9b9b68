// Work that is recorded into a CUDA graph, and the graphs that are kept for the next call of the same kind.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>

#include "cuda/runtime/check.h"

namespace fastrnn::cuda {

/// A graph, ready to be launched, and the stream on which it is recorded: one of its own, since the legacy default
/// stream cannot be recorded.
class Recording {
 public:
  Recording() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
  /// A graph that is running is freed by the driver when it has run.
  ~Recording() {
    if (executable_ != nullptr) cudaGraphExecDestroy(executable_);
    cudaStreamDestroy(stream_);
  }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  cudaStream_t stream() const { return stream_; }

  /// Records what `work` enqueues on stream(). A graph from before is given the new arguments, which leaves launches of
  /// it alone that have not run yet; where it differs in more than arguments, another takes its place.
  template <class Work>
  void record(const Work& work) {
    Graph graph;
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    try {
      work();
    } catch (...) {  // the stream must not stay in this mode
      cudaStreamEndCapture(stream_, &graph.handle);
      cudaGetLastError();
      throw;
    }
    check(cudaStreamEndCapture(stream_, &graph.handle), "cudaStreamEndCapture");
    cudaGraphExecUpdateResultInfo result{};
    if (executable_ != nullptr && cudaGraphExecUpdate(executable_, graph.handle, &result) != cudaSuccess) {
      cudaGetLastError();
      cudaGraphExecDestroy(executable_);
      executable_ = nullptr;
    }
    if (executable_ == nullptr) check(cudaGraphInstantiate(&executable_, graph.handle, 0), "cudaGraphInstantiate");
  }
  void launch(cudaStream_t stream) const { check(cudaGraphLaunch(executable_, stream), "cudaGraphLaunch"); }

 private:
  struct Graph {
    cudaGraph_t handle = nullptr;
    Graph() = default;
    ~Graph() {
      if (handle != nullptr) cudaGraphDestroy(handle);
    }
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;
  };

  cudaStream_t stream_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
};

/// Recordings by what they are of, their device and the stream that runs them: launches of one graph wait for each
/// other, whatever stream they are on.
class Recordings {
 public:
  using Key = std::tuple<std::string, int, cudaStream_t>;

  /// That of an earlier call, which no other call has meanwhile, or a new one.
  std::unique_ptr<Recording> take(const Key& key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto found = kept_.extract(key);
    return found.empty() ? std::make_unique<Recording>() : std::move(found.mapped());
  }
  void keep(const Key& key, std::unique_ptr<Recording> recording) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (kept_.size() >= kMost) kept_.clear();
    kept_[key] = std::move(recording);
  }

 private:
  static constexpr std::size_t kMost = 64;
  std::mutex mutex_;
  std::map<Key, std::unique_ptr<Recording>> kept_;
};

}  // namespace fastrnn::cuda
