// A device of CUDA beneath the Runtime: which one is current, its memory pool, and what a kernel may have on it.
#pragma once

#include <map>
#include <mutex>

#include "cuda/runtime/check.h"
#include "cuda/shared/runtime.h"

namespace fastrnn::cuda {

/// Makes a device the thread's current one, and in the end the one before it again, if that was another and has a
/// context: to make a device current creates its context, which takes hundreds of megabytes there.
class Current {
 public:
  explicit Current(int ordinal);
  ~Current();
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  int restored_ = -1;  // -1: none
};

/// The library's own pool of a device, whose memory stays with the process: that of CUDA's default pool goes back to
/// the driver whenever a stream is waited for, and is asked for again by the next call. Never destroyed.
cudaMemPool_t memory_pool(int ordinal);

/// Lets a kernel have all the shared memory of a block, and clusters of more than eight blocks, where a launch needs
/// either: once for each kernel and device, since threads that launch it at the same time with other sizes would undo
/// each other's setting.
void allow(const void* kernel, int ordinal, const LaunchShape& shape);

/// Values that take long to get, by key; safe to share between threads.
template <class Key, class Value>
class Remembered {
 public:
  template <class Get>
  Value get(const Key& key, const Get& get) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto known = values_.find(key);
    if (known != values_.end()) return known->second;
    return values_.emplace(key, get()).first->second;
  }

 private:
  std::mutex mutex_;
  std::map<Key, Value> values_;
};

}  // namespace fastrnn::cuda
