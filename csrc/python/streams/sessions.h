// Sessions with one interface for both dtypes: float32 over a model, float64 over one layer.
#pragma once

#include <cstring>

#include "python/bindings.h"

namespace fastrnn::python {

/// A session in float32. load() copies the states of all layers to states(), one array: for each layer h (B,P), then
/// its cell states (S,B,H); store() copies them back.
struct Float32 {
  using T = float;
  ModelSession session;
  std::vector<char> bytes;
  std::vector<StateLayer> layers;

  Float32(std::shared_ptr<const Model> model, Index batch)
      : session(std::move(model), batch), bytes(session.state_bytes()) {
    session.get_state(bytes.data());
    StateHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    layers.resize(header.layers);
    std::memcpy(layers.data(), bytes.data() + sizeof(StateHeader), layers.size() * sizeof(StateLayer));
  }
  T* states() { return reinterpret_cast<T*>(bytes.data() + sizeof(StateHeader) + layers.size() * sizeof(StateLayer)); }
  void load() { session.get_state(bytes.data()); }
  void store() { session.set_state(bytes.data(), bytes.size()); }
  void run(const T* x, Index steps, T* y) { session.run(x, steps, y); }
  Index inputs() const { return session.model().inputs(); }
  Index outputs() const { return session.model().outputs(); }
  std::size_t weight_bytes() const { return session.model().bytes(); }
  std::size_t nbytes() const { return ModelSession::size(session.model(), session.batch()); }
};

struct Float64 {
  using T = double;
  Session<double> session;
  std::vector<StateLayer> layers;
  std::vector<T> values;

  Float64(const std::shared_ptr<const Weights<double>>& weights, Index batch)
      : session(weights, batch),
        layers{{std::uint32_t(weights->outputs()), std::uint32_t(weights->hidden()),
                std::uint32_t(cell_state_count(weights->options().cell)), 0}},
        values(batch * (weights->outputs() + layers[0].cell_states * weights->hidden())) {}
  T* states() { return values.data(); }
  T* cell_states() { return values.data() + session.batch() * layers[0].outputs; }
  void load() { session.get_state(states(), cell_states()); }
  void store() { session.set_state(states(), cell_states()); }
  void run(const T* x, Index steps, T* y) {
    const Index batch = session.batch();
    session.run({x, batch * inputs(), inputs(), nullptr}, steps, {y, batch * outputs(), outputs(), nullptr});
  }
  Index inputs() const { return session.weights().inputs(); }
  Index outputs() const { return session.weights().outputs(); }
  std::size_t weight_bytes() const { return session.weights().bytes(); }
  std::size_t nbytes() const { return session.bytes(); }
};

}  // namespace fastrnn::python
