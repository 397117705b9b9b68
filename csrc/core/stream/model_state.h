// The states of a model's layers as bytes: what sessions and pools export and import.
#pragma once

#include <cstring>

#include "core/model/model.h"

namespace fastrnn {

/// What the layer keeps between steps: zeros but for recurrent layers and delays.
inline StateLayer sizes_of(const Stage& stage) {
  if (stage.is_delay()) return {std::uint32_t(stage.layer.steps * stage.inputs), 0, 0, 0};
  if (!stage.is_recurrent()) return {0, 0, 0, 0};
  const PackedData<float>& packed = stage.layer.weights->packed();
  return {std::uint32_t(packed.state), std::uint32_t(packed.hidden), std::uint32_t(packed.cell.c_states), 0};
}

/// Calls each(its sizes, index of the layer) for the layers that have a state.
template <class Each>
void for_each_state(const Model& model, const Each& each) {
  for (std::size_t i = 0; i < model.stages().size(); ++i)
    if (model.stages()[i]->has_state()) each(sizes_of(*model.stages()[i]), i);
}

inline std::uint32_t count_states(const Model& model) {
  std::uint32_t count = 0;
  for_each_state(model, [&](const StateLayer&, std::size_t) { ++count; });
  return count;
}

inline std::size_t state_size(const Model& model, Index batch) {
  std::size_t bytes = sizeof(StateHeader);
  for_each_state(model, [&](const StateLayer& sizes, std::size_t) {
    const Index floats = batch * (Index(sizes.outputs) + Index(sizes.cell_states) * Index(sizes.hidden));
    bytes += sizeof(StateLayer) + std::size_t(floats) * sizeof(float);
  });
  return bytes;
}

/// Writes all states as bytes. row(stage, j, b) points to row b of h (j = 0) or of the j-th cell state.
template <class Row>
void write_states(const Model& model, Index batch, void* bytes, const Row& row) {
  char* to = static_cast<char*>(bytes);
  const auto write = [&](const void* from, std::size_t count) {
    std::memcpy(to, from, count);
    to += count;
  };
  const StateHeader header = {
      {'F', 'R', 'N', 'N'}, kStateVersion, std::uint32_t(batch), count_states(model), state_size(model, batch)};
  write(&header, sizeof header);
  for_each_state(model, [&](const StateLayer& sizes, std::size_t) { write(&sizes, sizeof sizes); });
  for_each_state(model, [&](const StateLayer& sizes, std::size_t stage) {
    for (Index j = 0; j <= Index(sizes.cell_states); ++j)
      for (Index b = 0; b < batch; ++b)
        write(row(stage, j, b), std::size_t(j == 0 ? sizes.outputs : sizes.hidden) * sizeof(float));
  });
}

/// The inverse. Returns false, with nothing changed, unless the bytes are of such a model and batch.
template <class Row>
bool read_states(const Model& model, Index batch, const void* bytes, std::size_t count, const Row& row) {
  const char* from = static_cast<const char*>(bytes);
  const auto read = [&](void* to, std::size_t n) {
    std::memcpy(to, from, n);
    from += n;
  };
  if (count != state_size(model, batch)) return false;
  StateHeader header;
  read(&header, sizeof header);
  if (std::memcmp(header.magic, "FRNN", 4) != 0 || header.version != kStateVersion || header.bytes != count ||
      header.batch != std::uint32_t(batch) || header.layers != count_states(model))
    return false;
  bool same = true;
  for_each_state(model, [&](const StateLayer& sizes, std::size_t) {
    StateLayer found;
    read(&found, sizeof found);
    same = same && std::memcmp(&found, &sizes, sizeof sizes) == 0;
  });
  if (!same) return false;
  for_each_state(model, [&](const StateLayer& sizes, std::size_t stage) {
    for (Index j = 0; j <= Index(sizes.cell_states); ++j)
      for (Index b = 0; b < batch; ++b)
        read(row(stage, j, b), std::size_t(j == 0 ? sizes.outputs : sizes.hidden) * sizeof(float));
  });
  return true;
}

}  // namespace fastrnn
