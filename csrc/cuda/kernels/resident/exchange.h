// How blocks exchange the operand of the next product, h forward or gate gradients backward, at every step: a policy
// for each tier. Every block publishes the elements of its own units; arrive() tells the others of them, and wait()
// waits for all blocks of the group, after which each can read the whole operand. What nobody waits for belongs between
// the two. Within a block (Tier::block) this is shared memory and a barrier; within a cluster, stores into the shared
// memory of all its blocks and the cluster's barrier; across the grid, global memory and a flag for each block.
//
// There are two slots: one is multiplied while the other is published. Since wait() waits for all, no block can be
// more than one exchange ahead of another, and two are enough.
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
  FASTRNN_DEVICE void arrive() {}
  FASTRNN_DEVICE bool wait() {
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
  FASTRNN_DEVICE void arrive() {}
  FASTRNN_DEVICE bool wait() {
    sync_cluster();
    this->advance();
    return true;
  }

 private:
  int members_;
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
        slots_(static_cast<Element*>(params.exchange) + Index(group()) * 2 * slot_elements()) {}
  FASTRNN_DEVICE int group() const { return block_index() / params_.geometry.members; }
  FASTRNN_DEVICE int member() const { return block_index() % params_.geometry.members; }
  FASTRNN_DEVICE Element* operand() const { return operand_; }
  FASTRNN_DEVICE void begin() { sync_block(); }
  FASTRNN_DEVICE void publish(int at, Element value) { slots_[next_ * slot_elements() + at] = value; }
  FASTRNN_DEVICE void arrive() {
    ++commits_;
    sync_block();
    if (thread_index() == 0) store_release(params_.flags + block_index(), commits_);
  }
  /// False if a block has waited too long for another, which can only be if not all are resident: the launch is lost,
  /// and `status` says so.
  FASTRNN_DEVICE bool wait() {
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
    unsigned long long begin = 0;
    while (load_relaxed(flag) < commits_) {
      pause(looks);
      if (++looks % 64 != 0) continue;
      const unsigned long long now = nanoseconds();
      if (looks == 64) begin = now;
      if (load_acquire(params_.status) == 0 && now - begin <= params_.wait_limit) continue;
      store_release(params_.status, kGaveUp);
      return false;
    }
    acquire(flag);
    return true;
  }

  /// Copies the operand to shared memory, 16 bytes at a time and past L1, which may still have the slot's older
  /// contents.
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
  unsigned commits_ = 0;  // exchanges so far
};

}  // namespace fastrnn::cuda
