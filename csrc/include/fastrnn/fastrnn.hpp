// fastrnn: recurrent networks, forward and backward.
//
// Shape legend, used everywhere: T time steps, B batch, I input size, H hidden size, G gates (RNN, IndRNN 1, MGU 2,
// GRU 3, LSTM, sLSTM 4), P width of h and y: H, or that of a projection.
//   x (T,B,I)   y (T,B,P)   h0, h_n (B,P)   c0, c_n (B,H)   lengths (B,)
//   w_ih (G*H,I)   w_hh (G*H,H)   b_ih, b_hh (G*H,)   w_peep (3,H) or (3,H,H), in the order i, f, o
// Gate order: LSTM i, f, g, o; GRU r, z, n; MGU f, n; sLSTM i, f, z, o. Arrays are row-major and, unless a Sequence
// says otherwise, contiguous.
//
// Everything here throws fastrnn::Error on bad input and std::bad_alloc when memory is short; nothing is written then.
// Weights and Saved are immutable and may be shared between threads.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "fastrnn/export.h"
#include "fastrnn/types.h"
#include "fastrnn/version.h"

namespace fastrnn {

/// A bad argument. The message reads "argument: expected what, got what".
class FASTRNN_API Error : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// An activation with its parameters; those left out are ONNX's defaults.
struct FASTRNN_API ActivationOption {
  Activation kind;
  double alpha, beta;
  ActivationOption(Activation kind);
  ActivationOption(Activation kind, double alpha, double beta) : kind(kind), alpha(alpha), beta(beta) {}
};

/// Which equations to compute; csrc/cells has them. Fields that do not concern the cell are ignored.
struct CellOptions {
  CellType cell = CellType::lstm;
  ActivationOption activation = Activation::tanh;               // RNN, IndRNN: f; LSTM, GRU, MGU: of g or n
  ActivationOption recurrent_activation = Activation::sigmoid;  // LSTM, GRU, MGU: of the gates
  ActivationOption output_activation = Activation::tanh;        // LSTM: h' = o * f(c')
  Peephole peephole = Peephole::none;                           // LSTM: the form of w_peep
  bool peephole_current = true;                                 // LSTM: o sees c' rather than c
  bool coupled = false;                                         // LSTM: f = 1 - i
  Reset reset = Reset::after;                                   // GRU
  bool exponential_forget = false;                              // sLSTM: f is e^a rather than sigmoid(a)
  double clip = 0;                                              // every pre-activation is held within +-clip; 0: not
  double cell_clip = 0;                                         // LSTM: c' likewise
  double projection_clip = 0;  // LSTM: the projected h is held within +-projection_clip
  double forget_bias = 0;      // LSTM: added to the bias of f
  double norm_epsilon = 1e-5;
  double zoneout_h = 0, zoneout_c = 0;  // Krueger et al. 2016: in training random, else their mean
  double weight_dropout = 0;            // DropConnect of w_hh (Merity et al. 2018), drawn when packing
  std::uint64_t seed = 0;               // of weight_dropout
  std::uint32_t stream = 0;
};

FASTRNN_API Index gate_count(CellType cell) noexcept;
/// State vectors beside h: 1 for the LSTM, 3 (c, n, m) for the sLSTM.
FASTRNN_API Index cell_state_count(CellType cell) noexcept;

/// Canonical parameters, borrowed for the length of a call. Biases may be null: zero. What else is null is absent.
template <class T>
struct Parameters {
  Index inputs = 0;
  Index hidden = 0;
  Index projection = 0;  // P, with w_hr
  const T* w_ih = nullptr;
  const T* w_hh = nullptr;  // (G*H,H) or (G*H,P); IndRNN: (H)
  const T* b_ih = nullptr;
  const T* b_hh = nullptr;
  const T* w_peep = nullptr;
  const T* w_hr = nullptr;   // (P,H)
  const T* ln_ih = nullptr;  // (G*H): gains of layer normalisation (Ba et al. 2016); LSTM, GRU: both
  const T* ln_hh = nullptr;  // (G*H); RNN: this one alone
  const T* ln_c = nullptr;   // (2,H): gain and bias of the normalised c'
};

/// How to store and compute with the parameters. Anything but the defaults is for inference.
struct PackOptions {
  Precision precision = Precision::full;
  bool fast_activations = false;  // sigmoid and tanh with the error that csrc/cpu/math-inl.h states; float only
};

template <class T>
struct PackedData;  // csrc/core/weights/pack.h

/// Parameters packed for the instruction set that was in use when they were packed.
template <class T>
class FASTRNN_API Weights {
 public:
  Weights(const CellOptions& options, const Parameters<T>& parameters, const PackOptions& pack_options = {});
  explicit Weights(std::shared_ptr<const PackedData<T>> packed);
  ~Weights();
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;

  const CellOptions& options() const noexcept;
  const PackOptions& pack_options() const noexcept;
  Index inputs() const noexcept;
  Index hidden() const noexcept;
  /// The width of h and y: hidden(), or that of the projection.
  Index outputs() const noexcept;
  std::size_t bytes() const noexcept;
  const char* isa() const noexcept;
  const PackedData<T>& packed() const noexcept { return *packed_; }
  const std::shared_ptr<const PackedData<T>>& shared_packed() const noexcept { return packed_; }

 private:
  std::shared_ptr<const PackedData<T>> packed_;
};

/// Dropout in training, as rates in [0,1), all inverted. A mask depends on the seed and on the place of its elements
/// alone (csrc/core/base/random.h).
struct DropoutOptions {
  double inputs = 0;     // x, the same at all steps (Gal & Ghahramani 2016)
  double recurrent = 0;  // h where it meets w_hh, the same at all steps (likewise)
  double candidate = 0;  // g or n, another at each step (Semeniuta et al. 2016); LSTM, GRU, MGU
  std::uint64_t seed = 0;
  std::uint32_t stream = 0;  // tells layers and directions apart
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
  const T* c0 = nullptr;  // (cell_state_count,B,H)
  const Index* lengths = nullptr;
  bool reverse = false;
  Sequence<T> y;
  T* h_n = nullptr;
  T* c_n = nullptr;  // as c0
  int threads = 0;   // 0: num_threads()

  const unsigned char* mask = nullptr;        // (T,B) 0: the step is left out; its y repeats the one before it,
  bool zero_output_for_mask = false;          // or, with this, is zero
  const unsigned char* reset_mask = nullptr;  // (T,B) not 0: a new sequence begins here, with states of zero
  /// (T), not increasing: rows of each step in x and y, which then hold no others; `step` is not used. B is the first.
  const Index* batch_sizes = nullptr;
  // In training alone:
  DropoutOptions dropout;
  Index checkpoint_every = 0;  // keep states every so many steps and compute the rest again; 0: keep everything
  Index truncate = 0;          // no gradient flows back to a step before number truncate, 2 truncate, ...; 0: it does
};

template <class T>
FASTRNN_API void forward(const Weights<T>& weights, const ForwardArguments<T>& arguments);

template <class T>
struct SessionData;  // csrc/core/stream/session.cc

/// A stream: one layer over a batch of sequences that come piece by piece. It owns its states, which begin as zeros,
/// and all memory that a step needs: step, run and reset neither allocate nor throw. One thread at a time may use it;
/// any number of sessions share Weights. The results are those of forward() over the whole sequence, to the last bit.
template <class T>
class FASTRNN_API Session {
 public:
  explicit Session(std::shared_ptr<const Weights<T>> weights, Index batch = 1);
  ~Session();
  Session(Session&& other) noexcept;
  Session& operator=(Session&& other) noexcept;

  /// x (B,I) to y (B,P), contiguous.
  void step(const T* x, T* y) noexcept;
  /// x (T,B,I) to y (T,B,P).
  void run(const Sequence<const T>& x, Index steps, const Sequence<T>& y) noexcept;
  /// States to zero.
  void reset() noexcept;
  /// h (B,P) and the cell states (cell_state_count,B,H); null sets zeros.
  void set_state(const T* h, const T* c) noexcept;
  void get_state(T* h, T* c) const noexcept;

  const Weights<T>& weights() const noexcept;
  Index batch() const noexcept;
  std::size_t bytes() const noexcept;

 private:
  std::unique_ptr<SessionData<T>> data_;
};

template <class T>
struct SavedData;  // csrc/core/layer/layer.h

/// What the backward pass needs beyond x and y, which it borrows: they must outlive it, unchanged.
template <class T>
class FASTRNN_API Saved {
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

/// Gradients in the shapes of what they belong to, assigned, not added to. Those of what the weights do not have, and
/// dx, may be null. Null dy, dh_n, dc_n: zeros.
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
  T* dw_hr = nullptr;
  T* dln_ih = nullptr;
  T* dln_hh = nullptr;
  T* dln_c = nullptr;
  int threads = 0;  // 0: num_threads()
};

template <class T>
FASTRNN_API void backward(const Saved<T>& saved, const BackwardArguments<T>& arguments);

/// y = f(x) with the kernels' own activations (x and y may be the same).
template <class T>
FASTRNN_API void activate(const ActivationOption& activation, const T* x, T* y, Index n, bool fast = false);

template <class T>
struct MatrixData;  // csrc/core/weights/matmul.cc

/// The right factor b (k,n) of matrix products, packed for the instruction set in use. Immutable.
template <class T>
class FASTRNN_API Matrix {
 public:
  Matrix(const T* b, Index k, Index n);
  ~Matrix();
  Matrix(Matrix&& other) noexcept;

  Index rows() const noexcept;
  Index columns() const noexcept;
  /// b (k,n) as it was given.
  void unpack(T* b) const noexcept;
  /// out (m,n) = a (m,k) b, all contiguous. A row of the result depends on that row of a and on b alone, to the last
  /// bit, and one thread computes it: what a dense layer around a recurrent one needs to keep the promises of both.
  void multiply(const T* a, T* out, Index m) const;
  /// The same for rows that lie anywhere; allocates nothing.
  void multiply(const T* const* rows, T* out, Index m) const noexcept;
  const MatrixData<T>& data() const noexcept { return *data_; }

 private:
  std::unique_ptr<MatrixData<T>> data_;
};

/// out (m,n) = a (m,k) b (k,n): the same with a factor that is packed for this one product.
template <class T>
FASTRNN_API void matmul(const T* a, const T* b, T* out, Index m, Index k, Index n);

constexpr int kMostThreads = 4096;
/// Threads of calls that do not say how many: one, unless set. Throws Error unless n is in 1..kMostThreads.
FASTRNN_API void set_num_threads(int n);
FASTRNN_API int num_threads() noexcept;

/// Instruction sets that this machine can run, slowest first.
FASTRNN_API std::vector<std::string> available_isas();
/// The one that new Weights are packed for: FASTRNN_ISA if set, else the last of available_isas().
FASTRNN_API std::string current_isa();
/// Chooses one by name; unknown or unavailable names throw Error.
FASTRNN_API void set_isa(const std::string& name);

/// Of the library that runs, where version.h has those of the headers that were compiled against.
FASTRNN_API const char* version() noexcept;
FASTRNN_API int abi_version() noexcept;
/// What built it: "GNU 12.2.0", and the flags of all its files.
FASTRNN_API const char* compiler() noexcept;
FASTRNN_API const char* compiler_flags() noexcept;

}  // namespace fastrnn
