// A block's slab of the recurrent matrix: loaded once, kept in registers and shared memory, multiplied at every step.
#pragma once

#include "cuda/kernels/resident/formats.h"

namespace fastrnn::cuda {

/// One phase's slab. The slices of a warp's tasks come one after the other: those below `Registers` from registers, the
/// others from shared memory. Lanes of a warp never diverge: every condition is the same for all of them.
template <class Format, int Registers>
class Slab {
  using Word = typename Format::Word;
  static constexpr TaskShape kShape = Format::kShape;
  static constexpr int kQuads = kShape.words / 4;
  /// Whether there are registers for the operand of two slices beside the words of one from shared memory.
  static constexpr bool kAhead = kShape.words <= 16;

 public:
  /// weight(row, k), zero outside the slab; `shared` has the slices beyond the registers.
  template <class Weight>
  FASTRNN_DEVICE void load(const Cut& cut, char* shared, const Weight& weight) {
    const int warp = thread_index() / kWarp, begin = warp * cut.tasks, left = cut.tiles * cut.chunks - begin;
    shared_ = reinterpret_cast<Four<Word>*>(shared) + warp * cut.shared_slices * kQuads * kWarp;
    first_tile_ = begin % cut.tiles;
    first_chunk_ = begin / cut.tiles;
    const int slices = (left < 0 ? 0 : left < cut.tasks ? left : cut.tasks) * cut.slices;
    in_registers_ = slices < cut.register_slices ? slices : cut.register_slices;
    in_shared_ = slices - in_registers_;
    // One copy of the loading code: unrolled over the registers it would be most of the kernel.
    FASTRNN_NO_UNROLL
    for (int i = 0; i < slices; ++i) {
      const int task = begin + i / cut.slices, slice = task / cut.tiles * cut.slices + i % cut.slices;
      Word words[kShape.words];
      Format::load(words, weight, task % cut.tiles * kShape.slab_rows, slice * kShape.depth);
      FASTRNN_UNROLL
      for (int r = 0; r < Registers; ++r)
        if (i == r && r < cut.register_slices) copy(words, words_[r]);
      if (i >= cut.register_slices) {
        Four<Word>* to = shared_ + (i - cut.register_slices) * kQuads * kWarp + lane_index();
        FASTRNN_UNROLL
        for (int q = 0; q < kQuads; ++q)
          to[q * kWarp] = Four<Word>{{words[q * 4], words[q * 4 + 1], words[q * 4 + 2], words[q * 4 + 3]}};
      }
    }
  }

  /// partial[chunk][batch row][slab row] = slab * operand. A warp goes through the tiles of a chunk, then through those
  /// of the next chunk. What a slice needs of the operand is read while the one before it is multiplied.
  FASTRNN_DEVICE void multiply(const Layout& layout, const Cut& cut, const typename Format::Element* operand,
                               float* partial) const {
    const int back = kShape.depth - cut.slices * kShape.depth;  // to the next tile of a chunk
    FASTRNN_NO_UNROLL
    for (int column = 0; column < layout.batch_rows; column += kShape.batch_rows) {
      const typename Format::Element* at =
          operand + column * layout.operand_stride + first_chunk_ * cut.slices * kShape.depth;
      float* to = partial + (first_chunk_ * layout.batch_rows + column) * layout.partial_stride +
                  first_tile_ * kShape.slab_rows;
      int left = cut.slices, tiles = cut.tiles - first_tile_;  // of the task, and of the chunk, this one included
      typename Format::Sums sums;
      // Two, by turns: a copy would take as many instructions as the products.
      typename Format::Fragment fragments[2];
      if (in_registers_ > 0) fragments[0] = Format::fetch(at, layout.operand_stride);
      const auto multiply_slice = [&](const Word(&words)[kShape.words], const typename Format::Fragment& now,
                                      typename Format::Fragment& ahead, bool more) {
        const bool ends = --left == 0;
        at += ends && tiles > 1 ? back : kShape.depth;
        if (more) ahead = Format::fetch(at, layout.operand_stride);
        Format::multiply(sums, words, now);
        if (ends) {
          Format::store(sums, to, layout.partial_stride);
          sums = {};
          left = cut.slices;
          to += kShape.slab_rows;
          if (--tiles == 0) {
            tiles = cut.tiles;
            to += layout.batch_rows * layout.partial_stride - cut.tiles * kShape.slab_rows;
          }
        }
      };
      FASTRNN_UNROLL
      for (int i = 0; i <= Registers; ++i) {
        if (i == Registers || i >= in_registers_) {
          if (i % 2 == 1) fragments[0] = fragments[1];
          break;
        }
        multiply_slice(words_[i < Registers ? i : 0], fragments[i % 2], fragments[1 - i % 2],
                       i + 1 < in_registers_ + (kAhead ? in_shared_ : 0));
      }
      FASTRNN_NO_UNROLL
      for (int i = 0; i < in_shared_; ++i) {
        Word words[kShape.words];
        FASTRNN_UNROLL
        for (int q = 0; q < kQuads; ++q) {
          const Four<Word> four = shared_[(i * kQuads + q) * kWarp + lane_index()];
          FASTRNN_UNROLL
          for (int j = 0; j < 4; ++j) words[q * 4 + j] = four.v[j];
        }
        if constexpr (kAhead) {
          multiply_slice(words, fragments[0], fragments[1], i + 1 < in_shared_);
          fragments[0] = fragments[1];
        } else {
          fragments[0] = Format::fetch(at, layout.operand_stride);
          multiply_slice(words, fragments[0], fragments[0], false);
        }
      }
    }
  }

 private:
  FASTRNN_DEVICE static void copy(const Word (&from)[kShape.words], Word (&to)[kShape.words]) {
    FASTRNN_UNROLL
    for (int i = 0; i < kShape.words; ++i) to[i] = from[i];
  }

  Word words_[Registers][kShape.words];
  Four<Word>* shared_;
  int first_tile_, first_chunk_;  // of this warp
  int in_registers_, in_shared_;  // slices of this warp
};

}  // namespace fastrnn::cuda
