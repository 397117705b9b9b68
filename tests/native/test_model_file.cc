// Model files: what every cell and option gives, to the last bit, and files that cannot be read.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "fastrnn/pool.hpp"
#include "model_writer.h"

namespace {

using fastrnn::Model;
using test::Index;
using test::ModelFile;

constexpr Index kSteps = 19, kBatch = 2;

/// What is said of a session over the model; "" where there is one.
std::string session_error(const std::shared_ptr<const Model>& model) {
  try {
    const fastrnn::ModelSession session(model);
  } catch (const fastrnn::Error& error) {
    return error.what();
  }
  return "";
}

// -- round trips -----------------------------------------------------------------------------------------------------

/// Two recurrent layers, a dense one and its activations.
struct Network {
  test::Problem<float> first, second;
  std::vector<float> kernel, bias;
  fastrnn::ActivationOption activation = fastrnn::Activation::elu;
  static constexpr Index kOutputs = 5;

  Network(const test::Variant& variant, Index inputs, Index hidden)
      : first(variant, kSteps, kBatch, inputs, hidden, 1),
        second(fastrnn::CellOptions(), kSteps, kBatch, first.state, 7, 2) {
    std::mt19937 generator(3);
    kernel = test::random_vector<float>(generator, 7 * kOutputs, 0.5);
    bias = test::random_vector<float>(generator, kOutputs, 0.5);
    activation.alpha = 0.3;
  }

  std::string file() const {
    ModelFile file;
    file.add_recurrent(first);
    file.add_recurrent(second);
    file.add_dense(7, kOutputs, kernel, bias);
    file.add_layer("{\"kind\":\"activation\",\"activation\":" + test::activation_text(activation) + "}");
    file.add_layer("{\"kind\":\"softmax\"}");
    return file.text();
  }

  /// Layer by layer over the whole sequence, from states of zero.
  std::vector<float> expected(const fastrnn::PackOptions& options) {
    for (test::Problem<float>* p : {&first, &second}) {
      std::fill(p->h0.begin(), p->h0.end(), 0.0f);
      std::fill(p->c0.begin(), p->c0.end(), 0.0f);
    }
    first.forward(*first.pack(options));
    second.x = first.y;
    second.forward(*second.pack(options));
    const Index rows = kSteps * kBatch;
    std::vector<float> y(rows * kOutputs);
    fastrnn::matmul(second.y.data(), kernel.data(), y.data(), rows, 7, kOutputs);
    for (Index r = 0; r < rows; ++r)
      for (Index i = 0; i < kOutputs; ++i) y[r * kOutputs + i] += bias[i];
    fastrnn::activate(activation, y.data(), y.data(), Index(y.size()), options.fast_activations);
    for (Index r = 0; r < rows; ++r) {
      float* row = y.data() + r * kOutputs;
      const float most = *std::max_element(row, row + kOutputs);
      float sum = 0;
      for (Index i = 0; i < kOutputs; ++i) sum += row[i] = std::exp(row[i] - most);
      for (Index i = 0; i < kOutputs; ++i) row[i] /= sum;
    }
    return y;
  }
};

void check_round_trip(const std::string& name, test::Variant variant) {
  variant.weight_dropout = 0;  // of training alone
  variant.norm_epsilon = 1e-2;
  if (variant.projection_clip > 0) variant.projection_clip = 0.02;  // one that the numbers reach
  using fastrnn::Activation;
  if (variant.recurrent_activation.kind == Activation::hard_sigmoid)
    variant.recurrent_activation = {Activation::hard_sigmoid, 0.3, 0.4};
  for (const auto& [inputs, hidden] : {std::pair<Index, Index>{3, 17}, {1, 1}, {33, 3}})
    for (int precision = 0; precision < fastrnn::kPrecisions; ++precision) {
      fastrnn::PackOptions options;
      options.precision = static_cast<fastrnn::Precision>(precision);
      Network network(variant, inputs, hidden);
      const std::vector<float> expected = network.expected(options);
      const auto model = test::load(network.file(), options);
      std::vector<float> y(expected.size());
      fastrnn::ModelSession session(model, kBatch);
      session.run(network.first.x.data(), kSteps, y.data());
      test::check(y == expected, name + ": another result than that of its layers, I " + std::to_string(inputs) +
                                     ", H " + std::to_string(hidden) + ", precision " + std::to_string(precision));
    }
}

/// Weights of other types become the floats that they are.
void check_dtypes() {
  struct Case {
    const char* dtype;
    std::string bytes;
    float value;
  };
  const auto bytes_of = [](auto value) { return std::string(reinterpret_cast<const char*>(&value), sizeof value); };
  const std::vector<Case> cases = {
      {"F64", bytes_of(0.1), 0.1f},
      {"F32", bytes_of(-3.5f), -3.5f},
      {"BF16", bytes_of(std::uint16_t(0xbf80)), -1.0f},
      {"F16", bytes_of(std::uint16_t(0x3555)), 0.333251953125f},
      {"F16", bytes_of(std::uint16_t(0x8001)), -5.9604644775390625e-8f},
      {"F16", bytes_of(std::uint16_t(0x7bff)), 65504.0f},
  };
  for (const Case& c : cases) {
    const std::string header =
        "{\"k\":{\"dtype\":\"" + std::string(c.dtype) + "\",\"shape\":[1,1],\"data_offsets\":[0," +
        std::to_string(c.bytes.size()) +
        "]},\"__metadata__\":{\"fastrnn.native\":\"{\\\"version\\\":1,\\\"layers\\\":[{\\\"kind\\\":\\\"dense\\\","
        "\\\"dtype\\\":\\\"" +
        c.dtype + "\\\",\\\"inputs\\\":1,\\\"outputs\\\":1,\\\"arrays\\\":{\\\"kernel\\\":\\\"\\u006b\\\"}}]}\"}}";
    const auto model = test::load(ModelFile::join(header, c.bytes));
    const float x = 1;
    float y = 0;
    fastrnn::ModelSession(model).step(&x, &y);
    test::check(y == c.value, std::string(c.dtype) + ": expected " + std::to_string(c.value));
  }
}

/// The error that a call throws.
template <class F>
std::string error_of(const F& call) {
  try {
    call();
  } catch (const fastrnn::Error& error) {
    return error.what();
  }
  return "nothing";
}

void check_what_is_null() {
  const std::shared_ptr<const Model> none;
  const std::pair<std::string, std::string> cases[] = {
      {error_of([&] { fastrnn::ModelSession session(none); }), "model: expected one, got null"},
      {error_of([&] { fastrnn::StreamPool pool(none, 1); }), "model: expected one, got null"},
      {error_of([&] { fastrnn::Session<float> session(nullptr); }), "weights: expected some, got null"},
  };
  for (const auto& [got, expected] : cases) test::check(got == expected, "got '" + got + "'");
}

// -- files -----------------------------------------------------------------------------------------------------------

void check_paths() {
  char folder[] = "/tmp/fastrnn-XXXXXX";
  test::check(mkdtemp(folder) != nullptr, "a folder for files");
  const std::string at = std::string(folder) + "/", good = test::small_model().text();
  const auto write = [&](const std::string& name, const std::string& content) {
    std::FILE* file = std::fopen((at + name).c_str(), "wb");
    std::fwrite(content.data(), 1, content.size(), file);
    std::fclose(file);
  };
  const auto expect = [&](const std::string& name, const std::string& message) {
    std::string got;
    try {
      Model::load(at + name);
    } catch (const fastrnn::Error& error) {
      got = error.what();
    }
    test::check(message.empty() ? got.empty() : got.find(at + name + ": " + message) == 0,
                name + ": expected '" + message + "', got '" + got + "'");
  };
  write("good", good);
  write("empty", "");
  write("cut", good.substr(0, good.size() - 1));
  write("nan", ModelFile::join(test::small_model().header(), std::string(good.size(), '\xff')).substr(0, good.size()));
  mkfifo((at + "pipe").c_str(), 0600);
  mkdir((at + "folder").c_str(), 0700);
  expect("good", "");
  expect("none", "expected a file that can be read, got: No such file");
  expect("empty", "expected a safetensors file, of 8 bytes or more, got 0");
  expect("cut", "header, byte");
  expect("nan", "layer 0: array '0.w_ih': expected finite numbers");
  expect("pipe", "expected a regular file, got a device or pipe");
  expect("folder", "expected a regular file, got a folder");
  for (const char* name : {"good", "empty", "cut", "nan", "pipe"}) unlink((at + name).c_str());
  rmdir((at + "folder").c_str());
  rmdir(folder);
}

// -- whole sequences -------------------------------------------------------------------------------------------------

/// Both directions side by side, rows of several lengths: what forward() gives for each direction.
void check_both_directions() {
  const std::vector<Index> lengths = {kSteps, 0, 5};
  const Index batch = Index(lengths.size()), inputs = 3;
  test::Problem<float> one(fastrnn::CellOptions(), kSteps, batch, inputs, 7, 1);
  test::Problem<float> other(fastrnn::CellOptions(), kSteps, batch, inputs, 5, 2);
  ModelFile file;
  file.add_recurrent(one);
  file.add_layer("{\"kind\":\"reverse\",\"from\":[0]}");
  file.add_recurrent(other);
  file.add_layer("{\"kind\":\"reverse\"}");
  file.add_layer("{\"kind\":\"concatenate\",\"from\":[1,4]}");
  const std::string text = file.text();
  const auto model = Model::load(text.data(), text.size());
  test::check(!model->stepwise() && model->sequences(), "a model that reads backwards is not stepwise");
  for (test::Problem<float>* p : {&one, &other}) {
    std::fill(p->h0.begin(), p->h0.end(), 0.0f);
    std::fill(p->c0.begin(), p->c0.end(), 0.0f);
    p->lengths = lengths;
    p->x = one.x;
    p->reverse = p == &other;
    p->forward(*p->pack({}));
  }
  std::vector<float> y(std::size_t(kSteps * batch * 12), 1.0f), expected;
  for (Index r = 0; r < kSteps * batch; ++r) {
    expected.insert(expected.end(), one.y.begin() + r * 7, one.y.begin() + (r + 1) * 7);
    expected.insert(expected.end(), other.y.begin() + r * 5, other.y.begin() + (r + 1) * 5);
  }
  for (const int threads : {1, 2}) {
    model->forward(one.x.data(), kSteps, batch, lengths.data(), y.data(), threads);
    test::check(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)) == 0,
                "both directions have the bits of forward(), on " + std::to_string(threads) + " threads");
  }
  const std::string got = session_error(model);
  test::check(
      got.find("expected one that runs step by step, got layer 1, which begins at the end") != std::string::npos,
      "a session of it: got '" + got + "'");
}

/// Windows over time: a strided convolution in groups and a pool over it, rows of several lengths.
void check_windows() {
  const std::vector<Index> lengths = {kSteps, 2, 7};
  const Index batch = Index(lengths.size());
  ModelFile file;
  file.add_layer("{\"kind\":\"windows\",\"inputs\":4,\"size\":3,\"stride\":2,\"before\":1}");
  std::vector<float> kernel(6 * 4), x(std::size_t(kSteps * batch * 4));
  for (std::size_t i = 0; i < kernel.size(); ++i) kernel[i] = float(i % 5) - 2;
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = float(i * i % 11) - 4;
  const std::string array = file.add_array("kernel", {6, 4}, kernel);
  file.add_layer(
      "{\"kind\":\"dense\",\"dtype\":\"F32\",\"inputs\":12,\"outputs\":4,\"width\":4,\"groups\":2,\"arrays\":{" +
      array + "}}");
  file.add_layer("{\"kind\":\"window_maximum\",\"size\":2}");
  const std::string text = file.text();
  const auto model = Model::load(text.data(), text.size());
  const auto convolved = [](Index steps) { return steps < 2 ? 0 : (steps - 2) / 2 + 1; };
  const auto pooled = [&](Index steps) { return std::max<Index>(convolved(steps) - 1, 0); };
  for (Index steps = 0; steps <= kSteps; ++steps)
    test::check(model->output_steps(steps) == pooled(steps), "windows of " + std::to_string(steps) + " steps");
  const Index most = model->output_steps(kSteps);
  std::vector<float> y(std::size_t(most * batch * 4), 1.0f), expected(y.size(), 0.0f);
  for (Index b = 0; b < batch; ++b)
    for (Index t = 0; t < pooled(lengths[std::size_t(b)]); ++t)
      for (Index o = 0; o < 4; ++o) {
        float both[2] = {0, 0};
        for (Index k = 0; k < 2; ++k)
          for (Index place = 0; place < 3; ++place)
            for (Index i = 0, time = 2 * (t + k) + place - 1; time >= 0 && i < 2; ++i)
              both[k] +=
                  x[std::size_t((time * batch + b) * 4 + o / 2 * 2 + i)] * kernel[std::size_t((place * 2 + i) * 4 + o)];
        expected[std::size_t((t * batch + b) * 4 + o)] = std::max(both[0], both[1]);
      }
  model->forward(x.data(), kSteps, batch, lengths.data(), y.data());
  test::check(y == expected, "a strided convolution of two groups, and a pool over it");
  const std::string got = session_error(model);
  test::check(
      got.find("got layer 0, which gives a step for each window of steps; forward() runs it") != std::string::npos,
      "a session of it: got '" + got + "'");
}

/// A stepwise model: the bits of a session, from learned states.
void check_bits_of_a_session() {
  test::Problem<float> problem(fastrnn::CellOptions(), kSteps, kBatch, 3, 7, 1);
  const auto weights = problem.pack({});
  Model model;
  fastrnn::ModelLayer delay, recurrent;
  delay.kind = fastrnn::ModelLayer::Kind::delay;
  delay.inputs = 1;
  delay.steps = 2;
  model.add(delay);
  recurrent.kind = fastrnn::ModelLayer::Kind::recurrent;
  recurrent.weights = weights;
  recurrent.h0.assign(7, 0.5f);
  recurrent.c0.assign(7, -0.5f);
  model.add(recurrent);
  std::vector<float> y(std::size_t(kSteps * kBatch * 7)), expected(y), whole(y);
  model.forward(problem.x.data(), kSteps, kBatch, nullptr, y.data());
  std::vector<char> memory(fastrnn::ModelSession::size(model, kBatch) + 64);
  void* at = memory.data();
  std::size_t room = memory.size();
  fastrnn::ModelSession session(model, kBatch, std::align(64, room - 64, at, room));
  session.run(problem.x.data(), kSteps, expected.data());
  test::check(std::memcmp(y.data(), expected.data(), y.size() * sizeof(float)) == 0, "whole: the bits of a session");
  session.reset();
  session.run(problem.x.data(), kSteps, whole.data());
  test::check(whole == expected, "reset goes back to the learned states");
  recurrent.h0.resize(3);
  std::string got;
  try {
    model.add(recurrent);
  } catch (const fastrnn::Error& error) {
    got = error.what();
  }
  test::check(got == "h0: expected 7 numbers, got 3", "three of seven states: got '" + got + "'");
}

}  // namespace

int main(int argc, char** argv) {
  for (const std::string& isa : test::isas(argc, argv)) {
    fastrnn::set_isa(isa);
    for (const auto& [name, variant] : test::variants()) check_round_trip(isa + " " + name, variant);
    check_dtypes();
    check_both_directions();
    check_windows();
    check_bits_of_a_session();
  }
  check_paths();
  check_what_is_null();
  return test::finish("model_file");
}
