// Memory for loops: what one call frees, the next one gets.
#pragma once

#include <cstddef>
#include <memory>

#include "fastrnn/export.h"

namespace fastrnn {

class Blocks;

/// Blocks of memory that were freed, kept for whoever asks for the same size: a loop over batches asks the system for
/// memory in its first rounds alone, and touches no fresh page after them. No more is kept than twice what was once in
/// use. Copies are the same pool; one made by default is that of the process, which keeps 64 MiB at most.
class FASTRNN_API BufferPool {
 public:
  BufferPool() = default;
  static BufferPool make();
  /// Whether it is a pool of its own.
  explicit operator bool() const noexcept { return blocks_ != nullptr; }

  /// Keeps nothing from now on. What is in use stays usable until its owner frees it.
  void close() noexcept;

  /// Memory aligned to 64 bytes, to be given back to the same pool, by any thread, with the same size.
  void* take(std::size_t bytes);
  void give(void* data, std::size_t bytes) noexcept;

 private:
  friend FASTRNN_API BufferPool use_buffers(BufferPool pool) noexcept;
  std::shared_ptr<Blocks> blocks_for(std::size_t bytes) const noexcept;
  std::shared_ptr<Blocks> blocks_;
};

/// From now on the workspaces, caches and weights that are made on this thread take their memory from `pool`. Returns
/// the pool before. A closed pool keeps nothing: all memory comes from the system and goes back to it.
FASTRNN_API BufferPool use_buffers(BufferPool pool) noexcept;

}  // namespace fastrnn
