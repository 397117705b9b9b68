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

 public:
  /// weight(row, k), zero outside the slab; `shared` has the slices beyond the registers.
  template <class Weight>
  FASTRNN_DEVICE void load(const Cut& cut, char* shared, const Weight& weight) {
    const int warp = thread_index() / kWarp;
    shared_ = reinterpret_cast<Four<Word>*>(shared) + warp * cut.shared_slices * kQuads * kWarp;
    first_tile_ = warp * cut.tasks % cut.tiles;
    first_chunk_ = warp * cut.tasks / cut.tiles;
    Walk walk(cut, first_tile_, first_chunk_);
    // One copy of the loading code: unrolled over the registers it would be most of the kernel.
    FASTRNN_NO_UNROLL
    for (int i = 0; i < cut.register_slices + cut.shared_slices; ++i) {
      Word words[kShape.words];
      Format::load(words, weight, walk.tile * kShape.slab_rows, walk.k);
      FASTRNN_UNROLL
      for (int r = 0; r < Registers; ++r)
        if (i == r && r < cut.register_slices) copy(words, words_[r]);
      if (i >= cut.register_slices) {
        Four<Word>* to = shared_ + (i - cut.register_slices) * kQuads * kWarp + lane_index();
        FASTRNN_UNROLL
        for (int q = 0; q < kQuads; ++q)
          to[q * kWarp] = Four<Word>{{words[q * 4], words[q * 4 + 1], words[q * 4 + 2], words[q * 4 + 3]}};
      }
      walk.next();
    }
  }

  /// partial[chunk][batch row][slab row] = slab * operand. What a slice needs of the operand is read while the one
  /// before it is multiplied.
  FASTRNN_DEVICE void multiply(const Layout& layout, const Cut& cut, const typename Format::Element* operand,
                               float* partial) const {
    FASTRNN_NO_UNROLL
    for (int column = 0; column < layout.batch_rows; column += kShape.batch_rows) {
      const typename Format::Element* rows = operand + column * layout.operand_stride;
      Walk walk(cut, first_tile_, first_chunk_);
      typename Format::Sums sums;
      // Two, by turns: a copy would take as many instructions as the products.
      typename Format::Fragment fragments[2];
      fragments[0] = Format::fetch(rows + walk.k, layout.operand_stride);
      const auto multiply_slice = [&](const Word(&words)[kShape.words], const typename Format::Fragment& now,
                                      typename Format::Fragment& ahead) {
        const bool exists = walk.existing > 0, ends = walk.left == 1;
        const int tile = walk.tile, chunk = walk.chunk;
        walk.next();
        ahead = Format::fetch(rows + walk.k, layout.operand_stride);
        if (exists) Format::multiply(sums, words, now);
        if (ends && chunk < cut.chunks) {
          Format::store(
              sums, partial + (chunk * layout.batch_rows + column) * layout.partial_stride + tile * kShape.slab_rows,
              layout.partial_stride);
          sums = {};
        }
      };
      FASTRNN_UNROLL
      for (int i = 0; i <= Registers; ++i) {
        if (i == Registers || i >= cut.register_slices) {
          if (i % 2 == 1) fragments[0] = fragments[1];
          break;
        }
        multiply_slice(words_[i < Registers ? i : 0], fragments[i % 2], fragments[1 - i % 2]);
      }
      FASTRNN_NO_UNROLL
      for (int i = 0; i < cut.shared_slices; ++i) {
        Word words[kShape.words];
        FASTRNN_UNROLL
        for (int q = 0; q < kQuads; ++q) {
          const Four<Word> four = shared_[(i * kQuads + q) * kWarp + lane_index()];
          FASTRNN_UNROLL
          for (int j = 0; j < 4; ++j) words[q * 4 + j] = four.v[j];
        }
        multiply_slice(words, fragments[0], fragments[1]);
        fragments[0] = fragments[1];
      }
    }
  }

 private:
  FASTRNN_DEVICE static void copy(const Word (&from)[kShape.words], Word (&to)[kShape.words]) {
    FASTRNN_UNROLL
    for (int i = 0; i < kShape.words; ++i) to[i] = from[i];
  }

  /// Where a warp is among its tasks: it goes through the tiles of a chunk, then through those of the next chunk. What
  /// a step of it costs is a good part of what a slice does.
  struct Walk {
    const Cut& cut;
    int tile, chunk;
    int left;      // slices left in this task, this one included
    int existing;  // how many of `left` exist: the last chunk may have fewer
    int k;         // where the slice begins, or one before it where it does not exist: it may be read
    FASTRNN_DEVICE Walk(const Cut& cut, int tile, int chunk) : cut(cut), tile(tile), chunk(chunk) { begin(); }
    FASTRNN_DEVICE void begin() {
      const int first = chunk * cut.slices, rest = chunk < cut.chunks ? cut.all_slices - first : 0;
      left = cut.slices;
      existing = rest < left ? rest : left;
      k = existing > 0 ? first * kShape.depth : 0;
    }
    FASTRNN_DEVICE void next() {
      if (--left > 0) {
        if (--existing > 0) k += kShape.depth;
        return;
      }
      if (++tile == cut.tiles) {
        tile = 0;
        ++chunk;
      }
      begin();
    }
  };

  Word words_[Registers][kShape.words];
  Four<Word>* shared_;
  int first_tile_, first_chunk_;  // of this warp
};

}  // namespace fastrnn::cuda
