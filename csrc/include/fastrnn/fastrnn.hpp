// fastrnn: recurrent networks, forward and backward.
//
// Shape legend, used everywhere: T time steps, B batch, I input size, H hidden size, G gates (RNN 1, GRU 3, LSTM 4).
//   x (T,B,I)   y (T,B,H)   h0, c0, h_n, c_n (B,H)   lengths (B,)
//   w_ih (G*H,I)   w_hh (G*H,H)   b_ih, b_hh (G*H,)   w_peep (3,H) or (3,H,H), in the order i, f, o
// Gate order: LSTM i, f, g, o; GRU r, z, n. Arrays are row-major and, unless a Sequence says otherwise, contiguous.
//
// Everything here throws fastrnn::Error on bad input and std::bad_alloc when memory is short; nothing is written then.
// Weights and Saved are immutable and may be shared between threads.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "fastrnn/types.h"

namespace fastrnn {

/// A bad argument. The message reads "argument: expected what, got what".
class Error : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

enum class CellType : signed char { rnn, lstm, gru };
enum class Activation : signed char { tanh, relu, sigmoid, identity };
enum class Peephole : signed char { none, diagonal, full };
enum class Reset : signed char { after, before, output };

/// Which equations to compute; csrc/cells has them. Fields that do not concern the cell are ignored.
struct CellOptions {
  CellType cell = CellType::lstm;
  Activation activation = Activation::tanh;  // RNN
  Peephole peephole = Peephole::none;        // LSTM: the form of w_peep
  bool peephole_current = true;              // LSTM: o sees c' rather than c
  bool coupled = false;                      // LSTM: f = 1 - i
  Reset reset = Reset::after;                // GRU
};

Index gate_count(CellType cell) noexcept;

/// Canonical parameters, borrowed for the length of a call. Biases may be null: zero.
template <class T>
struct Parameters {
  Index inputs = 0;
  Index hidden = 0;
  const T* w_ih = nullptr;
  const T* w_hh = nullptr;
  const T* b_ih = nullptr;
  const T* b_hh = nullptr;
  const T* w_peep = nullptr;
};

/// How to store and compute with the parameters. Anything but the defaults is for inference.
struct PackOptions {
  Precision precision = Precision::full;
  bool fast_activations = false;  // sigmoid and tanh with the error that csrc/cpu/math-inl.h states; float only
};

template <class T>
struct PackedData;  // csrc/core/pack.h

/// Parameters packed for the instruction set that was in use when they were packed.
template <class T>
class Weights {
 public:
  Weights(const CellOptions& options, const Parameters<T>& parameters, const PackOptions& pack_options = {});
  ~Weights();
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;

  const CellOptions& options() const noexcept;
  const PackOptions& pack_options() const noexcept;
  Index inputs() const noexcept;
  Index hidden() const noexcept;
  std::size_t bytes() const noexcept;
  const char* isa() const noexcept;
  const PackedData<T>& packed() const noexcept { return *packed_; }
  const std::shared_ptr<const PackedData<T>>& shared_packed() const noexcept { return packed_; }

 private:
  std::shared_ptr<const PackedData<T>> packed_;
};

/// One layer in one direction over a batch of sequences. Null h0, c0: zeros. Null lengths: all T.
/// Row b runs its first lengths[b] steps (from the last of them to the first when `reverse`); y beyond them is zero and
/// h_n, c_n are the states at its own end.
template <class T>
struct ForwardArguments {
  Index steps = 0;
  Index batch = 0;
  Sequence<const T> x;
  const T* h0 = nullptr;
  const T* c0 = nullptr;
  const Index* lengths = nullptr;
  bool reverse = false;
  Sequence<T> y;
  T* h_n = nullptr;
  T* c_n = nullptr;  // LSTM only
  int threads = 0;   // 0: num_threads()
};

template <class T>
void forward(const Weights<T>& weights, const ForwardArguments<T>& arguments);

template <class T>
struct SessionData;  // csrc/core/forward.cc

/// A stream: one layer over a batch of sequences that come piece by piece. It owns its states, which begin as zeros,
/// and all memory that a step needs: step, run and reset neither allocate nor throw. One thread at a time may use it;
/// any number of sessions share Weights. The results are those of forward() over the whole sequence, to the last bit.
template <class T>
class Session {
 public:
  explicit Session(std::shared_ptr<const Weights<T>> weights, Index batch = 1);
  ~Session();
  Session(Session&& other) noexcept;
  Session& operator=(Session&& other) noexcept;

  /// x (B,I) to y (B,H), contiguous.
  void step(const T* x, T* y) noexcept;
  /// x (T,B,I) to y (T,B,H).
  void run(const Sequence<const T>& x, Index steps, const Sequence<T>& y) noexcept;
  /// States to zero.
  void reset() noexcept;
  /// h and c (LSTM only, else null) as (B,H); null sets zeros.
  void set_state(const T* h, const T* c) noexcept;
  void get_state(T* h, T* c) const noexcept;

  const Weights<T>& weights() const noexcept;
  Index batch() const noexcept;
  std::size_t bytes() const noexcept;

 private:
  std::unique_ptr<SessionData<T>> data_;
};

template <class T>
struct SavedData;  // csrc/core/layer.h

/// What the backward pass needs beyond x and y, which it borrows: they must outlive it, unchanged.
template <class T>
class Saved {
 public:
  /// Runs the forward pass and keeps its gates and cell states.
  Saved(std::shared_ptr<const Weights<T>> weights, const ForwardArguments<T>& arguments);
  ~Saved();
  Saved(const Saved&) = delete;
  Saved& operator=(const Saved&) = delete;

  const Weights<T>& weights() const noexcept;
  Index steps() const noexcept;
  Index batch() const noexcept;
  std::size_t bytes() const noexcept;
  const SavedData<T>& data() const noexcept { return *data_; }

 private:
  std::unique_ptr<SavedData<T>> data_;
};

/// Gradients in the shapes of what they belong to; every pointer but dx, dc0 and dw_peep (LSTM only) is required and is
/// assigned, not added to. Null dy, dh_n, dc_n: zeros.
template <class T>
struct BackwardArguments {
  Sequence<const T> dy;
  const T* dh_n = nullptr;
  const T* dc_n = nullptr;
  Sequence<T> dx;  // null data: not computed
  T* dh0 = nullptr;
  T* dc0 = nullptr;
  T* dw_ih = nullptr;
  T* dw_hh = nullptr;
  T* db_ih = nullptr;
  T* db_hh = nullptr;
  T* dw_peep = nullptr;
  int threads = 0;  // 0: num_threads()
};

template <class T>
void backward(const Saved<T>& saved, const BackwardArguments<T>& arguments);

/// y = f(x) with the kernels' own activations (x and y may be the same).
template <class T>
void activate(Activation activation, const T* x, T* y, Index n, bool fast = false);

template <class T>
struct MatrixData;  // csrc/core/matmul.cc

/// The right factor b (k,n) of matrix products, packed for the instruction set in use. Immutable.
template <class T>
class Matrix {
 public:
  Matrix(const T* b, Index k, Index n);
  ~Matrix();
  Matrix(Matrix&& other) noexcept;

  Index rows() const noexcept;
  Index columns() const noexcept;
  /// out (m,n) = a (m,k) b, all contiguous. A row of the result depends on that row of a and on b alone, to the last
  /// bit, and one thread computes it: what a dense layer around a recurrent one needs to keep the promises of both.
  void multiply(const T* a, T* out, Index m) const;

 private:
  std::unique_ptr<MatrixData<T>> data_;
};

/// out (m,n) = a (m,k) b (k,n): the same with a factor that is packed for this one product.
template <class T>
void matmul(const T* a, const T* b, T* out, Index m, Index k, Index n);

constexpr int kMostThreads = 4096;
/// Threads of calls that do not say how many: one, unless set. Throws Error unless n is in 1..kMostThreads.
void set_num_threads(int n);
int num_threads() noexcept;

/// Instruction sets that this machine can run, slowest first.
std::vector<std::string> available_isas();
/// The one that new Weights are packed for: FASTRNN_ISA if set, else the last of available_isas().
std::string current_isa();
/// Chooses one by name; unknown or unavailable names throw Error.
void set_isa(const std::string& name);

}  // namespace fastrnn
