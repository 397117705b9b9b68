// How the blocks that share a batch tile share what they compute: the operand of the next product. One policy for each
// tier. Every block publishes its units' elements; commit() makes the whole operand of all blocks readable to each.
//
// Two slots: what is published goes to the slot that is not being multiplied. A block can be one commit ahead of
// another and no more, for a commit waits for all; so two are enough.
#pragma once

#include "cuda/kernels/primitives.h"
#include "cuda/shared/params.h"

namespace fastrnn::cuda {

/// Two slots in shared memory; Tier::block and Tier::cluster.
template <class Element>
class SharedSlots {
 public:
  static constexpr int kSlots = 2;
  FASTRNN_DEVICE SharedSlots(const LayerParams& params, char* shared)
      : slots_(reinterpret_cast<Element*>(shared + params.layout.operand)),
        slot_elements_(params.layout.batch_rows * params.layout.operand_stride) {}
  /// What is multiplied now.
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

/// One block has all units.
template <class Element>
class Exchange<Element, Tier::block> : public SharedSlots<Element> {
 public:
  using SharedSlots<Element>::SharedSlots;
  FASTRNN_DEVICE int group() const { return block_index(); }
  FASTRNN_DEVICE int member() const { return 0; }
  FASTRNN_DEVICE void begin() { sync_block(); }
  FASTRNN_DEVICE void publish(int at, Element value) { this->next()[at] = value; }
  FASTRNN_DEVICE bool commit() {
    sync_block();
    this->advance();
    return true;
  }
};

/// The blocks of a cluster write into each other's shared memory.
template <class Element>
class Exchange<Element, Tier::cluster> : public SharedSlots<Element> {
 public:
  FASTRNN_DEVICE Exchange(const LayerParams& params, char* shared)
      : SharedSlots<Element>(params, shared), members_(params.geometry.members) {}
  FASTRNN_DEVICE int group() const { return block_index() / members_; }
  FASTRNN_DEVICE int member() const { return cluster_rank(); }
  FASTRNN_DEVICE void begin() { sync_cluster(); }  // no peer writes here before the slots are cleared
  FASTRNN_DEVICE void publish(int at, Element value) {
    for (int rank = 0; rank < members_; ++rank) store_cluster(this->next() + at, rank, value);
  }
  FASTRNN_DEVICE bool commit() {
    sync_cluster();
    this->advance();
    return true;
  }

 private:
  int members_;
};

/// Blocks anywhere on the device, all resident: slots in global memory, a flag for each block that counts its commits.
template <class Element>
class Exchange<Element, Tier::grid> {
 public:
  static constexpr int kSlots = 1;
  FASTRNN_DEVICE Exchange(const LayerParams& params, char* shared)
      : params_(params),
        layout_(params.layout),
        operand_(reinterpret_cast<Element*>(shared + params.layout.operand)),
        slots_(static_cast<Element*>(params.exchange) + Index(group()) * 2 * slot_elements()) {}
  FASTRNN_DEVICE int group() const { return block_index() / params_.geometry.members; }
  FASTRNN_DEVICE int member() const { return block_index() % params_.geometry.members; }
  FASTRNN_DEVICE Element* operand() const { return operand_; }
  FASTRNN_DEVICE void begin() { sync_block(); }
  FASTRNN_DEVICE void publish(int at, Element value) { slots_[next_ * slot_elements() + at] = value; }
  /// False if some block did not come: the launch is lost, and status says so.
  FASTRNN_DEVICE bool commit() {
    ++commits_;
    sync_block();
    if (thread_index() == 0) store_release(params_.flags + block_index(), commits_);
    bool lost = false;
    for (int i = thread_index(); i < params_.geometry.members && !lost; i += block_threads())
      lost = !wait_for(params_.flags + group() * params_.geometry.members + i);
    if (sync_block_or(lost)) return false;
    gather(slots_ + next_ * slot_elements());
    next_ = 1 - next_;
    sync_block();
    return true;
  }

 private:
  FASTRNN_DEVICE int slot_elements() const { return layout_.batch_rows * layout_.operand_stride; }

  FASTRNN_DEVICE bool wait_for(const unsigned* flag) const {
    unsigned looks = 0;
    while (load_acquire(flag) < commits_) {
      const bool others_lost = ++looks % 64 == 0 && load_acquire(params_.status) != 0;
      if (others_lost || looks > params_.spin_budget) {
        store_release(params_.status, kGaveUp);
        return false;
      }
      pause();
    }
    return true;
  }

  /// The tile's rows into shared memory, 16 bytes at a time and past L1, which may have the slot's last contents.
  FASTRNN_DEVICE void gather(const Element* slot) const {
    constexpr int kElements = 16 / int(sizeof(Element));
    const int pieces = layout_.gathered / kElements, all = params_.geometry.rows * pieces;
    for (int i = thread_index(); i < all; i += block_threads()) {
      const int at = i / pieces * layout_.operand_stride + i % pieces * kElements;
      copy_async<16>(operand_ + at, slot + at);
    }
    wait_copies();
  }

  const LayerParams& params_;
  const Layout& layout_;
  Element* operand_;
  Element* slots_;
  int next_ = 0;
  unsigned commits_ = 0;
};

}  // namespace fastrnn::cuda
