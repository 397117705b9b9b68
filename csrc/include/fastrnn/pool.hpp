// Many independent streams over one model, computed in batches.
#pragma once

#include "fastrnn/model.hpp"

namespace fastrnn {

/// Up to `capacity` streams, each with states of its own and a queue of `queue` steps. All memory is taken at creation.
///
/// A stream's steps are pushed one by one or in chunks, at its own pace; advance() computes the next step of every
/// stream that has one waiting, in batched kernels; results are pulled, in order. A result is bit-equal to that of a
/// ModelSession which the stream has for itself. A stream whose results are not pulled is not computed further.
///
/// Policy: every call of advance() takes one step from each ready stream, so that no stream waits longer for another
/// that has more to do. With a limit on the streams of a call, the next call begins behind the last one served: with R
/// streams ready, a step at the head of its queue waits for at most ceil(R / limit) calls.
///
/// One thread at a time may use a pool. No call but the constructor allocates or throws.
class FASTRNN_API StreamPool {
 public:
  /// What a call found. A stream that was closed stays unknown, even when another one has its place.
  enum class Result : signed char { ok, unknown_stream, full };
  using Stream = std::int64_t;
  static constexpr Stream kNone = -1;

  explicit StreamPool(std::shared_ptr<const Model> model, Index capacity, Index queue = 1);
  ~StreamPool();
  StreamPool(StreamPool&& other) noexcept;
  StreamPool& operator=(StreamPool&& other) noexcept;

  /// A new stream with states of zero; kNone when the pool is full.
  Stream open() noexcept;
  /// Inputs that wait and results that were not pulled are dropped.
  Result close(Stream stream) noexcept;
  /// States to zero, queue and results dropped.
  Result reset(Stream stream) noexcept;

  /// x (steps,I) to the end of the stream's queue: all of it, or nothing and `full`. Steps that wait and results that
  /// were not pulled share the places of the queue.
  Result push(Stream stream, const float* x, Index steps = 1) noexcept;
  /// Takes back all steps that wait; states and results stay.
  Result drop_waiting(Stream stream) noexcept;
  /// One step of every stream that has one waiting, or of `most` of them. Returns how many; 0 when an Interruption
  /// (interrupt.hpp) ended it.
  Index advance(Index most = PTRDIFF_MAX) noexcept;
  /// Takes up to `most` results, y (n,O). Returns n, or -1 for an unknown stream.
  Index pull(Stream stream, float* y, Index most = 1) noexcept;

  /// Steps that wait to be computed, and results to be pulled; -1 for an unknown stream.
  Index waiting(Stream stream) const noexcept;
  Index ready(Stream stream) const noexcept;
  /// Streams that advance() would compute.
  Index runnable() const noexcept;

  /// A stream's states in the form of ModelSession with a batch of 1 (waiting steps and results are not among them).
  std::size_t state_bytes() const noexcept;
  Result get_state(Stream stream, void* bytes) const noexcept;
  /// Returns false, with nothing changed, for an unknown stream or for bytes of another model.
  bool set_state(Stream stream, const void* bytes, std::size_t count) noexcept;

  const Model& model() const noexcept;
  Index capacity() const noexcept;
  Index queue() const noexcept;
  /// Streams that are open.
  Index size() const noexcept;
  std::size_t bytes() const noexcept;

 private:
  struct Data;
  std::unique_ptr<Data> data_;
};

}  // namespace fastrnn
