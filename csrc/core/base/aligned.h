// Memory for kernels: one allocation, aligned to cache lines, carved up by a layout that is written once.
#pragma once

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstddef>
#include <new>
#include <utility>

namespace fastrnn {

constexpr std::size_t kAlignment = 64;
/// Buffers of several huge pages ask for them: a step walks rows that lie a page or more apart, and a fresh buffer is
/// faulted in two megabytes at a time.
constexpr std::size_t kHugePage = std::size_t(2) << 20;

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t bytes) : bytes_(bytes) {
    if (bytes == 0) return;
    data_ = ::operator new(bytes, std::align_val_t(alignment()));
#if defined(__linux__)
    // Advice only: where the system has no huge pages, ordinary ones serve.
    if (alignment() == kHugePage) (void)madvise(data_, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~AlignedBuffer() {
    if (data_ != nullptr) ::operator delete(data_, std::align_val_t(alignment()));
  }
  void* data() const noexcept { return data_; }
  std::size_t bytes() const noexcept { return bytes_; }

 private:
  std::size_t alignment() const noexcept { return bytes_ >= 2 * kHugePage ? kHugePage : kAlignment; }

  void* data_ = nullptr;
  std::size_t bytes_ = 0;
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
