// Models of several layers for the tests of sessions and pools.
#pragma once

#include "model_writer.h"

namespace test {

/// The file of a model: the layers over one another, then a dense layer, an activation and softmax.
inline std::string model_text(const std::vector<Variant>& layers, Index inputs, Index hidden) {
  ModelFile file;
  std::mt19937 generator(1);
  for (const Variant& layer : layers) {
    const Problem<float> problem(layer, 1, 1, inputs, hidden, 2);
    file.add_recurrent(problem);
    inputs = problem.state;
  }
  file.add_dense(inputs, 3, random_vector<float>(generator, inputs * 3, 0.5), random_vector<float>(generator, 3, 0.5));
  file.add_layer("{\"kind\":\"activation\",\"activation\":[\"elu\",0.5,1]}");
  file.add_layer("{\"kind\":\"softmax\"}");
  return file.text();
}

/// LSTM, GRU, RNN and a head.
inline std::string stack_text(Index inputs, Index hidden) {
  Variant lstm, gru, rnn;
  gru.cell = fastrnn::CellType::gru;
  rnn.cell = fastrnn::CellType::rnn;
  return model_text({lstm, gru, rnn}, inputs, hidden);
}

/// Every way in which weights can be stored and computed with.
inline std::vector<fastrnn::PackOptions> pack_options() {
  std::vector<fastrnn::PackOptions> all(fastrnn::kPrecisions + 1);
  for (int i = 0; i < fastrnn::kPrecisions; ++i) all[i].precision = fastrnn::Precision(i);
  all.back().fast_activations = true;
  return all;
}

}  // namespace test
