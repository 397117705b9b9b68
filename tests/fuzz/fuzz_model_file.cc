// Any bytes as a model's file: refused, or a model that computes the same in steps, in chunks, in a pool and whole.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "fastrnn/pool.hpp"
#include "model_writer.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace {

using fastrnn::Index;

void expect(bool ok) {
  if (!ok) std::abort();
}

/// A fuzzer whose files are all refused by the first check would show little.
struct Tally {
  std::size_t files = 0, models = 0;
  ~Tally() { std::fprintf(stderr, "Tally: %zu files, of which %zu were models that ran\n", files, models); }
} tally;

constexpr std::size_t kPrefix = 8;

std::uint64_t header_length(const std::uint8_t* data) {
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kPrefix; ++i) length |= std::uint64_t(data[i]) << 8 * i;
  return length;
}

void run(const std::shared_ptr<const fastrnn::Model>& model, const std::uint8_t* data, std::size_t size) {
  constexpr Index steps = 18;  // more than a chunk
  const Index inputs = model->inputs(), outputs = model->outputs();
  std::vector<float> x(std::size_t(steps * inputs)), stepped(std::size_t(steps * outputs)), ran(stepped),
      pooled(stepped);
  const bool choices = data[0] % 2 == 0;  // as an embedding wants them
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = choices ? float(data[i % size] % 4) : float(data[i % size]) / 64 - 2;
  std::vector<float> whole(std::size_t(steps * outputs));
  bool has_whole = true;
  try {  // an embedding may have fewer rows than are asked for
    const Index length = steps - Index(data[0] % 3);
    model->forward(x.data(), steps, 1, &length, whole.data());
    model->forward(x.data(), steps, 1, nullptr, whole.data());
  } catch (const fastrnn::Error&) {
    has_whole = false;
  }
  if (!model->stepwise()) {
    bool refused = false;
    try {
      const fastrnn::ModelSession session(model);
    } catch (const fastrnn::Error&) {
      refused = true;
    }
    return expect(refused);
  }
  fastrnn::ModelSession session(model);
  session.run(x.data(), steps, ran.data());
  if (has_whole) expect(std::memcmp(ran.data(), whole.data(), ran.size() * sizeof(float)) == 0);
  fastrnn::ModelSession other(model);
  for (Index t = 0; t < steps; ++t) other.step(x.data() + t * inputs, stepped.data() + t * outputs);
  expect(std::memcmp(ran.data(), stepped.data(), ran.size() * sizeof(float)) == 0);

  std::vector<char> state(session.state_bytes());
  session.get_state(state.data());
  fastrnn::StreamPool pool(model, 2, steps);
  pool.open();
  const auto stream = pool.open();
  expect(pool.push(stream, x.data(), steps) == fastrnn::StreamPool::Result::ok);
  while (pool.advance() > 0) {
  }
  expect(pool.pull(stream, pooled.data(), steps) == steps);
  expect(std::memcmp(ran.data(), pooled.data(), ran.size() * sizeof(float)) == 0);
  std::vector<char> exported(pool.state_bytes());
  pool.get_state(stream, exported.data());
  expect(exported == state);

  // Any bytes as states: refused whole, or taken.
  expect(other.set_state(state.data(), state.size()));
  other.step(x.data(), stepped.data());
  other.set_state(data, size);
  std::vector<char> turned = state;
  turned[data[0] % turned.size()] = char(data[size - 1]);
  if (other.set_state(turned.data(), turned.size())) {
    other.get_state(state.data());
    expect(state == turned);
  }
  other.step(x.data(), stepped.data());
  expect(!pool.set_state(stream, state.data(), state.size() - 1));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ++tally.files;
  fastrnn::PackOptions options;
  if (size > 0) {
    options.precision = static_cast<fastrnn::Precision>(data[size - 1] % fastrnn::kPrecisions);
    options.fast_activations = (data[size - 1] & 64) != 0;
  }
  // A copy of exactly this size: libFuzzer's own buffer may be longer.
  const std::vector<std::uint8_t> exact(data, data + size);
  std::shared_ptr<const fastrnn::Model> model;
  try {
    model = fastrnn::Model::load(exact.data(), size, options);
  } catch (const fastrnn::Error& error) {
    expect(error.what()[0] != '\0');
    return 0;
  }
  run(model, exact.data(), size);
  ++tally.models;
  return 0;
}

namespace {

/// A sound file: one recurrent layer or two of any cell and options, and a head. Few changes to a header leave it
/// sound, and so hardly any would reach the kernels.
std::string sound_file(unsigned seed) {
  std::mt19937 generator(seed);
  const auto draw = [&](Index n) { return Index(generator() % unsigned(n)); };
  static const auto variants = test::variants();
  test::ModelFile file;
  Index width = 1 + draw(4);
  for (Index layers = 1 + draw(2); layers > 0; --layers) {
    const auto& [name, variant] = variants[std::size_t(draw(Index(variants.size())))];
    const test::Problem<float> problem(variant, 1, 1, width, 1 + draw(4), unsigned(generator()));
    file.add_recurrent(problem);
    width = problem.state;
    if (draw(6) == 0) file.add_layer("{\"kind\":\"reverse\"}");
    static const char* const windows[] = {"windows", "window_maximum", "window_mean"};
    if (draw(4) == 0) {
      const std::string kind = windows[draw(3)], size = std::to_string(1 + draw(3)),
                        stride = std::to_string(1 + draw(3));
      file.add_layer("{\"kind\":\"" + kind + "\",\"size\":" + size + ",\"stride\":" + stride +
                     ",\"same\":" + (draw(2) == 0 ? "true" : "false") + "}");
      if (kind == windows[0]) width *= Index(size[0] - '0');
    }
  }
  static const char* const kinds[] = {"last", "mean", "maximum"};
  if (draw(4) == 0) file.add_layer("{\"kind\":\"" + std::string(kinds[draw(3)]) + "\"}");
  if (draw(2) == 0) {
    const Index outputs = 1 + draw(3);
    file.add_dense(width, outputs, test::random_vector<float>(generator, width * outputs, 1),
                   test::random_vector<float>(generator, outputs, 1));
  }
  if (draw(3) == 0) {
    const fastrnn::ActivationOption activation = static_cast<fastrnn::Activation>(draw(14));
    file.add_layer("{\"kind\":\"activation\",\"activation\":" + test::activation_text(activation) + "}");
  }
  if (draw(3) == 0) file.add_layer("{\"kind\":\"softmax\"}");
  return file.text();
}

}  // namespace

/// One file in four is a new sound one. In the others, header and arrays are changed apart, and the length before them
/// is set right, for most changes would otherwise end at it; one in eight is left as it comes.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  if (seed % 4 == 1) {
    const std::string file = sound_file(seed);
    if (file.size() <= max_size) {
      std::memcpy(data, file.data(), file.size());
      return file.size();
    }
  }
  if (seed % 8 == 0 || size < kPrefix || header_length(data) > size - kPrefix)
    return LLVMFuzzerMutate(data, size, max_size);
  const std::size_t length = std::size_t(header_length(data));
  std::string header(reinterpret_cast<char*>(data) + kPrefix, length);
  std::string arrays(reinterpret_cast<char*>(data) + kPrefix + length, size - kPrefix - length);
  std::string& part = seed % 8 == 2 ? arrays : header;
  const std::size_t before = part.size(), most = max_size - (size - before);
  part.resize(most + 1);
  part.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(part.data()), before, std::max<std::size_t>(most, 1)));
  const std::string file = std::string(kPrefix, '\0') + header + arrays;
  if (file.size() > max_size) return size;
  std::memcpy(data, file.data(), file.size());
  for (std::size_t i = 0; i < kPrefix; ++i) data[i] = std::uint8_t(std::uint64_t(header.size()) >> 8 * i);
  return file.size();
}
