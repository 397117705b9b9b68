// What the bind_*.cc files share.
#pragma once

#include <atomic>
#include <utility>
#include <variant>
#include <vector>

#include "cells/options.h"
#include "core/base/choice.h"
#include "fastrnn/model.hpp"
#include "python/arrays/array_view.h"
#include "python/interpreter/gil.h"

namespace fastrnn::python {

const char* activation_name(Activation activation);
/// An activation from a name or a tuple (name, alpha) or (name, alpha, beta).
ActivationOption activation_option(const std::string& argument, py::handle object);

/// The options of a cell, by keyword; those not given have their defaults.
CellOptions parse_cell_options(const std::string& cell, const py::dict& given);
/// All of them, as parse_cell_options takes them.
py::dict cell_options_dict(const CellOptions& options);
py::object option_value(const cells::OptionRow& row, const CellOptions& options);

/// The dtype that weights are packed in; the inverse is PackedWeights::dtype_text.
const WeightsDtype& parse_weights_dtype(const std::string& name);

struct Extent {
  Index steps, batch;
  bool batch_first;
};

/// The options of a run, and the arrays among them.
struct ParsedRun {
  std::vector<unsigned char> mask, reset_mask;
  bool has_mask = false, has_reset = false;
  bool zero_output_for_mask = false;
  DropoutOptions dropout;
  Index checkpoint_every = 0, truncate = 0;

  /// The arguments borrow from this.
  template <class T>
  void apply(ForwardArguments<T>& arguments) const {
    if (has_mask) arguments.mask = mask.data();
    if (has_reset) arguments.reset_mask = reset_mask.data();
    arguments.zero_output_for_mask = zero_output_for_mask;
    arguments.dropout = dropout;
    arguments.checkpoint_every = checkpoint_every;
    arguments.truncate = truncate;
  }
};

/// `given`: a dict by keyword, or None. Training without a seed has a fresh one.
ParsedRun parse_run(py::handle given, const Extent& extent, bool training);
/// batch_sizes of the same dict, which decide the shape of x; empty where there are none.
std::vector<Index> parse_batch_sizes(py::handle run);

/// Packed weights of either dtype, and which parameters were given, with their shapes.
struct PackedWeights {
  std::variant<std::shared_ptr<const Weights<float>>, std::shared_ptr<const Weights<double>>> weights;
  std::vector<std::pair<std::string, std::vector<Index>>> parameters;

  /// The dtype of x, y and the states; dtype_text() names that of the weights.
  Dtype dtype() const { return weights.index() == 0 ? Dtype::float32 : Dtype::float64; }
  const char* dtype_text() const;
  template <class T>
  const std::shared_ptr<const Weights<T>>& get() const {
    return std::get<std::shared_ptr<const Weights<T>>>(weights);
  }
};

inline const char* cell_name(CellType cell) { return kCellNames[int(cell)].data(); }

struct PyModel {
  std::shared_ptr<const Model> model;
};

/// A Model, or PackedWeights of float32 as one.
std::shared_ptr<const Model> model_of(const std::string& name, py::handle object);

/// Held while a thread uses an object. A second thread gets an error, where it would otherwise corrupt the state.
class Busy {
 public:
  Busy(std::atomic_flag& flag, const char* message) : flag_(flag) {
    if (flag_.test_and_set(std::memory_order_acquire)) throw std::runtime_error(message);
  }
  ~Busy() { flag_.clear(std::memory_order_release); }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  std::atomic_flag& flag_;
};

/// What an instance of a class of the module's holds, past pybind11's look-up; null for one of T.__new__(T) alone, and
/// for one of a class with several bases.
template <class T>
T* object_in(PyObject* instance) {
  const auto* const held = reinterpret_cast<py::detail::instance*>(instance);
  return held->simple_layout ? static_cast<T*>(held->simple_value_holder[0]) : nullptr;
}

/// Called by pybind11 for an argument whose __init__ was never called (T.__new__(T) alone). pybind11 itself would hand
/// on uninitialised memory.
template <class T>
void* refuse_empty(std::size_t) {
  const std::string name = py::str(py::type::of<T>().attr("__name__"));
  throw py::type_error(name + ": expected an initialised object, got one whose __init__ was not called");
}

/// Every class of the module is made by this: a py::class_<T> that refuses empty objects.
template <class T, class... Extra>
py::class_<T> bind_class(const py::module_& module, const char* name, const Extra&... extra) {
  py::class_<T> type(module, name, extra...);
  py::detail::get_type_info(reinterpret_cast<PyTypeObject*>(type.ptr()))->operator_new = &refuse_empty<T>;
  return type;
}

/// A function of the calling convention METH_FASTCALL as PyMethodDef has it.
template <class F>
PyCFunction fast_call(F* function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

void bind_buffers(py::module_& module);
void bind_cuda(py::module_& module);
void bind_device_array(py::module_& module);
void bind_info(py::module_& module);
void bind_math(py::module_& module);
void bind_model(py::module_& module);
void bind_plan(py::module_& module);
void bind_pool(py::module_& module);
void bind_quick(py::module_& module);
void bind_weights(py::module_& module);
void bind_sequence(py::module_& module);
void bind_session(py::module_& module);
void bind_stack(py::module_& module);
void bind_tensors(py::module_& module);

}  // namespace fastrnn::python
