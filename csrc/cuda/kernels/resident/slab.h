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
    Walk walk(cut, warp);
    // One copy of the loading code: unrolled over the registers it would be most of the kernel.
    FASTRNN_NO_UNROLL
    for (int i = 0; i < cut.register_slices + cut.shared_slices; ++i) {
      Word words[kShape.words];
      Format::load(words, weight, walk.tile * kShape.slab_rows, walk.k());
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

  /// partial[chunk][batch row][slab row] = slab * operand.
  FASTRNN_DEVICE void multiply(const Layout& layout, const Cut& cut, const typename Format::Element* operand,
                               float* partial) const {
    const int warp = thread_index() / kWarp;
    FASTRNN_NO_UNROLL
    for (int column = 0; column < layout.batch_rows; column += kShape.batch_rows) {
      Walk walk(cut, warp);
      typename Format::Sums sums;
      const auto multiply_slice = [&](const Word(&words)[kShape.words]) {
        if (walk.exists())
          Format::multiply(sums, words, operand + column * layout.operand_stride + walk.k(), layout.operand_stride);
        if (walk.ends_task() && walk.is_task()) {
          Format::store(sums,
                        partial + (walk.chunk * layout.batch_rows + column) * layout.partial_stride +
                            walk.tile * kShape.slab_rows,
                        layout.partial_stride);
          sums = {};
        }
        walk.next();
      };
      FASTRNN_UNROLL
      for (int i = 0; i < Registers; ++i) {
        if (i >= cut.register_slices) break;
        multiply_slice(words_[i]);
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
        multiply_slice(words);
      }
    }
  }

 private:
  FASTRNN_DEVICE static void copy(const Word (&from)[kShape.words], Word (&to)[kShape.words]) {
    FASTRNN_UNROLL
    for (int i = 0; i < kShape.words; ++i) to[i] = from[i];
  }

  /// Where a warp is among its tasks: it goes through the tiles of a chunk, then through those of the next chunk.
  struct Walk {
    const Cut& cut;
    int slice = 0, tile, chunk;
    FASTRNN_DEVICE Walk(const Cut& cut, int warp)
        : cut(cut), tile(warp * cut.tasks % cut.tiles), chunk(warp * cut.tasks / cut.tiles) {}
    FASTRNN_DEVICE bool is_task() const { return chunk < cut.chunks; }
    FASTRNN_DEVICE bool exists() const { return is_task() && chunk * cut.slices + slice < cut.all_slices; }
    FASTRNN_DEVICE bool ends_task() const { return slice + 1 == cut.slices; }
    FASTRNN_DEVICE int k() const { return (chunk * cut.slices + slice) * kShape.depth; }
    FASTRNN_DEVICE void next() {
      if (++slice < cut.slices) return;
      slice = 0;
      if (++tile < cut.tiles) return;
      tile = 0;
      ++chunk;
    }
  };

  Word words_[Registers][kShape.words];
  Four<Word>* shared_;
};

}  // namespace fastrnn::cuda
