// A trained model and what runs it: for services that stream. Shape legend: fastrnn.hpp.
//
//   const auto model = fastrnn::Model::load("model.safetensors");   // once; shared by any number of sessions
//   fastrnn::ModelSession session(model);
//   session.step(x, y);                                            // x (I), y (O): no allocation, lock or exception
//   model->forward(x, steps, batch, lengths, y);                   // whole sequences, for layers that look ahead, too
//
// Models compute in float; their weights may be stored in any Precision.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fastrnn/fastrnn.hpp"

namespace fastrnn {

struct Stage;  // csrc/core/model/model.h

/// A layer as a plain value: what Model::add takes, and what unpack gives back. Each layer gives one value, a vector
/// for every step; value 0 is the model's input, value n what layer n - 1 gave.
struct ModelLayer {
  enum class Kind : signed char {
    recurrent,            // forwards in time
    dense,                // each of `rows` rows of a step times the kernel, and the bias; see `groups`
    activation,           // elementwise
    softmax,              // over each row of `width`
    gather,               // elements of the step, or zeros, in the order of `runs`
    delay,                // the step and the `steps` before it, the oldest first; zeros before the first. With `ahead`
                          // it is so many steps later, zeros after the last
    concatenate,          // of several values, in their order
    add,                  // of two values of one width, likewise:
    subtract,             //
    multiply,             //
    divide,               //
    affine,               // x * scale + shift, for each row of their width
    power,                // x ** number; 0.5 is the square root
    layer_normalization,  // of each row, the width of scale: to mean 0 and variance 1 (number is added to it), then
                          // affine
    embedding,            // each element, a whole number, chooses a row of the table `kernel`; NaN beside all others
    // What needs the whole sequence, of each row its own: for Model::forward alone.
    reverse,  // the last step first
    last,     // the last step, zeros where there is none; here and below one value instead of one for every step:
    mean,     // over the steps, NaN where there are none
    maximum,  // over the steps, -infinity where there are none
    // Elementwise again; here because programs that were compiled know the numbers of those above.
    log,          // natural: -infinity at 0, NaN below
    erf,          // the error function
    at_least,     // x where it is above the number, else the number; NaN stays:
    at_most,      //
    log_softmax,  // as softmax: the logarithms, where those of small parts do not vanish
    // Over windows, a step for each, which changes how many steps there are: for Model::forward alone.
    windows,         // the steps of the window, one behind the other; zeros outside of the sequence
    window_maximum,  // of the steps inside of the sequence, likewise:
    window_mean,     //
  };
  /// Elements first, first + 1, ...; where first is the number of inputs, zeros.
  struct Run {
    Index first, count;
  };
  /// Windows of `size` steps, `dilation` apart, the first of each `stride` after that of the window before. They lie
  /// within the sequence with `before` and `after` steps put around it, or are ceil(T / stride), centred, the odd step
  /// of the padding at the end (`same`). Padding is shorter than a window, so that there are never more windows than
  /// steps.
  struct Windows {
    std::int32_t size = 1, stride = 1, dilation = 1, before = 0, after = 0;
    bool same = false;

    /// From the first step of a window to its last, both counted.
    Index span() const noexcept { return Index(size - 1) * dilation + 1; }
    /// What is added to the number of steps before it is divided by the stride: that is how many windows there are.
    Index added() const noexcept { return same ? stride - 1 : Index(before) + after - span() + stride; }
    /// How many there are over so many steps.
    Index count(Index steps) const noexcept { return steps + added() < 0 ? 0 : (steps + added()) / stride; }
    /// Steps of padding before a sequence of so many.
    Index padding(Index steps) const noexcept {
      if (!same) return before;
      const Index missing = (count(steps) - 1) * stride + span() - steps;
      return missing > 0 ? missing / 2 : 0;
    }
  };

  Kind kind = Kind::dense;
  std::vector<Index> from = {};  // the values that it reads; empty: the one before it
  Index inputs = 0;              // elements of a step, for a dense layer of a row; 0: as many as the value has
  Index outputs = 0;             // dense, of a row; embedding, of a row of the table
  Index rows = 1;                // dense
  Index width = 0;               // softmax, log_softmax, dense: of a stretch; 0: the whole step, or row
  Index steps = 0, ahead = 0;    // delay
  double number = 0;             // power, layer_normalization, at_least, at_most
  ActivationOption activation = Activation::identity;
  std::vector<Run> runs = {};                          // gather
  std::vector<float> kernel = {};                      // dense, (inputs / groups, outputs); embedding, (N, outputs)
  std::vector<float> bias = {};                        // dense, (outputs), or empty
  std::vector<float> scale = {}, shift = {};           // affine, layer_normalization
  std::shared_ptr<const Weights<float>> weights = {};  // recurrent
  std::vector<float> h0 = {}, c0 = {};                 // recurrent, the first states (P) and (S,H), or empty: zeros
  /// Of a dense layer: so many parts of equal size, of the outputs and of each stretch of `width` inputs. An output
  /// reads the part of its own in every stretch: the kernel is (inputs / groups, outputs).
  Index groups = 1;
  Windows windows;  // windows, window_maximum, window_mean
};

/// Layers, each of which reads what earlier ones gave, most of them the one before: recurrent ones, forwards in time,
/// delays, and others, which see each step alone. Immutable once it is shared.
class FASTRNN_API Model {
 public:
  explicit Model(const PackOptions& options = {});
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  /// A safetensors file, written by fastrnn's `model.save`; docs/model-file.md has the schema. Throws Error, naming the
  /// path and what was expected, for anything that is not one.
  static std::shared_ptr<const Model> load(const std::string& path, const PackOptions& options = {});
  /// The same from memory, which is not needed afterwards.
  static std::shared_ptr<const Model> load(const void* data, std::size_t bytes, const PackOptions& options = {});

  /// Appends a layer; throws Error unless it fits the values that it reads.
  void add(ModelLayer layer);
  /// Each appends a layer that reads the value before it.
  void add_recurrent(const CellOptions& options, const Parameters<float>& parameters);
  /// Weights that others may share, with the precision that they were packed with.
  void add_recurrent(std::shared_ptr<const Weights<float>> weights);
  /// y = x kernel + bias; kernel (inputs, outputs), bias (outputs) or null.
  void add_dense(Index inputs, Index outputs, const float* kernel, const float* bias);
  void add_activation(const ActivationOption& activation);
  void add_softmax();

  Index inputs() const noexcept;
  Index outputs() const noexcept;
  /// Elements of a step of a value; of value 0, `inputs()`.
  Index width(Index value) const noexcept;
  /// Recurrent layers.
  Index layers() const noexcept;
  /// Whether no layer needs a later step: then sessions and pools run it.
  bool stepwise() const noexcept;
  /// Whether it gives a value for every step, and not one for the whole sequence.
  bool sequences() const noexcept;
  /// How many steps y has where x has so many: as many, or fewer where layers go over windows of steps; 1 unless
  /// sequences().
  Index output_steps(Index steps) const noexcept;

  /// Whole sequences, from the first states: x (T,B,I) to y (output_steps(T),B,O), or (B,O) unless sequences();
  /// contiguous. Row b has lengths[b] steps, all T where lengths is null, and gives what it would give alone,
  /// output_steps(lengths[b]) of them; y beyond is zero. Threads share the recurrent layers; 0: num_threads(). What a
  /// stepwise model gives is what a session does, to the last bit. Throws Error for a length beyond T, and for an x
  /// that an embedding has no row for. Any number of threads may call it.
  void forward(const float* x, Index steps, Index batch, const Index* lengths, float* y, int threads = 0) const;

  std::size_t bytes() const noexcept;
  const PackOptions& options() const noexcept { return options_; }
  const std::vector<std::unique_ptr<Stage>>& stages() const noexcept { return stages_; }

 private:
  PackOptions options_;
  std::vector<std::unique_ptr<Stage>> stages_;
};

/// The states of a session or stream as bytes: this header, StateLayer of each layer that has a state, then of each h
/// (B,P) and the cell states (S,B,H), float in the order of the machine. Of a delay, h is the steps before, the oldest
/// first.
struct StateHeader {
  char magic[4];  // "FRNN"
  std::uint32_t version;
  std::uint32_t batch, layers;
  std::uint64_t bytes;  // of the whole state
};
struct StateLayer {
  std::uint32_t outputs, hidden, cell_states, reserved;  // P, H, S, 0
};
constexpr std::uint32_t kStateVersion = 1;

/// A batch of streams over one stepwise model, in step with each other. It owns their states, which begin as zeros or
/// as the layers' h0 and c0, and all memory; nothing but its making allocates or throws. One thread at a time may use
/// it. Results are those of the layers called over the whole sequence, to the last bit.
class FASTRNN_API ModelSession {
 public:
  explicit ModelSession(std::shared_ptr<const Model> model, Index batch = 1);
  /// In memory that the caller owns: `memory` has at least size() bytes, aligned to 64. The caller keeps the model and
  /// the memory; nothing is allocated.
  ModelSession(const Model& model, Index batch, void* memory);
  static std::size_t size(const Model& model, Index batch = 1);
  ~ModelSession();
  ModelSession(ModelSession&& other) noexcept;
  ModelSession& operator=(ModelSession&& other) noexcept;

  /// A copy with the same states, in memory of its own.
  ModelSession clone() const;

  /// x (B,I) to y (B,O), contiguous.
  void step(const float* x, float* y) noexcept;
  /// x (T,B,I) to y (T,B,O), contiguous.
  void run(const float* x, Index steps, float* y) noexcept;
  /// States as they began.
  void reset() noexcept;

  /// See StateHeader.
  std::size_t state_bytes() const noexcept;
  void get_state(void* bytes) const noexcept;
  /// Returns false, with nothing changed, unless the bytes are of a session with the same model sizes and batch.
  bool set_state(const void* bytes, std::size_t count) noexcept;

  const Model& model() const noexcept;
  Index batch() const noexcept;

 private:
  struct Data;
  Data* data_ = nullptr;
};

}  // namespace fastrnn
