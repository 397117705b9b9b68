// A block's slab of the recurrent matrix: loaded once, kept in registers and shared memory, multiplied at every step.
#pragma once

#include <type_traits>

#include "cuda/kernels/resident/formats.h"

namespace fastrnn::cuda {

/// Where a warp's part of a phase begins: that of the operand and of the sums, in elements; the tiles that it has of
/// its first chunk, and slices in all, of which the first are in registers.
struct Walk {
  int first_k, first_sum, first_tiles, slices;
};
/// The same in half as many registers. Each number is below 2^16, since they count what lies in shared memory.
class PackedWalk {
 public:
  FASTRNN_DEVICE void operator=(const Walk& walk) {
    begin_ = unsigned(walk.first_k) << 16 | unsigned(walk.first_sum);
    counts_ = unsigned(walk.first_tiles) << 16 | unsigned(walk.slices);
  }
  FASTRNN_DEVICE operator Walk() const {
    const unsigned begin = not_before(begin_), counts = not_before(counts_);
    return {int(begin >> 16), int(begin & 0xffff), int(counts >> 16), int(counts & 0xffff)};
  }

 private:
  unsigned begin_, counts_;
};

/// One phase's slab. The slices of a warp's tasks come one after the other: those below `Registers` from registers, the
/// others from shared memory. Lanes of a warp never diverge: every condition is the same for all of them.
template <class Format, int Registers>
class Slab {
  using Word = typename Format::Word;
  static constexpr TaskShape kShape = Format::kShape;
  static constexpr int kQuads = kShape.words / 4;
  /// Whether there are registers for the operand of two slices beside the words of one from shared memory.
  static constexpr bool kAhead = kShape.words <= 16;
  /// Whether another phase's slab leaves none for more than half of a walk.
  static constexpr bool kPacks = !kAhead && Registers < kShape.register_slices;

 public:
  /// weight(row, k), zero outside the slab; `shared` has the slices beyond the registers.
  template <class Weight>
  FASTRNN_DEVICE void load(const Layout& layout, const Cut& cut, char* shared, const Weight& weight) {
    const int warp = thread_index() / kWarp, begin = warp * cut.tasks, left = cut.tiles * cut.chunks - begin;
    const int chunk = begin / cut.tiles, tile = begin % cut.tiles;
    const int slices = (left < 0 ? 0 : left < cut.tasks ? left : cut.tasks) * cut.slices;
    walk_ = Walk{chunk * cut.slices * kShape.depth,
                 chunk * layout.batch_rows * layout.partial_stride + tile * kShape.slab_rows, cut.tiles - tile, slices};
    // One copy of the loading code: unrolled over the registers it would be most of the kernel.
    FASTRNN_NO_UNROLL
    for (int i = 0; i < slices; ++i) {
      const int task = begin + i / cut.slices, slice = task / cut.tiles * cut.slices + i % cut.slices;
      Word words[kShape.words];
      Format::load(words, weight, task % cut.tiles * kShape.slab_rows, slice * kShape.depth);
      FASTRNN_UNROLL
      for (int r = 0; r < Registers; ++r)
        if (i == r) copy(words, words_[r]);
      if (i >= Registers) {
        Four<Word>* to = of_lane(cut, shared) + (i - Registers) * kQuads * kWarp;
        FASTRNN_UNROLL
        for (int q = 0; q < kQuads; ++q)
          to[q * kWarp] = Four<Word>{{words[q * 4], words[q * 4 + 1], words[q * 4 + 2], words[q * 4 + 3]}};
      }
    }
  }

  /// partial[chunk][batch row][slab row] = slab * operand. A warp goes through the tiles of a chunk, then through those
  /// of the next chunk. What a slice needs of the operand is read while the one before it is multiplied.
  FASTRNN_DEVICE void multiply(const Layout& layout, const Cut& cut, char* shared,
                               const typename Format::Element* operand, float* partial) const {
    const Walk walk = walk_;
    const int back = kShape.depth - cut.slices * kShape.depth;  // to the next tile of a chunk
    const int on = layout.batch_rows * layout.partial_stride - (cut.tiles - 1) * kShape.slab_rows;  // to the next chunk
    operand = Format::lane_operand(operand + walk.first_k, layout.operand_stride);
    partial = Format::lane_sums(partial + walk.first_sum, layout.partial_stride);
    if (walk.slices == 0) return;
    int columns = layout.batch_rows;  // of the operand that are left
    do {
      const typename Format::Element* at = operand;
      float* to = partial;
      int left = cut.slices, tiles = walk.first_tiles;  // of the task, and of the chunk, this one included
      typename Format::Sums sums;
      // Two, by turns: a copy would take as many instructions as the products.
      typename Format::Fragment fragments[2];
      const auto fetch = [&] { return Format::fetch(at, layout.operand_stride); };
      // Whether there is another slice, whose operand is `ahead` if it is to be read. The last one of a warp ends a
      // task.
      const auto multiply_slice = [&](const Word(&words)[kShape.words], const typename Format::Fragment& now,
                                      typename Format::Fragment& ahead, bool more, bool reads) {
        const bool ends = --left == 0;
        at += ends && tiles > 1 ? back : kShape.depth;
        if (more && reads) ahead = fetch();
        Format::multiply(sums, words, now);
        if (ends) {
          Format::store(sums, to, layout.partial_stride);
          if (!more) return false;
          sums = {};
          left = cut.slices;
          --tiles;
          to += tiles > 0 ? kShape.slab_rows : on;
          tiles = tiles > 0 ? tiles : cut.tiles;
        }
        return true;
      };
      fragments[0] = fetch();
      FASTRNN_UNROLL
      for (int i = 0; i < Registers; ++i) {
        const bool last = i + 1 == Registers;
        if (!multiply_slice(words_[i], fragments[i % 2], fragments[1 - i % 2], i + 1 < walk.slices, kAhead || !last))
          break;
        if (last) multiply_shared(cut, shared, walk.slices, fragments[1 - i % 2], fetch, multiply_slice);
      }
      operand += kShape.batch_rows * layout.operand_stride;
      partial += kShape.batch_rows * layout.partial_stride;
      columns -= kShape.batch_rows;
    } while (columns > 0);
  }

 private:
  /// Goes on with the slices in shared memory, of which there is one at least.
  template <class Fetch, class MultiplySlice>
  FASTRNN_DEVICE void multiply_shared(const Cut& cut, char* shared, int slices, typename Format::Fragment& now,
                                      const Fetch& fetch, const MultiplySlice& multiply_slice) const {
    const Four<Word>* from = of_lane(cut, shared);
    typename Format::Fragment ahead;
    int i = Registers;
    bool more = true;
    while (more) {
      Word words[kShape.words];
      FASTRNN_UNROLL
      for (int q = 0; q < kQuads; ++q) {
        const Four<Word> four = from[q * kWarp];
        FASTRNN_UNROLL
        for (int j = 0; j < 4; ++j) words[q * 4 + j] = four.v[j];
      }
      from += kQuads * kWarp;
      if constexpr (!kAhead) now = fetch();
      more = multiply_slice(words, now, ahead, ++i < slices, kAhead);
      if constexpr (kAhead) now = ahead;
    }
  }

  /// A lane's first weights in shared memory.
  FASTRNN_DEVICE static Four<Word>* of_lane(const Cut& cut, char* shared) {
    return reinterpret_cast<Four<Word>*>(shared) + thread_index() / kWarp * cut.shared_slices * kQuads * kWarp +
           lane_index();
  }
  FASTRNN_DEVICE static void copy(const Word (&from)[kShape.words], Word (&to)[kShape.words]) {
    FASTRNN_UNROLL
    for (int i = 0; i < kShape.words; ++i) to[i] = from[i];
  }

  Word words_[Registers][kShape.words];
  std::conditional_t<kPacks, PackedWalk, Walk> walk_;
};

}  // namespace fastrnn::cuda
