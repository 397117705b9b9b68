// Aligned memory from the system, and the blocks behind BufferPool.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace fastrnn {

constexpr std::size_t kAlignment = 64;
/// Blocks of several huge pages ask for them: a step walks rows that lie a page or more apart, and a fresh block is
/// faulted in two megabytes at a time.
constexpr std::size_t kHugePage = std::size_t(2) << 20;
/// Smaller blocks come from malloc: it is quick below a page.
constexpr std::size_t kSmallestPooled = 4096;
/// What the pool of the process keeps at most: caches and workspaces of a training step of some 200 MFLOP. Without it
/// the system clears their pages anew in every call, 10 to 13% of a training step of 128 or 256 units.
constexpr std::size_t kMostKept = std::size_t(64) << 20;

void* allocate_aligned(std::size_t bytes);
void free_aligned(void* data, std::size_t bytes) noexcept;

/// See BufferPool. It waits for no other thread: while one is at the list, others turn to the system; so a child
/// process that was forked in such a moment does not wait for ever.
class Blocks {
 public:
  explicit Blocks(std::size_t most_kept = std::size_t(-1)) : most_kept_(most_kept) {}
  ~Blocks() { close(); }
  Blocks(const Blocks&) = delete;
  Blocks& operator=(const Blocks&) = delete;

  void* take(std::size_t bytes);
  void give(void* data, std::size_t bytes) noexcept;
  void close() noexcept;

 private:
  struct Block {
    std::size_t size;
    void* data;
  };
  void drop_oldest() noexcept;

  std::mutex mutex_;
  std::vector<Block> free_;  // the one freed last at the end
  std::size_t free_bytes_ = 0, most_used_ = 0;
  std::atomic<std::size_t> used_bytes_ = 0;
  const std::size_t most_kept_;
  bool closed_ = false;
};

/// The pool of this thread: that of the process unless use_buffers gave it another.
std::shared_ptr<Blocks>& current_blocks() noexcept;

}  // namespace fastrnn
