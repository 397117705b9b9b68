#include "fastrnn/unpack.hpp"

#include <cstring>

#include "core/backend/options.h"
#include "core/weights/blocks.h"

namespace fastrnn {

namespace {

/// Reads single weights of a gate's block: the inverse of BlockPacker (pack.cc).
template <class T>
class BlockReader {
 public:
  BlockReader(const PackedData<T>& packed, const MatrixBlock& block)
      : packed_(packed), panels_(packed.panels[block.phase]), block_(block), lanes_(packed.kernels().lanes) {}

  T read(Index unit, Index k) const {
    switch (packed_.pack_options.precision) {
      case Precision::full: return *lane(unit, block_.first_k + k);
      case Precision::bfloat16:
      case Precision::bfloat16_weights: return bfloat16(term<std::uint16_t>(unit, k));
      case Precision::int8: {
        const auto weight = std::int8_t(term<std::uint8_t>(unit, k) ^ packed_.forward_kernels().flip);
        return T(weight) * scale(unit);
      }
    }
    return T(0);
  }

 private:
  const T* lane(Index unit, Index k) const {
    return panels_.data + offset(panels_, lanes_, k, block_.gate, unit / lanes_ * lanes_) + unit % lanes_;
  }
  template <class E>
  E term(Index unit, Index k) const {
    constexpr Index count = sizeof(T) / sizeof(E);
    E value;
    std::memcpy(&value, reinterpret_cast<const E*>(lane(unit, block_.first_k + k / count)) + k % count, sizeof value);
    return value;
  }
  static T bfloat16(std::uint16_t bits) {
    const std::uint32_t wide = std::uint32_t(bits) << 16;
    float value;
    std::memcpy(&value, &wide, sizeof value);
    return T(value);
  }
  T scale(Index unit) const {
    const Index block = unit / lanes_;
    const Index row = block / panels_.blocks * row_stride(panels_, lanes_);
    return panels_.scales[block_.first_scale + row + (block % panels_.blocks * panels_.gates + block_.gate) * lanes_ +
                          unit % lanes_];
  }

  const PackedData<T>& packed_;
  const Panels<T>& panels_;
  const MatrixBlock& block_;
  Index lanes_;
};

/// Appends the first n elements of each row of `padded`.
template <class T>
void append_rows(const T* from, Index rows, Index n, Index padded, std::vector<T>& to) {
  for (Index r = 0; r < rows; ++r) to.insert(to.end(), from + r * padded, from + r * padded + n);
}

}  // namespace

template <class T>
UnpackedParameters<T> unpack(const Weights<T>& weights) {
  const PackedData<T>& p = weights.packed();
  const Index rows = p.cell.gates * p.hidden;
  UnpackedParameters<T> u;
  u.w_ih.resize(std::size_t(rows * p.inputs));
  u.w_hh.resize(std::size_t(p.cell.vector_recurrence ? 0 : rows * p.state));
  if (p.cell_options.peephole == cells::Peephole::full) u.w_peep.resize(std::size_t(3 * p.hidden * p.hidden));
  if (p.cell_options.projected) u.w_hr.resize(std::size_t(p.state * p.hidden));
  for_each_block(p, [&](const MatrixBlock& block, Index unit) {
    std::vector<T>& matrix = block.source == nullptr                       ? u.w_ih
                             : block.source->matrix == cells::Matrix::w_hh ? u.w_hh
                             : block.source->matrix == cells::Matrix::w_hr ? u.w_hr
                                                                           : u.w_peep;
    const BlockReader<T> reader(p, block);
    const Index end = std::min<Index>(unit + p.kernels().lanes, p.panels[block.phase].units);
    for (Index i = unit; i < end; ++i)
      for (Index k = 0; k < block.columns; ++k)
        matrix[std::size_t((block.first_row + i) * block.columns + k)] = reader.read(i, k);
  });
  const auto append = [&](const T* from, Index count, std::vector<T>& to) {
    append_rows(from, count, p.hidden, p.padded, to);
  };
  const bool norm = p.cell_options.layer_norm;
  const T* bias = !norm ? p.bias : p.cell.norm_of_sum ? p.norm.hh_bias : p.norm.ih_bias;
  append(bias, p.cell.gates, u.b_ih);
  if (norm && !p.cell.norm_of_sum)
    append(p.norm.hh_bias, p.cell.gates, u.b_hh);
  else
    u.b_hh.assign(std::size_t(rows), T(-0.0));
  if (const int apart = p.cell.start_from_b_hh; apart >= 0)
    std::copy_n(p.recurrent_bias, p.hidden, u.b_hh.begin() + apart * p.hidden);
  append(p.params, p.cell.params, p.cell.vector_recurrence ? u.w_hh : u.w_peep);
  if (norm) {
    if (!p.cell.norm_of_sum) append(p.norm.ih_gain, p.cell.gates, u.ln_ih);
    append(p.norm.hh_gain, p.cell.gates, u.ln_hh);
  }
  if (p.cell_options.cell_norm) {
    append(p.norm.c_gain, 1, u.ln_c);
    append(p.norm.c_bias, 1, u.ln_c);
  }
  return u;
}

template <class T>
std::shared_ptr<const Weights<T>> pack_unpacked(const CellOptions& options, const Parameters<T>& parameters,
                                                const PackOptions& pack_options) {
  check_options(options, parameters, pack_options);
  CellOptions applied = options;
  applied.forget_bias = applied.weight_dropout = 0;
  std::unique_ptr<PackedData<T>> packed = pack(applied, parameters, pack_options);
  packed->options = options;
  return std::make_shared<const Weights<T>>(std::shared_ptr<const PackedData<T>>(std::move(packed)));
}

template UnpackedParameters<float> unpack(const Weights<float>&);
template UnpackedParameters<double> unpack(const Weights<double>&);
template std::shared_ptr<const Weights<float>> pack_unpacked(const CellOptions&, const Parameters<float>&,
                                                             const PackOptions&);
template std::shared_ptr<const Weights<double>> pack_unpacked(const CellOptions&, const Parameters<double>&,
                                                              const PackOptions&);

}  // namespace fastrnn
