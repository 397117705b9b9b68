// Packing: canonical parameters become panels (kernels.h has the layout and its reason), biases and per-unit rows, all
// in one block of memory. It is done once; afterwards weights are only read.
//
// A gate's block of H rows is packed `lanes` units at a time: their rows of the canonical matrix become columns of a
// panel, a small transpose, and are rounded on the way. W comes first in a panel, then the matrix of each source, so
// that a whole step can multiply [x|h] in one go. All biases that are added to the same sum are added to each other
// here.
#include "core/weights/pack.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/backend/dispatch.h"
#include "core/backend/options.h"
#include "core/base/random.h"
#include "core/weights/blocks.h"
#include "core/weights/panels.h"

namespace fastrnn {

namespace {

std::uint16_t to_bfloat16(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if (value != value) return std::uint16_t(bits >> 16 | 0x40);  // stays a NaN when the lower bits are cut off
  return std::uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/// Packs a block of a canonical matrix, whose rows are the units of gate g, from packed row first_k on.
template <class T>
struct BlockPacker {
  const PackedData<T>& packed;
  const Panels<T>& to;
  T* memory;
  T* scales;  // of this matrix: [panel][block][gate][lane]
  Index first_k;
  Index columns;
  int g;

  int lanes() const { return packed.kernels().lanes; }

  /// Units unit .. unit+lanes, or as many as there are.
  void run(const T* from, Index unit) const {
    switch (packed.pack_options.precision) {
      case Precision::full: return full(from, unit);
      case Precision::bfloat16:
      case Precision::bfloat16_weights:
        return terms<std::uint16_t>(from, unit, [](Index, T value) { return to_bfloat16(float(value)); });
      case Precision::int8: return int8(from, unit);
    }
  }

 private:
  Index end(Index unit) const { return std::min<Index>(unit + lanes(), to.units); }

  void full(const T* from, Index unit) const {
    packed.kernels().transpose(from + unit * columns, columns, memory + offset(to, lanes(), first_k, g, unit),
                               row_stride(to, lanes()), columns, end(unit) - unit);
  }

  /// Each lane of T takes sizeof(T) / sizeof(E) consecutive elements of a unit's row.
  template <class E, class Convert>
  void terms(const T* from, Index unit, const Convert& convert) const {
    constexpr Index count = sizeof(T) / sizeof(E);
    const Index stride = row_stride(to, lanes()) * count;
    T* lane = memory + offset(to, lanes(), first_k, g, unit);
    for (Index u = unit; u < end(unit); ++u, ++lane) {
      E* out = reinterpret_cast<E*>(lane);
      for (Index k = 0; k < columns; ++k)
        out[k / count * stride + k % count] = convert(u - unit, from[u * columns + k]);
    }
  }

  /// A scale for each unit and gate, max|w| / 127 of its row. A row with a NaN or an infinity has a scale of NaN.
  void int8(const T* from, Index unit) const {
    constexpr int kMostLanes = 16;
    const int n = lanes();
    const unsigned char flip = packed.forward_kernels().flip;
    T inverse[kMostLanes];
    T* scale = scales + unit / n / to.blocks * row_stride(to, n) + (unit / n % to.blocks * to.gates + g) * n;
    for (Index u = unit; u < end(unit); ++u) {
      T most = 0, sum = 0;
      for (Index k = 0; k < columns; ++k) {
        most = std::max(most, std::abs(from[u * columns + k]));
        sum += T(0) * from[u * columns + k];  // NaN if anything is not finite
      }
      const bool usable = most > T(1e-30) && sum == 0;
      inverse[u - unit] = usable ? T(127) / most : T(0);
      scale[u - unit] = (usable ? most / T(127) : T(0)) + sum;
    }
    terms<std::uint8_t>(from, unit, [&](Index lane, T value) {
      const T scaled = inverse[lane] == 0 ? T(0) : std::nearbyint(value * inverse[lane]);
      return std::uint8_t(std::uint8_t(int(scaled)) ^ flip);
    });
  }
};

/// Zeros, piece by piece, as an interruption may come.
void clear(const AlignedBuffer& memory) {
  constexpr std::size_t kPiece = std::size_t(4) << 20;
  for (std::size_t first = 0; first < memory.bytes(); first += kPiece) {
    check_interrupted(kLookAfter);
    std::memset(static_cast<char*>(memory.data()) + first, 0, std::min(kPiece, memory.bytes() - first));
  }
}

/// out[u] = a[u] + b[u]; null counts as zeros.
template <class T>
void sum_rows(const T* a, const T* b, T* out, Index n) {
  for (Index u = 0; u < n; ++u) out[u] = (a != nullptr ? a[u] : T(0)) + (b != nullptr ? b[u] : T(0));
}

/// One draw of DropConnect: w_hh with some of its elements zero and the others scaled.
template <class T>
std::vector<T> drop_weights(const CellOptions& options, const T* w_hh, Index rows, Index columns) {
  std::vector<T> dropped(rows * columns);
  const Masks masks(options.seed, options.stream, MaskKind::weight_dropout, options.weight_dropout);
  for (Index r = 0; r < rows; ++r) {
    check_interrupted(columns * kPerElement);
    T* row = dropped.data() + r * columns;
    masks.fill_inverted(0, r, columns, row);
    for (Index k = 0; k < columns; ++k) row[k] *= w_hh[r * columns + k];
  }
  return dropped;
}

template <class T>
void pack_matrices(PackedData<T>& p, const Parameters<T>& parameters, T* const* memory, T* const* scales) {
  for_each_block(p, [&](const MatrixBlock& block, Index unit) {
    const BlockPacker<T> packer = {p,
                                   p.panels[block.phase],
                                   memory[block.phase],
                                   scales[block.phase] + block.first_scale,
                                   block.first_k,
                                   block.columns,
                                   block.gate};
    check_interrupted(p.kernels().lanes * block.columns * kPerElement);
    packer.run(block.in(parameters) + block.first_row * block.columns, unit);
  });
}

}  // namespace

template <class T>
std::unique_ptr<PackedData<T>> pack(const CellOptions& options, const Parameters<T>& given,
                                    const PackOptions& pack_options) {
  check_options(options, given, pack_options);
  Parameters<T> parameters = given;
  auto packed = std::make_unique<PackedData<T>>();
  PackedData<T>& p = *packed;
  p.options = options;
  p.pack_options = pack_options;
  p.backend = &current_backend();
  p.cell_options = cell_options(options, parameters, pack_options, p.kernels());
  p.kind = cells::kind_of(options.cell, p.cell_options);
  p.cell = cells::describe(p.kind, p.cell_options);
  p.general = cells::needs_general(p.cell_options, p.kind);
  if (p.kernels().forward[int(pack_options.precision)] == nullptr)
    throw Error("precision: expected full for float64 parameters");
  const bool full = pack_options.precision == Precision::full;
  const int lanes = p.kernels().lanes, terms = p.forward_kernels().terms;
  const auto pad = [&](Index n) { return (n + lanes - 1) / lanes * lanes; };
  const Index inputs = p.inputs = parameters.inputs, hidden = p.hidden = parameters.hidden;
  const Index padded = p.padded = pad(hidden);
  p.state = parameters.w_hr != nullptr ? parameters.projection : hidden;
  p.padded_state = pad(p.state);
  const int gates = p.cell.gates;
  const auto rows = [&](Index n) { return (n + terms - 1) / terms; };
  std::vector<T> dropped;
  if (options.weight_dropout > 0 && p.cell.phase[0].sources > 0) {
    dropped = drop_weights(options, parameters.w_hh, gates * hidden, p.state);
    parameters.w_hh = dropped.data();
  }

  T *memory[kPhases], *scales[kPhases], *ih_gain, *ih_bias, *hh_gain, *hh_bias, *c_norm;
  const bool norm = p.cell_options.layer_norm, cell_norm = p.cell_options.cell_norm;
  p.memory = allocate([&](Arena& arena) {
    for (int i = 0; i < p.cell.phases; ++i) {
      const cells::Phase& phase = p.cell.phase[i];
      Index k = phase.input ? rows(inputs) : 0;
      for (int s = 0; s < phase.sources; ++s) k += rows(p.width_of(phase.source[s].operand));
      Panels<T>& panels = p.panels[i] = shape_panels<T>(k, phase.over_state ? p.state : hidden, phase.gates, lanes);
      arena.take(memory[i], panels_size(panels, lanes));
      panels.data = memory[i];
      const bool scaled = pack_options.precision == Precision::int8;
      arena.take(scales[i], scaled ? (1 + phase.sources) * panels.count * row_stride(panels, lanes) : 0);
      if (scaled) panels.scales = scales[i];
    }
    arena.take(p.bias, gates * padded);
    arena.take(p.recurrent_bias, padded);
    arena.take(p.params, p.cell.params * padded);
    for (T** row : {&ih_gain, &ih_bias, &hh_gain, &hh_bias}) arena.take(*row, norm ? gates * padded : 0);
    arena.take(c_norm, cell_norm ? 2 * padded : 0);
  });
  // Zeros are needed where no weight is written: in gates without a matrix, which cells of several phases have, and in
  // the unused terms of a lane. With one phase of full precision only the last panel has such places.
  if (!full || p.cell.phases > 1 || norm)
    clear(p.memory);
  else
    clear_last_panel(p.panels[0], memory[0], lanes);
  pack_matrices(p, parameters, memory, scales);

  std::fill_n(p.bias, gates * padded, T(0));
  std::fill_n(p.recurrent_bias, padded, T(0));
  std::fill_n(p.params, p.cell.params * padded, T(0));
  const auto gate_row = [&](const T* rows, int g) { return rows != nullptr ? rows + g * hidden : nullptr; };
  for (int g = 0; g < gates; ++g) {
    const T *b_ih = gate_row(parameters.b_ih, g), *b_hh = gate_row(parameters.b_hh, g);
    const bool apart = g == p.cell.start_from_b_hh;
    T* bias = (norm ? p.cell.norm_of_sum ? hh_bias : ih_bias : p.bias) + g * padded;
    sum_rows<T>(b_ih, apart || (norm && !p.cell.norm_of_sum) ? nullptr : b_hh, bias, hidden);
    if (apart) sum_rows<T>(nullptr, b_hh, p.recurrent_bias, hidden);
    if (g == p.cell.forget_gate)
      for (Index u = 0; u < hidden; ++u) bias[u] += T(options.forget_bias);
    if (!norm) continue;
    sum_rows<T>(gate_row(parameters.ln_ih, g), nullptr, ih_gain + g * padded, hidden);
    sum_rows<T>(gate_row(parameters.ln_hh, g), nullptr, hh_gain + g * padded, hidden);
    if (!p.cell.norm_of_sum) sum_rows<T>(nullptr, b_hh, hh_bias + g * padded, hidden);
  }
  const T* diagonals = p.cell.vector_recurrence ? parameters.w_hh : parameters.w_peep;
  for (int j = 0; j < p.cell.params; ++j) std::copy_n(diagonals + j * hidden, hidden, p.params + j * padded);
  if (cell_norm)
    for (int j = 0; j < 2; ++j) std::copy_n(parameters.ln_c + j * hidden, hidden, c_norm + j * padded);
  p.norm = {ih_gain, ih_bias, hh_gain, hh_bias, c_norm, c_norm + padded, T(options.norm_epsilon)};
  return packed;
}

template <class T>
Weights<T>::Weights(const CellOptions& options, const Parameters<T>& parameters, const PackOptions& pack_options)
    : packed_(pack(options, parameters, pack_options)) {}
template <class T>
Weights<T>::Weights(std::shared_ptr<const PackedData<T>> packed) : packed_(std::move(packed)) {}
template <class T>
Weights<T>::~Weights() = default;
template <class T>
const CellOptions& Weights<T>::options() const noexcept {
  return packed_->options;
}
template <class T>
Index Weights<T>::inputs() const noexcept {
  return packed_->inputs;
}
template <class T>
Index Weights<T>::hidden() const noexcept {
  return packed_->hidden;
}
template <class T>
Index Weights<T>::outputs() const noexcept {
  return packed_->state;
}
template <class T>
std::size_t Weights<T>::bytes() const noexcept {
  return packed_->memory.bytes();
}
template <class T>
const PackOptions& Weights<T>::pack_options() const noexcept {
  return packed_->pack_options;
}
template <class T>
const char* Weights<T>::isa() const noexcept {
  return packed_->backend->name;
}

template class Weights<float>;
template class Weights<double>;

}  // namespace fastrnn
