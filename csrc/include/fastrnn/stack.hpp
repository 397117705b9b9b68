// Stacks: layers over one another, each in one direction or in both (Schuster & Paliwal 1997), in one call.
//
// Shape legend: that of fastrnn.hpp, and L layers, D directions (1 or 2), P the width of a layer's own y, S the states
// beside h that a cell has (c: LSTM), W the width of a layer's merged output (2P for concat of two directions, else P).
//   x (T,B,I)   y (T,B,W)   h0, h_n (L*D,B,P)   c0, c_n (L*D*S,B,H)
// Index layer*D + direction, as in PyTorch and cuDNN; direction 1 runs in reverse. x and y are in the order of time.
#pragma once

#include "fastrnn/fastrnn.hpp"

namespace fastrnn {

/// How the outputs of two directions become one. Keras calls `mean` "ave".
enum class Merge : signed char { concat, sum, mean, mul };

/// All weights are of one cell and have the same H and P; the inputs of layer l > 0 are the W of layer l - 1.
template <class T>
struct Stack {
  std::vector<std::shared_ptr<const Weights<T>>> weights;  // [layer*D + direction]
  int directions = 1;
  Merge merge = Merge::concat;  // how the outputs of two directions are joined
  /// Inverted dropout of every layer's output but the last one's, in training: each element of each step with a mask of
  /// its own, as PyTorch does. The masks follow from the seed of the call.
  double dropout = 0;

  int layers() const noexcept { return int(weights.size()) / directions; }
};

/// The width of y. Throws Error, naming the layer, if the layers do not fit each other.
template <class T>
FASTRNN_API Index output_width(const Stack<T>& stack);

/// One call for all layers, with the arguments of the single layer in the shapes above; `reverse` must be false, and
/// the other options of a run are those of every layer. The results are, to the last bit, those of layer by layer, and
/// do not depend on threads. With few rows two directions run on two threads, and layers of one direction as a
/// wavefront: a layer computes its next steps while the one above computes those before them. When memory is short,
/// only y may have been written.
template <class T>
FASTRNN_API void forward(const Stack<T>& stack, const ForwardArguments<T>& arguments);

template <class T>
struct StackSavedData;  // csrc/core/stack/stack_training.cc

/// What the backward pass needs beyond x and y, which it borrows: they must outlive it, unchanged. The outputs of the
/// layers within are its own; masks are computed again.
template <class T>
class FASTRNN_API StackSaved {
 public:
  /// Runs the forward pass, dropout and all.
  StackSaved(Stack<T> stack, const ForwardArguments<T>& arguments);
  ~StackSaved();
  StackSaved(const StackSaved&) = delete;
  StackSaved& operator=(const StackSaved&) = delete;

  const Stack<T>& stack() const noexcept;
  Index steps() const noexcept;
  Index batch() const noexcept;
  std::size_t bytes() const noexcept;
  const StackSavedData<T>& data() const noexcept { return *data_; }

 private:
  std::unique_ptr<StackSavedData<T>> data_;
};

/// Gradients in the shapes of what they belong to, assigned and not added to. Null dy, dh_n, dc_n: zeros.
template <class T>
struct StackBackwardArguments {
  Sequence<const T> dy;
  const T* dh_n = nullptr;
  const T* dc_n = nullptr;
  Sequence<T> dx;  // null data: not computed
  T* dh0 = nullptr;
  T* dc0 = nullptr;
  /// [layer*D + direction]: where the gradients of its parameters go, as for one layer. All other fields are ignored.
  std::vector<BackwardArguments<T>> parameters;
  int threads = 0;  // 0: num_threads()
};

template <class T>
FASTRNN_API void backward(const StackSaved<T>& saved, const StackBackwardArguments<T>& arguments);

}  // namespace fastrnn
