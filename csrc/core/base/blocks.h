// Aligned memory from the system, and the blocks behind BufferPool.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace fastrnn {

constexpr std::size_t kAlignment = 64;
/// Blocks of several huge pages ask for them: a step walks rows that lie a page or more apart, and a fresh block is
/// faulted in two megabytes at a time.
constexpr std::size_t kHugePage = std::size_t(2) << 20;
/// Below a page, malloc has a place at hand.
constexpr std::size_t kSmallestPooled = 4096;

void* allocate_aligned(std::size_t bytes);
void free_aligned(void* data, std::size_t bytes) noexcept;

/// See BufferPool.
class Blocks {
 public:
  Blocks() = default;
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
  std::size_t free_bytes_ = 0, used_bytes_ = 0, most_used_ = 0;
  bool closed_ = false;
};

/// The pool of this thread; null for none.
std::shared_ptr<Blocks>& current_blocks() noexcept;

}  // namespace fastrnn
