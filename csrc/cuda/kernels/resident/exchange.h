// How blocks exchange the operand of the next product, h forward or gate gradients backward, at every step: a policy
// for each tier. Every block publishes the elements of its own units; arrive() tells the others of them, and wait()
// waits for all blocks of the group, after which each can read the whole operand. What nobody waits for belongs between
// the two. Threads of the last warps do the work of arrive(), since those of the first have elements to store and to
// fetch. Within a block (Tier::block) this is shared memory and a barrier; within a cluster, stores into the shared
// memory of all its blocks, which count them; across the grid, global memory and a flag for each block.
//
// There are two slots: one is multiplied while the other is published. Since wait() waits for all, no block can be
// more than one exchange ahead of another, and two are enough.
#pragma once

#include "cuda/kernels/primitives.h"
#include "cuda/shared/params.h"

namespace fastrnn::cuda {

FASTRNN_DEVICE int from_last_thread() { return block_threads() - 1 - thread_index(); }

/// Looks until `there()`. False if `over(waited)` says so, of the nanoseconds since the first looks; that is asked now
/// and then alone, for what it costs.
template <class There, class Over>
FASTRNN_DEVICE bool look_until(const There& there, const Over& over) {
  unsigned long long begin = 0;
  for (unsigned looks = 1; !there(); ++looks) {
    pause(looks);
    if (looks % 64 != 0) continue;
    const unsigned long long now = nanoseconds();
    if (looks == 64) begin = now;
    if (over(now - begin)) return false;
  }
  return true;
}

/// Two slots in shared memory; Tier::block and Tier::cluster.
template <class Element>
class SharedSlots {
 public:
  static constexpr int kSlots = 2;
  FASTRNN_DEVICE SharedSlots(const LayerParams& params, char* shared)
      : slots_(reinterpret_cast<Element*>(shared + params.layout.operand)),
        slot_elements_(params.layout.batch_rows * params.layout.operand_stride) {}
  /// The operand that is multiplied now.
  FASTRNN_DEVICE Element* operand() const { return slots_ + current_ * slot_elements_; }

 protected:
  FASTRNN_DEVICE Element* next() const { return slots_ + (1 - current_) * slot_elements_; }
  FASTRNN_DEVICE void advance() { current_ = 1 - current_; }

 private:
  Element* slots_;
  int slot_elements_;
  int current_ = 0;
};

template <class Element, Tier tier>
class Exchange;

/// A block has all units: nothing leaves it.
template <class Element>
class Exchange<Element, Tier::block> : public SharedSlots<Element> {
 public:
  using SharedSlots<Element>::SharedSlots;
  FASTRNN_DEVICE int group() const { return block_index(); }
  FASTRNN_DEVICE int member() const { return 0; }
  FASTRNN_DEVICE void begin() { sync_block(); }
  FASTRNN_DEVICE void publish(int at, Element value) { this->next()[at] = value; }
  FASTRNN_DEVICE bool idle() const { return false; }
  template <int Sources>
  FASTRNN_DEVICE void arrive(const RowPlace*, int, int) {}
  FASTRNN_DEVICE bool wait() {
    sync_block();
    this->advance();
    return true;
  }
};

/// The blocks of a cluster write into each other's shared memory, in pieces of 16 bytes: a block first puts its own
/// elements into its own slot, whose pieces then go to the same place of the others'. Each block counts the bytes that
/// it gets. There is a counter for each slot: a block may be one exchange ahead, so that its bytes for the next slot
/// may come before another's for this one.
template <class Element>
class Exchange<Element, Tier::cluster> : public SharedSlots<Element> {
  static constexpr int kElements = kPieceBytes / int(sizeof(Element));  // of a piece

 public:
  FASTRNN_DEVICE Exchange(const LayerParams& params, char* shared)
      : SharedSlots<Element>(params, shared),
        params_(params),
        arrivals_(reinterpret_cast<Arrivals*>(shared + params.layout.arrivals)) {
    const int left = params.hidden - member() * params.geometry.units;
    const int units = left < 0 ? 0 : left < params.geometry.units ? left : params.geometry.units;
    pieces_ = divide_up(units, kElements);
  }
  FASTRNN_DEVICE int group() const { return block_index() / params_.geometry.members; }
  FASTRNN_DEVICE int member() const { return cluster_rank(); }
  /// No peer writes here before the slots are cleared and the counters are there.
  FASTRNN_DEVICE void begin() {
    if (thread_index() == 0) {
      init_arrivals(arrivals_);
      init_arrivals(arrivals_ + 1);
    }
    sync_cluster();
  }
  /// Whether this block has no unit: then nobody sends it anything, or waits for it.
  FASTRNN_DEVICE bool idle() const { return pieces_ == 0; }
  FASTRNN_DEVICE void publish(int at, Element value) { this->next()[at] = value; }
  /// The rows of more than `step` steps have published `Sources` sources each. A row that has not sends nothing: other
  /// blocks may have ended, and their shared memory with them.
  template <int Sources>
  FASTRNN_DEVICE void arrive(const RowPlace* rows, int count, int step) {
    const Layout& layout = params_.layout;
    sync_block();
    if (thread_index() / kWarp == (block_threads() / kWarp - 1) / 2) {
      int sending = 0;
      for (int row = 0; row < count; row += kWarp)
        sending += count_bits(ballot(row + lane_index() < count && rows[row + lane_index()].length > step));
      if (lane_index() == 0)
        expect_bytes(arrivals(), unsigned(sending * Sources * (layout.padded / kElements - pieces_) * kPieceBytes));
    }
    // A thread has a piece of a row of a source for a peer.
    const int own = member();
    for (int i = from_last_thread(); i < Sources * layout.all_pieces; i += block_threads()) {
      const int line = layout.pieces.divide(i), piece = i - line * layout.row_pieces;
      const int side = layout.rows_of.divide(line), row = line - side * params_.geometry.rows;
      const int rank = side / Sources, source = side % Sources;
      if (rank == own || piece >= pieces_ || row >= count || rows[row].length <= step) continue;
      auto* from = reinterpret_cast<Piece*>(this->next() + row * layout.operand_stride + source * layout.padded +
                                            own * params_.geometry.units + piece * kElements);
      store_counted(from, rank, *from, arrivals());
    }
  }
  /// Blocks of a cluster are resident together, so that one which does not come has failed: then this one does, too.
  FASTRNN_DEVICE bool wait() {
    const unsigned parity = exchanges_ / 2 % 2;
    const bool arrived = look_until([&] { return have_arrived(arrivals(), parity); },
                                    [&](unsigned long long waited) { return waited > params_.wait_limit; });
    if (!arrived) trap();
    ++exchanges_;
    this->advance();
    return true;
  }

 private:
  FASTRNN_DEVICE Arrivals* arrivals() const { return arrivals_ + exchanges_ % 2; }

  const LayerParams& params_;
  Arrivals* arrivals_;
  int pieces_;  // that this block has in a source of a row
  unsigned exchanges_ = 0;
};

/// Blocks anywhere on the device, all resident: slots in global memory, a flag for each block that counts its
/// exchanges.
template <class Element>
class Exchange<Element, Tier::grid> {
 public:
  static constexpr int kSlots = 1;
  FASTRNN_DEVICE Exchange(const LayerParams& params, char* shared)
      : params_(params),
        layout_(params.layout),
        operand_(reinterpret_cast<Element*>(shared + params.layout.operand)),
        slots_(static_cast<Element*>(params.exchange) + Index(group()) * 2 * slot_elements()),
        first_block_(group() * params.geometry.members) {}
  FASTRNN_DEVICE int group() const { return block_index() / params_.geometry.members; }
  FASTRNN_DEVICE int member() const { return block_index() % params_.geometry.members; }
  FASTRNN_DEVICE Element* operand() const { return operand_; }
  FASTRNN_DEVICE void begin() { sync_block(); }
  FASTRNN_DEVICE void publish(int at, Element value) { slots_[next_ * slot_elements() + at] = value; }
  FASTRNN_DEVICE bool idle() const { return false; }
  template <int Sources>
  FASTRNN_DEVICE void arrive(const RowPlace*, int, int) {
    ++commits_;
    sync_block();
    if (from_last_thread() == 0) store_release(params_.flags + block_index(), commits_);
  }
  /// False if a block has waited too long for another, which can only be if not all are resident: the launch is lost,
  /// and `status` says so.
  FASTRNN_DEVICE bool wait() {
    bool lost = false;
    for (int i = from_last_thread(); i < params_.geometry.members && !lost; i += block_threads())
      lost = !wait_for(params_.flags + first_block_ + i);
    if (sync_block_or(lost)) return false;
    gather(slots_ + next_ * slot_elements());
    wait_copies();
    next_ = 1 - next_;
    sync_block();
    return true;
  }

 private:
  FASTRNN_DEVICE int slot_elements() const { return layout_.batch_rows * layout_.operand_stride; }

  FASTRNN_DEVICE bool wait_for(const unsigned* flag) const {
    const bool there = look_until(
        [&] { return load_acquire(flag) >= commits_; },
        [&](unsigned long long waited) { return load_acquire(params_.status) != 0 || waited > params_.wait_limit; });
    if (!there) store_release(params_.status, kGaveUp);
    return there;
  }

  /// Begins to copy the operand to shared memory, where it lies as it does here, 16 bytes at a time and past L1, which
  /// may still have the slot's older contents.
  FASTRNN_DEVICE void gather(const Element* slot) const {
    constexpr int kElements = kPieceBytes / int(sizeof(Element));
    const int first = thread_index() * kElements, step = block_threads() * kElements;
    Element* to = operand_ + first;
    slot += first;
    for (int left = params_.geometry.rows * layout_.operand_stride - first; left > 0; left -= step) {
      copy_async<kPieceBytes>(to, slot);
      to += step;
      slot += step;
    }
  }

  const LayerParams& params_;
  const Layout& layout_;
  Element* operand_;
  Element* slots_;
  int first_block_;  // of the group
  int next_ = 0;
  unsigned commits_ = 0;  // exchanges so far
};

}  // namespace fastrnn::cuda
