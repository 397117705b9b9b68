#include "core/pack.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/dispatch.h"

namespace fastrnn {

namespace {

cells::Kind kind_of(const CellOptions& options) {
  switch (options.cell) {
    case CellType::rnn: return cells::Kind::rnn;
    case CellType::lstm: return options.peephole == Peephole::full ? cells::Kind::lstm_full : cells::Kind::lstm;
    case CellType::gru: break;
  }
  switch (options.reset) {
    case Reset::after: return cells::Kind::gru_after;
    case Reset::before: return cells::Kind::gru_before;
    case Reset::output: break;
  }
  return cells::Kind::gru_output;
}

cells::Options cell_options(const CellOptions& options) {
  return {static_cast<cells::Activation>(options.activation), static_cast<cells::Peephole>(options.peephole),
          options.peephole_current, options.coupled};
}

/// `k` rows, `terms` of which share a lane, for each operand apart.
template <class T>
Panels<T> shape_panels(Index k, Index units, int gates, int lanes) {
  Panels<T> panels;
  panels.k = k;
  panels.units = units;
  panels.gates = gates;
  panels.blocks = blocks_in_panel(gates);
  const Index width = Index(panels.blocks) * lanes;
  panels.count = (units + width - 1) / width;
  return panels;
}

/// From a row of a panel to the next, in elements of T.
template <class T>
Index row_stride(const Panels<T>& panels, int lanes) {
  return Index(panels.blocks) * panels.gates * lanes;
}

template <class T>
Index panels_size(const Panels<T>& panels, int lanes) {
  return panels.count * panels.k * row_stride(panels, lanes);
}

/// Where units unit .. unit+lanes of row k, gate g lie (unit a multiple of lanes).
template <class T>
Index offset(const Panels<T>& panels, int lanes, Index k, int g, Index unit) {
  const Index block = unit / lanes;
  const Index panel = block / panels.blocks, in_panel = block % panels.blocks;
  return (panel * panels.k + k) * row_stride(panels, lanes) + (in_panel * panels.gates + g) * lanes;
}

/// Only the last panel can have units that no matrix fills.
template <class T>
void clear_last_panel(const Panels<T>& panels, T* memory, int lanes) {
  if (panels.count == 0) return;
  const Index size = panels.k * row_stride(panels, lanes);
  std::fill_n(memory + (panels.count - 1) * size, size, T(0));
}

std::uint16_t to_bfloat16(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if (value != value) return std::uint16_t(bits >> 16 | 0x40);  // quiet, whatever the lower bits were
  return std::uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/// A row-major block of the canonical matrix, rows = units and columns = k, into gate g from packed row first_k on.
template <class T>
struct BlockPacker {
  const PackedData<T>& packed;
  const Panels<T>& to;
  T* memory;
  T* scales;  // of the operand: [panel][block][gate][lane]
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

  /// scale = max|w| / 127 of a unit's row.
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

/// Where a block of a recurrent matrix stands in the forward panels.
struct Place {
  int phase;
  Index first_k;
  int gate;
};

Place find_block(const cells::Description& cell, Index inputs, Index hidden, cells::Matrix matrix, int block) {
  for (int p = 0; p < cell.phases; ++p)
    for (int s = 0; s < cell.phase[p].sources; ++s)
      for (int g = 0; g < cell.phase[p].gates; ++g)
        if (cell.phase[p].source[s].matrix == matrix && cell.phase[p].source[s].block[g] == block)
          return {p, inputs + s * hidden, g};
  return {-1, 0, 0};
}

/// A block of a matrix in forward panels, and the first row that its transpose takes elsewhere.
template <class T>
struct Transposition {
  const Panels<T>* from;
  Index from_k;
  int gate;
  Index to_k;
};

/// Rows of `to` are units of the blocks, and the other way round. The blocks' gates lie side by side: all of them are
/// read before the next rows are.
template <class T>
void transpose_blocks(const KernelTable<T>& kernels, const std::vector<Transposition<T>>& blocks, Index hidden,
                      const Panels<T>& to, T* memory) {
  const Index lanes = kernels.lanes;
  clear_last_panel(to, memory, int(lanes));
  for (Index unit = 0; unit < to.units; unit += lanes)
    for (Index k = 0; k < hidden; k += lanes)
      for (const Transposition<T>& block : blocks)
        kernels.transpose(block.from->data + offset(*block.from, int(lanes), block.from_k + unit, block.gate, k),
                          row_stride(*block.from, int(lanes)), memory + offset(to, int(lanes), block.to_k + k, 0, unit),
                          row_stride(to, int(lanes)), std::min(lanes, hidden - k), std::min(lanes, to.units - unit));
}

template <class T>
void sum_bias(const T* b_ih, const T* b_hh, T* out, Index n) {
  for (Index u = 0; u < n; ++u) out[u] = (b_ih != nullptr ? b_ih[u] : T(0)) + (b_hh != nullptr ? b_hh[u] : T(0));
}

}  // namespace

Index gate_count(CellType cell) noexcept {
  CellOptions options;
  options.cell = cell;
  return cells::describe(kind_of(options), {}).gates;
}

template <class T>
std::unique_ptr<PackedData<T>> pack(const CellOptions& options, const Parameters<T>& parameters,
                                    const PackOptions& pack_options) {
  auto packed = std::make_unique<PackedData<T>>();
  PackedData<T>& p = *packed;
  p.options = options;
  p.pack_options = pack_options;
  p.kind = kind_of(options);
  p.cell_options = cell_options(options);
  p.cell = cells::describe(p.kind, p.cell_options);
  p.backend = &current_backend();
  if (p.kernels().forward[int(pack_options.precision)] == nullptr)
    throw Error("precision: expected full for float64 parameters");
  const bool full = pack_options.precision == Precision::full;
  const int lanes = p.kernels().lanes, terms = p.forward_kernels().terms;
  const Index inputs = p.inputs = parameters.inputs, hidden = p.hidden = parameters.hidden;
  const Index padded = p.padded = (hidden + lanes - 1) / lanes * lanes;
  const Index input_rows = (inputs + terms - 1) / terms, hidden_rows = (hidden + terms - 1) / terms;

  T *memory[2], *scales[2];
  p.memory = allocate([&](Arena& arena) {
    for (int i = 0; i < p.cell.phases; ++i) {
      const cells::Phase& phase = p.cell.phase[i];
      Panels<T>& panels = p.panels[i] =
          shape_panels<T>(input_rows + phase.sources * hidden_rows, hidden, phase.gates, lanes);
      arena.take(memory[i], panels_size(panels, lanes));
      panels.data = memory[i];
      const bool scaled = pack_options.precision == Precision::int8;
      arena.take(scales[i], scaled ? (1 + phase.sources) * panels.count * row_stride(panels, lanes) : 0);
      if (scaled) panels.scales = scales[i];
    }
    arena.take(p.bias, p.cell.gates * padded);
    arena.take(p.recurrent_bias, padded);
    arena.take(p.params, p.cell.params * padded);
  });
  // Two phases leave gates without a matrix, and shorter terms have tails in every lane.
  if (!full || p.cell.phases > 1)
    std::fill_n(static_cast<char*>(p.memory.data()), p.memory.bytes(), char(0));
  else
    clear_last_panel(p.panels[0], memory[0], lanes);

  const Index block = hidden * hidden;
  for (int i = 0; i < p.cell.phases; ++i) {
    const cells::Phase& phase = p.cell.phase[i];
    const Panels<T>& panels = p.panels[i];
    const Index scale_count = panels.scales != nullptr ? panels.count * row_stride(panels, lanes) : 0;
    // Unit by unit, so that a panel is written while it is in the cache.
    for (Index unit = 0; unit < hidden; unit += lanes)
      for (int g = 0; g < phase.gates; ++g) {
        BlockPacker<T> packer = {p, panels, memory[i], scales[i], 0, inputs, g};
        packer.run(parameters.w_ih + (phase.first_gate + g) * hidden * inputs, unit);
        packer.columns = hidden;
        packer.first_k = input_rows;
        for (int s = 0; s < phase.sources; ++s, packer.first_k += hidden_rows) {
          const cells::Source& source = phase.source[s];
          const T* matrix = source.matrix == cells::Matrix::w_hh ? parameters.w_hh : parameters.w_peep;
          packer.scales += scale_count;
          if (source.block[g] >= 0) packer.run(matrix + source.block[g] * block, unit);
        }
      }
  }
  std::fill_n(p.bias, p.cell.gates * padded, T(0));
  std::fill_n(p.recurrent_bias, padded, T(0));
  std::fill_n(p.params, p.cell.params * padded, T(0));
  for (int g = 0; g < p.cell.gates; ++g) {
    const T* b_ih = parameters.b_ih != nullptr ? parameters.b_ih + g * hidden : nullptr;
    const T* b_hh = parameters.b_hh != nullptr ? parameters.b_hh + g * hidden : nullptr;
    const bool apart = g == p.cell.start_from_b_hh;
    sum_bias<T>(b_ih, apart ? nullptr : b_hh, p.bias + g * padded, hidden);
    if (apart) sum_bias<T>(nullptr, b_hh, p.recurrent_bias, hidden);
  }
  for (int j = 0; j < p.cell.params; ++j) std::copy_n(parameters.w_peep + j * hidden, hidden, p.params + j * padded);
  return packed;
}

template <class T>
const TransposedPanels<T>& PackedData<T>::transposed() const {
  std::call_once(once_, [this] {
    const KernelTable<T>& table = kernels();
    const int lanes = table.lanes;
    TransposedPanels<T> out;
    T* places[3];
    out.memory = allocate([&](Arena& arena) {
      for (int i = 0; i < cell.back_phases; ++i) {
        out.back[i] = shape_panels<T>(cell.back[i].sources * hidden, hidden, 1, lanes);
        arena.take(places[i], panels_size(out.back[i], lanes));
        out.back[i].data = places[i];
      }
      out.input = shape_panels<T>(cell.gates * hidden, inputs, 1, lanes);
      arena.take(places[2], panels_size(out.input, lanes));
      out.input.data = places[2];
    });
    for (int i = 0; i < cell.back_phases; ++i) {
      std::vector<Transposition<T>> blocks;
      for (int f = 0; f < cell.back[i].sources; ++f) {
        const cells::BackSource& source = cell.back[i].source[f];
        const Place place = find_block(cell, inputs, hidden, source.matrix, source.block);
        blocks.push_back({&panels[place.phase], place.first_k, place.gate, f * hidden});
      }
      transpose_blocks(table, blocks, hidden, out.back[i], places[i]);
    }
    std::vector<Transposition<T>> blocks;
    for (int i = 0; i < cell.phases; ++i)
      for (int g = 0; g < cell.phase[i].gates; ++g)
        blocks.push_back({&panels[i], 0, g, (cell.phase[i].first_gate + g) * hidden});
    transpose_blocks(table, blocks, hidden, out.input, places[2]);
    transposed_ = std::move(out);
  });
  return transposed_;
}

template <class T>
Weights<T>::Weights(const CellOptions& options, const Parameters<T>& parameters, const PackOptions& pack_options)
    : packed_(pack(options, parameters, pack_options)) {}
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
template struct PackedData<float>;
template struct PackedData<double>;

}  // namespace fastrnn
