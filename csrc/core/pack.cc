#include "core/pack.h"

#include <algorithm>

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

template <class T>
Index panels_size(const Panels<T>& panels, int lanes) {
  return panels.count * panels.k * panels.blocks * panels.gates * lanes;
}

/// From a row of a panel to the next.
template <class T>
Index row_stride(const Panels<T>& panels, int lanes) {
  return Index(panels.blocks) * panels.gates * lanes;
}

/// Where units unit .. unit+lanes of row k, gate g lie (unit a multiple of lanes).
template <class T>
Index offset(const Panels<T>& panels, int lanes, Index k, int g, Index unit) {
  const Index block = unit / lanes;
  const Index panel = block / panels.blocks, in_panel = block % panels.blocks;
  return (panel * panels.k + k) * row_stride(panels, lanes) + (in_panel * panels.gates + g) * lanes;
}

/// Copies a row-major block of the canonical matrix, rows = units and columns = k, into gate g from row first_k on.
template <class T>
void pack_block(const T* from, const Panels<T>& to, T* memory, int lanes, Index first_k, Index columns, int g) {
  const Index stride = row_stride(to, lanes);
  for (Index unit = 0; unit < to.units; unit += lanes) {
    const Index n = std::min<Index>(lanes, to.units - unit);
    T* out = memory + offset(to, lanes, first_k, g, unit);
    for (Index k = 0; k < columns; ++k, out += stride)
      for (Index j = 0; j < n; ++j) out[j] = from[(unit + j) * columns + k];
  }
}

/// The transpose, between panels: rows of `to` are units of `from` and the other way round.
template <class T>
void transpose_block(const Panels<T>& from, Index from_k, int from_gate, const Panels<T>& to, T* memory, Index to_k,
                     int lanes) {
  const Index from_stride = row_stride(from, lanes), to_stride = row_stride(to, lanes);
  for (Index unit = 0; unit < to.units; unit += lanes) {
    const Index columns = std::min<Index>(lanes, to.units - unit);
    for (Index k = 0; k < from.units; k += lanes) {
      const Index rows = std::min<Index>(lanes, from.units - k);
      const T* in = from.data + offset(from, lanes, from_k + unit, from_gate, k);
      T* out = memory + offset(to, lanes, to_k + k, 0, unit);
      for (Index j = 0; j < columns; ++j, in += from_stride)
        for (Index i = 0; i < rows; ++i) out[i * to_stride + j] = in[i];
    }
  }
}

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
std::unique_ptr<PackedData<T>> pack(const CellOptions& options, const Parameters<T>& parameters) {
  auto packed = std::make_unique<PackedData<T>>();
  PackedData<T>& p = *packed;
  p.options = options;
  p.kind = kind_of(options);
  p.cell_options = cell_options(options);
  p.cell = cells::describe(p.kind, p.cell_options);
  p.backend = &current_backend();
  const int lanes = p.kernels().lanes;
  const Index inputs = p.inputs = parameters.inputs, hidden = p.hidden = parameters.hidden;
  const Index padded = p.padded = (hidden + lanes - 1) / lanes * lanes;

  T* memory[2];
  p.memory = allocate([&](Arena& arena) {
    for (int i = 0; i < p.cell.phases; ++i) {
      const cells::Phase& phase = p.cell.phase[i];
      p.panels[i] = shape_panels<T>(inputs + phase.sources * hidden, hidden, phase.gates, lanes);
      arena.take(memory[i], panels_size(p.panels[i], lanes));
      p.panels[i].data = memory[i];
    }
    arena.take(p.bias, p.cell.gates * padded);
    arena.take(p.recurrent_bias, padded);
    arena.take(p.params, p.cell.params * padded);
  });
  std::fill_n(static_cast<char*>(p.memory.data()), p.memory.bytes(), char(0));

  const Index block = hidden * hidden;
  for (int i = 0; i < p.cell.phases; ++i) {
    const cells::Phase& phase = p.cell.phase[i];
    for (int g = 0; g < phase.gates; ++g) {
      pack_block(parameters.w_ih + (phase.first_gate + g) * hidden * inputs, p.panels[i], memory[i], lanes, 0, inputs,
                 g);
      for (int s = 0; s < phase.sources; ++s) {
        const cells::Source& source = phase.source[s];
        const T* matrix = source.matrix == cells::Matrix::w_hh ? parameters.w_hh : parameters.w_peep;
        if (source.block[g] >= 0)
          pack_block(matrix + source.block[g] * block, p.panels[i], memory[i], lanes, inputs + s * hidden, hidden, g);
      }
    }
  }
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
TransposedPanels<T> transpose(const PackedData<T>& p) {
  const cells::Description& cell = p.cell;
  const int lanes = p.kernels().lanes;
  TransposedPanels<T> out;
  T* memory[3];
  out.memory = allocate([&](Arena& arena) {
    for (int i = 0; i < cell.back_phases; ++i) {
      out.back[i] = shape_panels<T>(cell.back[i].sources * p.hidden, p.hidden, 1, lanes);
      arena.take(memory[i], panels_size(out.back[i], lanes));
      out.back[i].data = memory[i];
    }
    out.input = shape_panels<T>(cell.gates * p.hidden, p.inputs, 1, lanes);
    arena.take(memory[2], panels_size(out.input, lanes));
    out.input.data = memory[2];
  });
  std::fill_n(static_cast<char*>(out.memory.data()), out.memory.bytes(), char(0));

  for (int i = 0; i < cell.back_phases; ++i)
    for (int f = 0; f < cell.back[i].sources; ++f) {
      const cells::BackSource& source = cell.back[i].source[f];
      const Place place = find_block(cell, p.inputs, p.hidden, source.matrix, source.block);
      transpose_block(p.panels[place.phase], place.first_k, place.gate, out.back[i], memory[i], f * p.hidden, lanes);
    }
  for (int i = 0; i < cell.phases; ++i)
    for (int g = 0; g < cell.phase[i].gates; ++g)
      transpose_block(p.panels[i], 0, g, out.input, memory[2], (cell.phase[i].first_gate + g) * p.hidden, lanes);
  return out;
}

template <class T>
Weights<T>::Weights(const CellOptions& options, const Parameters<T>& parameters) : packed_(pack(options, parameters)) {}
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
const char* Weights<T>::isa() const noexcept {
  return packed_->backend->name;
}

template class Weights<float>;
template class Weights<double>;
template TransposedPanels<float> transpose(const PackedData<float>&);
template TransposedPanels<double> transpose(const PackedData<double>&);

}  // namespace fastrnn
