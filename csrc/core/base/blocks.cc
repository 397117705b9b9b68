#include "core/base/blocks.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <new>
#include <utility>

#include "fastrnn/buffers.hpp"

// GCC says it by a macro, clang by a feature.
#if defined(__SANITIZE_ADDRESS__)
#define FASTRNN_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#define FASTRNN_ADDRESS_SANITIZER __has_feature(address_sanitizer)
#else
#define FASTRNN_ADDRESS_SANITIZER 0
#endif

namespace fastrnn {

namespace {

std::size_t alignment_of(std::size_t bytes) { return bytes >= kHugePage ? kHugePage : kAlignment; }

/// The size of the block for so many bytes: in eighths of a power of two, so that batches of nearly one size share it;
/// whole huge pages where that takes no more than an eighth. A model of 12 MB whose layers had 4 MB each, in ordinary
/// pages, took up to a quarter longer for a step, by the page tables' entries that it read.
std::size_t block_size(std::size_t bytes) {
  std::size_t step = kAlignment;
  while (16 * step <= bytes) step *= 2;
  const std::size_t size = (bytes + step - 1) / step * step;
  const std::size_t whole = (size + kHugePage - 1) / kHugePage * kHugePage;
  return whole - size <= size / 8 ? whole : size;
}

}  // namespace

void* allocate_aligned(std::size_t bytes) {
  const std::size_t alignment = alignment_of(bytes);
  void* data = ::operator new(bytes, std::align_val_t(alignment));
#if defined(__linux__)
  // Advice only: where the system has no huge pages, ordinary ones serve.
  if (alignment == kHugePage) (void)madvise(data, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  return data;
}

void free_aligned(void* data, std::size_t bytes) noexcept {
  ::operator delete(data, std::align_val_t(alignment_of(bytes)));
}

void* Blocks::take(std::size_t bytes) {
  const std::size_t size = block_size(bytes);
  used_bytes_ += size;
  if (const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock); lock.owns_lock()) {
    most_used_ = std::max<std::size_t>(most_used_, used_bytes_);
    const auto found =
        std::find_if(free_.rbegin(), free_.rend(), [&](const Block& block) { return block.size == size; });
    if (found != free_.rend()) {
      void* const data = found->data;
      free_.erase(std::next(found).base());
      free_bytes_ -= size;
      return data;
    }
  }
  try {
    return allocate_aligned(size);
  } catch (const std::bad_alloc&) {
    used_bytes_ -= size;
    throw;
  }
}

void Blocks::give(void* data, std::size_t bytes) noexcept {
  const std::size_t size = block_size(bytes);
  used_bytes_ -= size;
  const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
  if (lock.owns_lock() && !closed_) try {
      free_.push_back({size, data});
      free_bytes_ += size;
      // Twice the most that was in use at once: a loop needs its blocks of different sizes at different times.
      while (free_bytes_ > std::min(2 * most_used_, most_kept_)) drop_oldest();
      return;
    } catch (const std::bad_alloc&) {
    }
  free_aligned(data, size);
}

void Blocks::drop_oldest() noexcept {
  free_aligned(free_.front().data, free_.front().size);
  free_bytes_ -= free_.front().size;
  free_.erase(free_.begin());
}

void Blocks::close() noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  closed_ = true;
  while (!free_.empty()) drop_oldest();
}

namespace {

/// The pool of the process. It is never destroyed: what other libraries destroy at exit may still give blocks back. So
/// nobody has to own it, and pointers to it are copied without counting. Under AddressSanitizer there is none, as it
/// does not see a use of memory that a pool keeps.
std::shared_ptr<Blocks> process_blocks() noexcept {
#if FASTRNN_ADDRESS_SANITIZER
  return nullptr;
#else
  alignas(Blocks) static std::byte memory[sizeof(Blocks)];
  static Blocks* const blocks = new (memory) Blocks(kMostKept);
  return {std::shared_ptr<void>(), blocks};
#endif
}

}  // namespace

std::shared_ptr<Blocks>& current_blocks() noexcept {
  thread_local std::shared_ptr<Blocks> current = process_blocks();
  return current;
}

BufferPool BufferPool::make() {
  BufferPool pool;
  pool.blocks_ = std::make_shared<Blocks>();
  return pool;
}

void BufferPool::close() noexcept {
  if (blocks_ != nullptr) blocks_->close();
}

std::shared_ptr<Blocks> BufferPool::blocks_for(std::size_t bytes) const noexcept {
  if (bytes < kSmallestPooled) return nullptr;
  return blocks_ != nullptr ? blocks_ : process_blocks();
}

void* BufferPool::take(std::size_t bytes) {
  const std::shared_ptr<Blocks> blocks = blocks_for(bytes);
  return blocks != nullptr ? blocks->take(bytes) : allocate_aligned(bytes);
}

void BufferPool::give(void* data, std::size_t bytes) noexcept {
  const std::shared_ptr<Blocks> blocks = blocks_for(bytes);
  if (blocks != nullptr)
    blocks->give(data, bytes);
  else
    free_aligned(data, bytes);
}

BufferPool use_buffers(BufferPool pool) noexcept {
  if (pool.blocks_ == nullptr) pool.blocks_ = process_blocks();
  std::swap(current_blocks(), pool.blocks_);
  if (pool.blocks_ == process_blocks()) pool.blocks_ = nullptr;
  return pool;
}

}  // namespace fastrnn
