// <cell>_forward and <cell>_cell as they are usually called: packed weights, and arrays that need neither a copy nor a
// message. pybind11's dispatch of so many arguments takes longer than a small step does.
//
// quick_forward and quick_step are decorators of functional/_call.py. Where anything is not usual, nothing is done here
// and the decorated function is called, which checks everything and says what is wrong.
#include <algorithm>
#include <array>
#include <optional>

#include "python/bindings.h"
#include "python/interpreter/signals.h"

namespace fastrnn::python {

namespace {

using Numpy = py::detail::npy_api;
using Shape = std::array<Py_intptr_t, 3>;

/// A new C-contiguous array; null with an error set.
template <class T>
PyObject* new_array(int rank, const Shape& shape) {
  Numpy& numpy = Numpy::get();
  return numpy.PyArray_NewFromDescr_(numpy.PyArray_Type_, numpy.PyArray_DescrFromType_(kNumpyType<T>), rank,
                                     shape.data(), nullptr, nullptr, 0, nullptr);
}

/// Whether there is an array, and of this shape.
bool has_shape(const py::detail::PyArray_Proxy* array, int rank, const Shape& shape) {
  return array != nullptr && array->nd == rank && std::equal(shape.begin(), shape.begin() + rank, array->dimensions);
}

/// A C-contiguous array of this shape, or None, which is null. False for any other.
template <class T>
bool usual_state(PyObject* object, int rank, const Shape& shape, const T*& data) {
  data = nullptr;
  if (object == Py_None) return true;
  const auto* array = usual_array<T>(object, Numpy::NPY_ARRAY_C_CONTIGUOUS_);
  if (!has_shape(array, rank, shape)) return false;
  data = reinterpret_cast<const T*>(array->data);
  return true;
}

bool are_none(PyObject* const* objects, Py_ssize_t count) {
  return std::all_of(objects, objects + count, [](PyObject* object) { return object == Py_None; });
}

/// Whether the values of a dict, in their order, are these objects.
bool has_values(PyObject* dict, PyObject* const* expected) {
  Py_ssize_t at = 0;
  PyObject* value;
  while (PyDict_Next(dict, &at, nullptr, &value))
    if (value != *expected++) return false;
  return true;
}

PyTypeObject* packed_type = nullptr;

/// The fields of a Cell of functional/_options.py that are read here.
enum CellField { kName, kDefaults, kOutput, kState };

PyObject* field(PyObject* cell, CellField which) { return PyTuple_GET_ITEM(cell, which); }

/// The weights, if they were packed for this cell and no parameter or option of them is given beside them; else null.
/// `parameters`: w_ih, w_hh, b_ih, b_hh; `named`: the options that the cell's defaults name.
const PackedWeights* weights_alone(PyObject* cell, PyObject* const* parameters, PyObject* const* named) {
  PyObject* const defaults = field(cell, kDefaults);
  if (Py_TYPE(parameters[0]) != packed_type || !are_none(parameters + 1, 3) || !has_values(defaults, named))
    return nullptr;
  const auto* const weights = object_in<PackedWeights>(parameters[0]);
  if (weights == nullptr) return nullptr;
  const CellType type = std::visit([](const auto& w) { return w->options().cell; }, weights->weights);
  return PyUnicode_CompareWithASCIIString(field(cell, kName), cell_name(type)) == 0 ? weights : nullptr;
}

/// The named options, which come last.
PyObject* const* first_named(PyObject* cell, PyObject* const* given, Py_ssize_t count) {
  return given + count - PyDict_GET_SIZE(field(cell, kDefaults));
}

/// Results on their way: an array that is left here goes with it.
struct Owned {
  PyObject* object = nullptr;
  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() { Py_XDECREF(object); }
  PyObject* release() { return std::exchange(object, nullptr); }
  template <class T>
  T* data() const {
    return reinterpret_cast<T*>(py::detail::array_proxy(object)->data);
  }
};

/// The states of c_n (S,B,H) as views of this shape, from item `first` of the tuple on. False with an error set.
template <class T>
bool place_views(PyObject* tuple, Py_ssize_t first, PyObject* c_n, Index states, int rank, const Shape& shape) {
  Numpy& numpy = Numpy::get();
  char* data = py::detail::array_proxy(c_n)->data;
  for (Index k = 0; k < states; ++k, data += py::detail::array_proxy(c_n)->strides[0]) {
    PyObject* const part = numpy.PyArray_NewFromDescr_(
        numpy.PyArray_Type_, numpy.PyArray_DescrFromType_(kNumpyType<T>), rank, shape.data(), nullptr, data,
        Numpy::NPY_ARRAY_WRITEABLE_ | Numpy::NPY_ARRAY_ALIGNED_, nullptr);
    if (part == nullptr) return false;
    PyTuple_SET_ITEM(tuple, first + k, part);
    Py_INCREF(c_n);  // SetBaseObject takes a reference, also where it fails
    if (numpy.PyArray_SetBaseObject_(part, c_n) != 0) return false;
  }
  return true;
}

/// A tuple of a type derived from tuple, as a named tuple is, with n items that are yet to be set.
PyObject* new_tuple(PyObject* type, Py_ssize_t n) {
  auto* const tuple_type = reinterpret_cast<PyTypeObject*>(type);
  return tuple_type->tp_alloc(tuple_type, n);
}

/// The call, once it is known to be usual but for its arrays.
struct QuickCall {
  PyObject* x;
  PyObject* const* states;  // h0 and the cell's others
  PyObject* out;            // null: a new y
  PyObject* output;         // the type of the result: a named tuple; None for h alone
  bool one_step;            // x (B,I), states (B,n): `output` has the states alone
  bool reverse = false, batch_first = false;
  int threads = 0;

  /// The result, or null with an error set; nothing, with nothing done, if an array is not usual.
  template <class T>
  std::optional<PyObject*> run(const Weights<T>& weights) const {
    const auto* const from = usual_array<T>(x, 0);
    const int rank = one_step ? 2 : 3, last = rank - 1;
    if (from == nullptr || from->nd != rank) return std::nullopt;
    const Index item = sizeof(T), states_count = cell_state_count(weights.options().cell);
    const int time = batch_first ? 1 : 0, row = one_step ? 0 : 1 - time;
    ForwardArguments<T> arguments;
    arguments.steps = one_step ? 1 : from->dimensions[time];
    arguments.batch = from->dimensions[row];
    arguments.reverse = reverse;
    arguments.threads = threads;
    if (from->dimensions[last] != weights.inputs()) return std::nullopt;
    if (from->dimensions[last] > 1 && from->strides[last] != item) return std::nullopt;
    for (int axis = 0; axis < last; ++axis)
      if (from->strides[axis] % item != 0) return std::nullopt;
    arguments.x = {reinterpret_cast<const T*>(from->data), one_step ? 0 : from->strides[time] / item,
                   from->strides[row] / item};

    const auto state_shape = [&](Index n) {
      return one_step ? Shape{arguments.batch, n, 0} : Shape{1, arguments.batch, n};
    };
    const Shape h_shape = state_shape(weights.outputs()), c_shape = state_shape(weights.hidden());
    if (!usual_state(states[0], rank, h_shape, arguments.h0)) return std::nullopt;
    if (states_count == 1 && !usual_state(states[1], rank, c_shape, arguments.c0)) return std::nullopt;
    if (states_count > 1 && !are_none(states + 1, states_count)) return std::nullopt;

    Shape y_shape{};
    std::copy_n(from->dimensions, rank, y_shape.begin());
    y_shape[last] = weights.outputs();
    Owned y, h_n, c_n, result;
    if (out == nullptr) {
      y.object = new_array<T>(rank, y_shape);
    } else {
      const auto* to = usual_array<T>(out, Numpy::NPY_ARRAY_C_CONTIGUOUS_ | Numpy::NPY_ARRAY_WRITEABLE_);
      if (!has_shape(to, rank, y_shape)) return std::nullopt;
      const auto shares = [&](PyObject* given) {
        return given != Py_None &&
               overlap(py::reinterpret_borrow<py::array>(out), py::reinterpret_borrow<py::array>(given));
      };
      if (shares(x) || shares(states[0]) || (states_count == 1 && shares(states[1]))) return std::nullopt;
      Py_INCREF(out);
      y.object = out;
    }
    h_n.object = new_array<T>(rank, h_shape);
    if (states_count > 0)
      c_n.object = states_count == 1 ? new_array<T>(rank, c_shape)
                                     : new_array<T>(3, {states_count, arguments.batch, weights.hidden()});
    const Py_ssize_t first = one_step ? 1 : 2;
    if (output != Py_None) result.object = new_tuple(output, first + states_count);
    if (PyErr_Occurred() != nullptr) return nullptr;
    const Index width = weights.outputs();
    arguments.y = {y.data<T>(), one_step ? 0 : (batch_first ? width : arguments.batch * width),
                   batch_first ? arguments.steps * width : width};
    arguments.h_n = h_n.data<T>();
    if (states_count > 0) arguments.c_n = c_n.data<T>();

    run_by_length(weights.bytes() / sizeof(T), arguments.steps * arguments.batch, [&] { forward(weights, arguments); });

    if (output == Py_None) return y.release();
    PyTuple_SET_ITEM(result.object, 0, y.release());
    if (!one_step) PyTuple_SET_ITEM(result.object, 1, h_n.release());
    if (states_count == 1) PyTuple_SET_ITEM(result.object, first, c_n.release());
    if (states_count > 1 && !place_views<T>(result.object, first, c_n.object, states_count, rank, c_shape))
      return nullptr;
    return result.release();
  }

  // Interrupted ends in run_interruptible(): none is thrown here. NOLINTNEXTLINE(bugprone-exception-escape)
  std::optional<PyObject*> run(const PackedWeights& weights) const noexcept {
    try {
      return std::visit([&](const auto& w) { return run(*w); }, weights.weights);
    } catch (py::error_already_set& error) {  // raised by a signal's handler
      error.restore();
      return nullptr;
    } catch (const std::exception&) {
      return std::nullopt;  // the long way fails likewise, and says why
    }
  }
};

/// The arguments of run_forward() in functional/_call.py.
std::optional<PyObject*> usual_forward(PyObject* const* given, Py_ssize_t count) {
  enum { kCell, kX, kParameters, kLengths = 6, kReverse, kBatchFirst, kTraining, kOut, kThreads, kOptions, kStates };
  const auto is_bool = [](PyObject* object) { return object == Py_True || object == Py_False; };
  if (PyDict_GET_SIZE(given[kOptions]) > 0 || given[kLengths] != Py_None || given[kTraining] != Py_False ||
      !is_bool(given[kReverse]) || !is_bool(given[kBatchFirst]))
    return std::nullopt;
  int threads = 0, overflow = 0;
  if (given[kThreads] != Py_None) {
    if (!PyLong_CheckExact(given[kThreads])) return std::nullopt;
    threads = int(std::clamp(PyLong_AsLongAndOverflow(given[kThreads], &overflow), 0L, 1L + kMostThreads));
    if (overflow != 0 || threads < 1 || threads > kMostThreads) return std::nullopt;
  }
  PyObject* const cell = given[kCell];
  const PackedWeights* const weights = weights_alone(cell, given + kParameters, first_named(cell, given, count));
  if (weights == nullptr) return std::nullopt;
  PyObject* const out = given[kOut] == Py_None ? nullptr : given[kOut];
  return QuickCall{given[kX],
                   given + kStates,
                   out,
                   field(cell, kOutput),
                   false,
                   given[kReverse] == Py_True,
                   given[kBatchFirst] == Py_True,
                   threads}
      .run(*weights);
}

/// The arguments of run_step().
std::optional<PyObject*> usual_step(PyObject* const* given, Py_ssize_t count) {
  enum { kCell, kX, kParameters, kTraining = 6, kSeed, kOptions, kStates };
  if (PyDict_GET_SIZE(given[kOptions]) > 0 || given[kTraining] != Py_False || given[kSeed] != Py_None)
    return std::nullopt;
  PyObject* const cell = given[kCell];
  const PackedWeights* const weights = weights_alone(cell, given + kParameters, first_named(cell, given, count));
  if (weights == nullptr) return std::nullopt;
  return QuickCall{given[kX], given + kStates, nullptr, field(cell, kState), true}.run(*weights);
}

/// What Python calls; `self` is the decorated function.
template <std::optional<PyObject*> (*usual)(PyObject* const*, Py_ssize_t)>
PyObject* call_quickly(PyObject* self, PyObject* const* given, Py_ssize_t count) {
  if (const std::optional<PyObject*> result = usual(given, count)) return *result;
  return PyObject_Vectorcall(self, given, std::size_t(count), nullptr);
}

template <std::optional<PyObject*> (*usual)(PyObject* const*, Py_ssize_t)>
void add_decorator(py::module_& module, const char* name) {
  static PyMethodDef method = {name, fast_call(&call_quickly<usual>), METH_FASTCALL, nullptr};
  module.def(name, [](py::handle function) {
    PyObject* const quick = PyCFunction_New(&method, function.ptr());
    if (quick == nullptr) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(quick);
  });
}

}  // namespace

void bind_quick(py::module_& module) {
  packed_type = reinterpret_cast<PyTypeObject*>(py::type::of<PackedWeights>().ptr());
  add_decorator<usual_forward>(module, "quick_forward");
  add_decorator<usual_step>(module, "quick_step");
}

}  // namespace fastrnn::python
