// Any sequence of calls on a pool, and on sessions beside it that show what each stream must give.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "fastrnn/model.hpp"
#include "fastrnn/pool.hpp"

namespace {

using fastrnn::Index;
using fastrnn::ModelSession;
using fastrnn::StreamPool;
using Result = StreamPool::Result;

void expect(bool ok) {
  if (!ok) std::abort();
}

constexpr Index kInputs = 3, kCapacity = 3, kQueue = 4;

std::vector<float> random(std::mt19937& generator, Index n) {
  std::vector<float> values(std::size_t(n), 0.0f);
  for (float& value : values) value = float(generator() % 2001) / 1000 - 1;
  return values;
}

/// One recurrent layer or two, and a head.
std::shared_ptr<const fastrnn::Model> make_model(fastrnn::CellType cell, Index hidden, fastrnn::Precision precision) {
  std::mt19937 generator(unsigned(hidden) * 31 + unsigned(precision));
  fastrnn::PackOptions pack_options;
  pack_options.precision = precision;
  const auto model = std::make_shared<fastrnn::Model>(pack_options);
  Index inputs = kInputs;
  for (int layer = 0; layer < 2; ++layer) {
    fastrnn::CellOptions options;
    options.cell = cell;
    const Index rows = fastrnn::gate_count(cell) * hidden;
    const auto w_ih = random(generator, rows * inputs), w_hh = random(generator, rows * hidden);
    const auto b_ih = random(generator, rows);
    fastrnn::Parameters<float> parameters;
    parameters.inputs = inputs;
    parameters.hidden = hidden;
    parameters.w_ih = w_ih.data();
    parameters.w_hh = w_hh.data();
    parameters.b_ih = b_ih.data();
    model->add_recurrent(options, parameters);
    inputs = hidden;
  }
  const auto kernel = random(generator, hidden * 2), bias = random(generator, 2);
  model->add_dense(hidden, 2, kernel.data(), bias.data());
  model->add_softmax();
  return model;
}

const std::vector<std::shared_ptr<const fastrnn::Model>>& models() {
  using fastrnn::CellType;
  using fastrnn::Precision;
  static const std::vector<std::shared_ptr<const fastrnn::Model>> all = {
      make_model(CellType::lstm, 5, Precision::full), make_model(CellType::gru, 9, Precision::bfloat16),
      make_model(CellType::slstm, 3, Precision::full), make_model(CellType::rnn, 8, Precision::int8),
      make_model(CellType::mgu, 1, Precision::bfloat16_weights)};
  return all;
}

/// The input, byte by byte; zeros when it is at its end.
class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  bool more() const { return at_ < size_; }
  std::uint8_t next() { return more() ? data_[at_++] : 0; }
  Index small() { return Index(std::int8_t(next())) % 8; }
  /// Numbers: most of moderate size, some with arbitrary bits.
  float number() {
    const std::uint8_t first = next();
    if (first < 0xf0) return float(first) / 60 - 2;
    std::uint32_t bits = 0;
    for (int i = 0; i < 4; ++i) bits = bits << 8 | next();
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  std::vector<float> numbers(Index n) {
    std::vector<float> values(std::size_t(std::max<Index>(n, 0)), 0.0f);
    for (float& value : values) value = number();
    return values;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_, at_ = 0;
};

bool same(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b); }

/// What a stream of the pool must do.
struct Stream {
  StreamPool::Stream name;
  ModelSession session;
  std::vector<float> waiting, ready;
};

class Player {
 public:
  Player(const std::shared_ptr<const fastrnn::Model>& model, Bytes& bytes)
      : model_(model), pool_(model, kCapacity, kQueue), bytes_(bytes), outputs_(model->outputs()) {}

  void call() {
    switch (bytes_.next() % 12) {
      case 0: return open();
      case 1: return close();
      case 2:
      case 3: return push();
      case 4:
      case 5: return advance();
      case 6: return pull();
      case 7: return state();
      case 8: return hostile_state();
      case 9: return reset();
      case 10: return unknown();
      case 11: return move();
    }
  }
  void check() {
    expect(pool_.size() == Index(streams_.size()));
    Index runnable = 0;
    for (const Stream& s : streams_) {
      expect(pool_.waiting(s.name) == Index(s.waiting.size()) / kInputs);
      expect(pool_.ready(s.name) == Index(s.ready.size()) / outputs_);
      runnable += !s.waiting.empty();
    }
    expect(pool_.runnable() == runnable);
  }

 private:
  Stream* choose() { return streams_.empty() ? nullptr : &streams_[bytes_.next() % streams_.size()]; }

  void open() {
    const StreamPool::Stream name = pool_.open();
    expect((name == StreamPool::kNone) == (Index(streams_.size()) == kCapacity));
    if (name == StreamPool::kNone) return;
    for (const Stream& s : streams_) expect(s.name != name);
    streams_.push_back({name, ModelSession(model_), {}, {}});
  }
  void close() {
    Stream* s = choose();
    if (s == nullptr) return;
    expect(pool_.close(s->name) == Result::ok);
    closed_ = s->name;
    streams_.erase(streams_.begin() + (s - streams_.data()));
  }
  void push() {
    Stream* s = choose();
    if (s == nullptr) return;
    const Index steps = bytes_.small();
    const std::vector<float> x = bytes_.numbers(steps * kInputs);
    const Index used = Index(s->waiting.size()) / kInputs + Index(s->ready.size()) / outputs_;
    const Result result = pool_.push(s->name, x.data(), steps);
    expect(result == (steps > kQueue - used ? Result::full : Result::ok));
    if (result == Result::ok) s->waiting.insert(s->waiting.end(), x.begin(), x.end());
  }
  /// Without a limit every stream that has a step waiting goes one further; with one, as many as it says do.
  void advance() {
    const Index most = bytes_.next() % 4 == 0 ? bytes_.small() : PTRDIFF_MAX;
    Index runnable = 0;
    for (const Stream& s : streams_) runnable += !s.waiting.empty();
    const Index n = pool_.advance(most);
    expect(n == std::max<Index>(0, std::min(most, runnable)));
    Index seen = 0;
    for (Stream& s : streams_) {
      const Index gone = Index(s.waiting.size()) / kInputs - pool_.waiting(s.name);
      expect(gone == 0 || gone == 1);
      seen += gone;
      if (gone == 0) continue;
      std::vector<float> y(std::size_t(outputs_), 0.0f);
      s.session.step(s.waiting.data(), y.data());
      s.waiting.erase(s.waiting.begin(), s.waiting.begin() + kInputs);
      s.ready.insert(s.ready.end(), y.begin(), y.end());
    }
    expect(seen == n);
  }
  void pull() {
    Stream* s = choose();
    if (s == nullptr) return;
    const Index most = bytes_.small(), ready = Index(s->ready.size()) / outputs_;
    std::vector<float> y(std::size_t(std::max<Index>(most, 0) * outputs_), 0.0f);
    const Index n = pool_.pull(s->name, y.data(), most);
    expect(n == std::max<Index>(0, std::min(most, ready)));
    for (Index i = 0; i < n * outputs_; ++i) expect(same(y[std::size_t(i)], s->ready[std::size_t(i)]));
    s->ready.erase(s->ready.begin(), s->ready.begin() + n * outputs_);
  }
  /// A session goes on where a stream is, and the stream where the session is.
  void state() {
    Stream* s = choose();
    if (s == nullptr) return;
    std::vector<char> bytes(pool_.state_bytes());
    expect(bytes.size() == s->session.state_bytes());
    expect(pool_.get_state(s->name, bytes.data()) == Result::ok);
    ModelSession copy = s->session.clone();
    expect(copy.set_state(bytes.data(), bytes.size()));
    expect(pool_.set_state(s->name, bytes.data(), bytes.size()));
    s->session = std::move(copy);
  }
  void hostile_state() {
    Stream* s = choose();
    if (s == nullptr) return;
    std::vector<char> bytes(pool_.state_bytes());
    s->session.get_state(bytes.data());
    for (Index i = bytes_.next() % 8; i > 0; --i)
      bytes[std::size_t(bytes_.next() * 256 + bytes_.next()) % bytes.size()] = char(bytes_.next());
    const std::size_t count = bytes.size() - (bytes_.next() % 4 == 0 ? bytes_.next() % bytes.size() : 0);
    const std::vector<char> exact(bytes.begin(), bytes.begin() + std::ptrdiff_t(count));
    const bool taken = pool_.set_state(s->name, exact.data(), exact.size());
    expect(taken == s->session.set_state(exact.data(), exact.size()));
  }
  void reset() {
    Stream* s = choose();
    if (s == nullptr) return;
    expect(pool_.reset(s->name) == Result::ok);
    s->session.reset();
    s->waiting.clear();
    s->ready.clear();
  }
  /// Names that no stream has, one that was closed among them.
  void unknown() {
    StreamPool::Stream name = closed_;
    if (bytes_.next() % 2 == 0)
      for (int i = 0; i < 8; ++i) name = StreamPool::Stream(std::uint64_t(name) << 8 | bytes_.next());
    for (const Stream& s : streams_)
      if (s.name == name) return;
    const std::vector<float> x(kInputs);
    std::vector<float> y(std::size_t(outputs_), 0.0f);
    std::vector<char> bytes(pool_.state_bytes());
    expect(pool_.push(name, x.data()) == Result::unknown_stream);
    expect(pool_.pull(name, y.data()) == -1);
    expect(pool_.waiting(name) == -1 && pool_.ready(name) == -1);
    expect(pool_.close(name) == Result::unknown_stream && pool_.reset(name) == Result::unknown_stream);
    expect(pool_.get_state(name, bytes.data()) == Result::unknown_stream);
    expect(!pool_.set_state(name, bytes.data(), bytes.size()));
  }
  /// A session in memory of ours, and one of several rows, which chunks of any length go through.
  void move() {
    const Index batch = 1 + bytes_.next() % 3, steps = bytes_.next() % 40;
    const std::vector<float> x = bytes_.numbers(steps * batch * kInputs);
    std::vector<float> whole(std::size_t(steps * batch * outputs_), 0.0f), cut(whole);
    ModelSession(model_, batch).run(x.data(), steps, whole.data());
    const std::size_t size = ModelSession::size(*model_, batch);
    void* memory = std::aligned_alloc(64, (size + 63) / 64 * 64);
    {
      ModelSession session(*model_, batch, memory);
      const Index first = steps > 0 ? bytes_.next() % steps : 0;
      session.run(x.data(), first, cut.data());
      session.run(x.data() + first * batch * kInputs, steps - first, cut.data() + first * batch * outputs_);
    }
    std::free(memory);
    for (std::size_t i = 0; i < cut.size(); ++i) expect(same(cut[i], whole[i]));
  }

  std::shared_ptr<const fastrnn::Model> model_;
  StreamPool pool_;
  Bytes& bytes_;
  Index outputs_;
  std::vector<Stream> streams_;
  StreamPool::Stream closed_ = StreamPool::kNone;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes(data, size);
  Player player(models()[bytes.next() % models().size()], bytes);
  while (bytes.more()) {
    player.call();
    player.check();
  }
  return 0;
}
