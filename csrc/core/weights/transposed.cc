// The transposes that the backward pass multiplies, made from the panels of the forward pass: the canonical arrays need
// not live that long. Copying them while the canonical arrays are packed, which takes no transposing, made training of
// LSTM T1 B1 H256 faster by no more than 2%: it is the memory that takes the time.
#include <vector>

#include "core/weights/pack.h"
#include "core/weights/panels.h"

namespace fastrnn {

namespace {

/// Where a block of a recurrent matrix stands in the forward panels.
struct Place {
  int phase;
  Index first_k;
  int gate;
};

template <class T>
Place find_block(const PackedData<T>& packed, cells::Matrix matrix, int block) {
  const cells::Description& cell = packed.cell;
  for (int p = 0; p < cell.phases; ++p) {
    const cells::Phase& phase = cell.phase[p];
    Index first_k = phase.input ? packed.inputs : 0;
    for (int s = 0; s < phase.sources; ++s) {
      for (int g = 0; g < phase.gates; ++g)
        if (phase.source[s].matrix == matrix && phase.source[s].block[g] == block) return {p, first_k, g};
      first_k += packed.width_of(phase.source[s].operand);
    }
  }
  return {-1, 0, 0};
}

/// A gate's block in forward panels, and the row of the new panels where its transpose begins.
template <class T>
struct Transposition {
  const Panels<T>* from;
  Index from_k;
  int gate;
  Index to_k;
};

/// Writes the transposes of some blocks of one matrix into the panels `to`, one below the other. In the source the
/// gates of a unit lie side by side: the loop over blocks is the innermost, so that a cache line is read once.
template <class T>
void transpose_blocks(const KernelTable<T>& kernels, const std::vector<Transposition<T>>& blocks, const Panels<T>& to,
                      T* memory) {
  const Index lanes = kernels.lanes;
  clear_last_panel(to, memory, int(lanes));
  const Index rows = blocks.empty() ? 0 : blocks[0].from->units;  // the same for all blocks of a matrix
  for (Index unit = 0; unit < to.units; unit += lanes) {
    check_interrupted(lanes * rows * Index(blocks.size()) * kPerElement);
    for (Index k = 0; k < rows; k += lanes)
      for (const Transposition<T>& block : blocks)
        kernels.transpose(block.from->data + offset(*block.from, int(lanes), block.from_k + unit, block.gate, k),
                          row_stride(*block.from, int(lanes)), memory + offset(to, int(lanes), block.to_k + k, 0, unit),
                          row_stride(to, int(lanes)), std::min(lanes, rows - k), std::min(lanes, to.units - unit));
  }
}

}  // namespace

template <class T>
TransposedPanels<T> PackedData<T>::transpose() const {
  const KernelTable<T>& table = kernels();
  const int lanes = table.lanes;
  TransposedPanels<T> out;
  T *places[kPhases], *input_place;
  const auto rows_of = [&](const cells::BackPhase& phase) {
    return phase.sources * (phase.sources > 0 && phase.source[0].matrix == cells::Matrix::w_hr ? state : hidden);
  };
  out.memory = allocate([&](Arena& arena) {
    for (int i = 0; i < cell.back_phases; ++i) {
      const cells::BackPhase& phase = cell.back[i];
      const bool of_h = phase.target == cells::Target::h;
      out.back[i] = shape_panels<T>(rows_of(phase), of_h ? state : hidden, 1, lanes);
      arena.take(places[i], panels_size(out.back[i], lanes));
      out.back[i].data = places[i];
    }
    out.input = shape_panels<T>(cell.gates * hidden, inputs, 1, lanes);
    arena.take(input_place, panels_size(out.input, lanes));
    out.input.data = input_place;
  });
  for (int i = 0; i < cell.back_phases; ++i) {
    std::vector<Transposition<T>> blocks;
    for (int f = 0; f < cell.back[i].sources; ++f) {
      const cells::BackSource& source = cell.back[i].source[f];
      const Place place = find_block(*this, source.matrix, source.block);
      blocks.push_back({&panels[place.phase], place.first_k, place.gate, f * hidden});
    }
    transpose_blocks(table, blocks, out.back[i], places[i]);
  }
  std::vector<Transposition<T>> blocks;
  for (int i = 0; i < cell.phases; ++i)
    if (cell.phase[i].input)
      for (int g = 0; g < cell.phase[i].gates; ++g)
        blocks.push_back({&panels[i], 0, g, (cell.phase[i].first_gate + g) * hidden});
  transpose_blocks(table, blocks, out.input, input_place);
  return out;
}

template <class T>
const TransposedPanels<T>& PackedData<T>::transposed() const {
  if (is_transposed_.load(std::memory_order_acquire)) return transposed_;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!is_transposed_.load(std::memory_order_relaxed)) {
    transposed_ = transpose();
    is_transposed_.store(true, std::memory_order_release);
  }
  return transposed_;
}

template struct PackedData<float>;
template struct PackedData<double>;

}  // namespace fastrnn
