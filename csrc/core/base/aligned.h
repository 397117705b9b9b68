// Memory for kernels: one allocation, aligned to cache lines, carved up by a layout that is written once.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "core/base/blocks.h"

namespace fastrnn {

/// Memory aligned to cache lines, out of the pool of the thread that makes it if there is one.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t bytes) : bytes_(bytes) {
    if (bytes == 0) return;
    if (bytes >= kSmallestPooled) blocks_ = current_blocks();
    data_ = blocks_ != nullptr ? blocks_->take(bytes) : allocate_aligned(bytes);
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)),
        blocks_(std::move(other.blocks_)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    std::swap(blocks_, other.blocks_);
    return *this;
  }
  ~AlignedBuffer() {
    if (data_ == nullptr) return;
    if (blocks_ != nullptr)
      blocks_->give(data_, bytes_);
    else
      free_aligned(data_, bytes_);
  }
  void* data() const noexcept { return data_; }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  std::shared_ptr<Blocks> blocks_;  // the pool that the memory came from
};

/// Hands out consecutive aligned pieces; over a null base it only measures.
class Arena {
 public:
  explicit Arena(void* base = nullptr) : base_(static_cast<char*>(base)) {}
  template <class T>
  void take(T*& pointer, std::ptrdiff_t count) {
    pointer = base_ != nullptr ? reinterpret_cast<T*>(base_ + used_) : nullptr;
    // T may be a pointer. NOLINTNEXTLINE(bugprone-sizeof-expression)
    used_ += (static_cast<std::size_t>(count) * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
  }
  std::size_t used() const noexcept { return used_; }

 private:
  char* base_;
  std::size_t used_ = 0;
};

/// Calls layout(arena) twice: to measure, then over memory of that size, which is returned.
template <class Layout>
AlignedBuffer allocate(Layout&& layout) {
  Arena measure;
  layout(measure);
  AlignedBuffer buffer(measure.used() + kAlignment);  // never empty: pointers of empty arrays stay valid
  Arena place(buffer.data());
  layout(place);
  return buffer;
}

}  // namespace fastrnn
