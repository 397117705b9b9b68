// Session: a stream that keeps its state, step by step, with as little as possible around the kernel.
#include "python/interpreter/signals.h"
#include "python/streams/sessions.h"
#include "python/weights/native_weights.h"

namespace fastrnn::python {

namespace {

/// A step over more weights than this takes milliseconds or seconds: a signal may end it.
constexpr std::size_t kLongStep = 20'000'000;

// Not members: clang 14 does not instantiate those for the generic lambdas of a class.
template <class T>
py::array_t<T> session_input(const py::array& array, const std::vector<Index>& shape) {
  check_dtype("x", array, dtype_of<T>(), "the weights");
  check_shape("x", array, shape);
  return contiguous<T>(array);
}

template <class T>
py::array_t<T> session_output(py::handle out, const std::vector<Index>& shape, const py::array& x) {
  py::array_t<T> y = output_array<T>(out, shape, "the weights");
  if (!out.is_none() && overlap(y, x)) throw Error("out: shares memory with x");
  return y;
}

class PySession {
  template <class F>
  auto visit(F&& f) {
    return std::visit([&](const auto& pointer) { return f(*pointer); }, session_);
  }

 public:
  PySession(py::object weights, Index batch)
      : weights_(std::move(weights)), one_layer_(py::isinstance<PackedWeights>(weights_)), batch_(batch) {
    if (one_layer_ && weights_.cast<const PackedWeights&>().dtype() == Dtype::float64)
      session_ = std::make_unique<Float64>(weights_.cast<const PackedWeights&>().get<double>(), batch);
    else
      session_ = std::make_unique<Float32>(model_of("weights", weights_), batch);
    const std::size_t work = visit([](auto& stream) { return stream.weight_bytes() / 4; }) * std::size_t(batch);
    short_step_ = work < kShortWork;
    long_step_ = work >= kLongStep;
  }

  py::object step(py::handle x, py::handle out) {
    return visit([&](auto& stream) -> py::object {
      using T = typename std::remove_reference_t<decltype(stream)>::T;
      const py::array given = float_array("x", x, dtype_of<T>());
      const bool flat = batch_ == 1 && given.ndim() == 1;
      const auto shape = [&](Index n) { return flat ? std::vector<Index>{n} : std::vector<Index>{batch_, n}; };
      const py::array_t<T> in = session_input<T>(given, shape(stream.inputs()));
      py::array_t<T> y = session_output<T>(out, shape(stream.outputs()), in);
      const T* from = in.data();
      T* to = y.mutable_data();
      const Busy busy = this->busy();
      if (short_step_) {
        stream.session.step(from, to);
      } else if (long_step_) {
        run_interruptible([&] { stream.run(from, 1, to); });
      } else {
        const GilRelease release;
        stream.session.step(from, to);
      }
      return std::move(y);
    });
  }

  /// The fast path of step: arrays that need no copy and no error. Returns false, with nothing done, for any other
  /// call.
  bool quick_step(PyObject* x, PyObject* out) {
    const auto* stream = std::get_if<std::unique_ptr<Float32>>(&session_);
    if (stream == nullptr || long_step_) return false;
    ModelSession& session = (*stream)->session;
    const Index inputs = (*stream)->inputs(), outputs = (*stream)->outputs();
    const char *from, *to;
    if (!is_plain(x, inputs, false, from) || !is_plain(out, outputs, true, to)) return false;
    const Index item = sizeof(float);
    if (ndim(x) != ndim(out) || (from < to + batch_ * outputs * item && to < from + batch_ * inputs * item))
      return false;
    if (busy_.test_and_set(std::memory_order_acquire)) return false;
    const auto step = [&] {
      session.step(reinterpret_cast<const float*>(from), reinterpret_cast<float*>(const_cast<char*>(to)));
    };
    if (short_step_) {
      step();
    } else {
      const GilRelease release;
      step();
    }
    busy_.clear(std::memory_order_release);
    return true;
  }

  py::object run(py::handle x, py::handle out) {
    return visit([&](auto& stream) -> py::object {
      using T = typename std::remove_reference_t<decltype(stream)>::T;
      const py::array given = float_array("x", x, dtype_of<T>());
      check_rank("x", given, "(T, B, I)", 3);
      const Index steps = given.shape(0);
      const py::array_t<T> in = session_input<T>(given, {steps, batch_, stream.inputs()});
      py::array_t<T> y = session_output<T>(out, {steps, batch_, stream.outputs()}, in);
      const T* from = in.data();
      T* to = y.mutable_data();
      const Busy busy = this->busy();
      run_interruptible([&] { stream.run(from, steps, to); });
      return std::move(y);
    });
  }

  void reset() {
    const Busy busy = this->busy();
    visit([](auto& stream) { stream.session.reset(); });
  }

  /// Of one layer h (B,P), or a tuple of h and the cell states, each (B,H); of a model a tuple of these.
  py::object state() {
    return visit([&](auto& stream) -> py::object {
      using T = typename std::remove_reference_t<decltype(stream)>::T;
      const Busy busy = this->busy();
      stream.load();
      const T* from = stream.states();
      const auto next = [&](Index n) {
        py::array_t<T> array(std::vector<Index>{batch_, n});
        std::copy_n(from, batch_ * n, array.mutable_data());
        from += batch_ * n;
        return array;
      };
      py::tuple all(stream.layers.size());
      for (std::size_t l = 0; l < stream.layers.size(); ++l) {
        const StateLayer& layer = stream.layers[l];
        py::tuple one(1 + layer.cell_states);
        one[0] = next(layer.outputs);
        for (std::uint32_t j = 1; j <= layer.cell_states; ++j) one[j] = next(layer.hidden);
        all[l] = layer.cell_states == 0 ? py::object(one[0]) : py::object(one);
      }
      return one_layer_ ? py::object(all[0]) : py::object(all);
    });
  }

  void set_state(py::handle state) {
    visit([&](auto& stream) {
      using T = typename std::remove_reference_t<decltype(stream)>::T;
      const std::size_t layers = stream.layers.size();
      if (!one_layer_ && !state.is_none() &&
          (!py::isinstance<py::tuple>(state) || std::size_t(py::len(state)) != layers))
        wrong_type("state", "a tuple with the state of each of " + std::to_string(layers) + " layers or None",
                   Py_TYPE(state.ptr())->tp_name);
      std::vector<T> values;
      for (std::size_t l = 0; l < layers; ++l) {
        const std::string name = one_layer_ ? "" : "state[" + std::to_string(l) + "]";
        append_state(stream.layers[l], name,
                     one_layer_ || state.is_none() ? state : py::handle(PyTuple_GET_ITEM(state.ptr(), Index(l))),
                     values);
      }
      const Busy busy = this->busy();
      stream.load();
      std::copy(values.begin(), values.end(), stream.states());
      stream.store();
    });
  }

  py::bytes get_state() {
    Float32& stream = portable();
    const Busy busy = this->busy();
    stream.load();
    return py::bytes(stream.bytes.data(), stream.bytes.size());
  }

  void set_state_bytes(const py::bytes& bytes) {
    Float32& stream = portable();
    const std::string_view view = bytes;
    const Busy busy = this->busy();
    if (!stream.session.set_state(view.data(), view.size()))
      throw Error("state: expected " + std::to_string(stream.bytes.size()) +
                  " bytes of a session over such layers and as many rows, got " + std::to_string(view.size()) +
                  " others");
  }

  py::object weights() const { return weights_; }
  Index batch() const { return batch_; }
  std::size_t nbytes() {
    return visit([](auto& stream) { return stream.nbytes(); });
  }

 private:
  Busy busy() { return Busy(busy_, "Session: in use by another thread; give each thread a session of its own"); }

  Float32& portable() {
    if (session_.index() != 0) throw Error("state: expected weights of float32, whose states have a form as bytes");
    return *std::get<0>(session_);
  }

  static int ndim(PyObject* array) { return py::detail::array_proxy(array)->nd; }

  /// A numpy.ndarray of float32 (B,n), or (n,) where B is 1, as it lies in memory.
  bool is_plain(PyObject* object, Index n, bool writeable, const char*& data) const {
    using Numpy = py::detail::npy_api;
    const int flags = Numpy::NPY_ARRAY_C_CONTIGUOUS_ | (writeable ? Numpy::NPY_ARRAY_WRITEABLE_ : 0);
    const auto* array = usual_array<float>(object, flags);
    if (array == nullptr) return false;
    data = array->data;
    if (array->nd == 1) return batch_ == 1 && array->dimensions[0] == n;
    return array->nd == 2 && array->dimensions[0] == batch_ && array->dimensions[1] == n;
  }

  /// Checks the state of one layer and appends it to `values`. `name` is empty if the session has one layer.
  template <class T>
  void append_state(const StateLayer& layer, const std::string& name, py::handle state, std::vector<T>& values) const {
    const bool several = layer.cell_states > 0 && !state.is_none();
    const std::string names = "h" + std::string(cells::state_names(layer.cell_states));
    std::string listed;
    for (const char one : names) listed += (listed.empty() ? "" : ", ") + std::string(1, one);
    if (several && (!py::isinstance<py::tuple>(state) || py::len(state) != 1 + layer.cell_states))
      wrong_type(name.empty() ? "state" : name, "a tuple (" + listed + ") or None", Py_TYPE(state.ptr())->tp_name);
    for (std::uint32_t j = 0; j <= layer.cell_states; ++j) {
      const Index n = j == 0 ? layer.outputs : layer.hidden;
      const py::handle item = several ? py::handle(PyTuple_GET_ITEM(state.ptr(), Index(j))) : state;
      const Optional<T> one((name.empty() ? "" : name + ".") + std::string(1, names[j]), item, {batch_, n},
                            "the weights");
      if (one.given())
        values.insert(values.end(), one.data(), one.data() + batch_ * n);
      else
        values.resize(values.size() + std::size_t(batch_ * n), T(0));
    }
  }

  py::object weights_;
  bool one_layer_;
  Index batch_;
  std::variant<std::unique_ptr<Float32>, std::unique_ptr<Float64>> session_;
  bool short_step_ = false, long_step_ = false;
  std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
};

/// Session.step without pybind11's dispatch, which takes longer than a small step does. Calls that are not the usual
/// one go on to Session._step, which checks everything and says what is wrong.
PyObject* call_step(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) {
  const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  const bool usual = count + named == 2 && count >= 1 &&
                     (named == 0 || PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "out") == 0);
  PySession* const session = usual ? object_in<PySession>(self) : nullptr;
  if (session != nullptr && session->quick_step(arguments[0], arguments[1])) {
    Py_INCREF(arguments[1]);
    return arguments[1];
  }
  PyObject* const function = PyObject_GetAttrString(self, "_step");
  if (function == nullptr) return nullptr;
  PyObject* const y = PyObject_Vectorcall(function, arguments, std::size_t(count), names);
  Py_DECREF(function);
  return y;
}

PyMethodDef step_method = {"step", fast_call(call_step), METH_FASTCALL | METH_KEYWORDS,
                           R"doc(step($self, /, x, out=None)
--

One time step.

Args:
    x: (B, I), or (I,) where B is 1.
    out: receives y: C-contiguous, writeable, sharing no memory with x.

Returns:
    y (B, O), or (O,) for an x of (I,). O is H for a layer.)doc"};

}  // namespace

void bind_session(py::module_& module) {
  using namespace py::literals;
  py::class_<PySession> session =
      bind_class<PySession>(module, "Session",
                            R"doc(A stream over a layer or a model that keeps its state between calls.

The results are those of the ``*_forward`` functions over the whole sequence, to the last bit, however it is cut. All
memory is taken when the session is made. One thread at a time may use a session (RuntimeError otherwise); any number
of sessions may share weights. Where a signal's handler raises during a long call of the main thread, as Ctrl-C's does,
the call ends and the state is that from before it.

Args:
    weights: PackedWeights from pack_lstm and its likes, a Model, or a Sequential, which is taken by its to_native().
        Arrays have the dtype of its x: float64 for PackedWeights of "float64", else float32. They may be anything that
        NumPy can view, as a tensor on the CPU; integers, float16 and lists are converted, in a copy.
    batch: B, the number of sequences that advance together.)doc");
  session
      .def(py::init([](py::object weights, py::handle batch) {
             const Index rows = integer("batch", batch, 1, PTRDIFF_MAX);
             return std::make_unique<PySession>(native_weights(std::move(weights)), rows);
           }),
           "weights"_a, "batch"_a = 1)
      .def("_step", &PySession::step, "x"_a, "out"_a = py::none())
      .def("run", &PySession::run, "x"_a, "out"_a = py::none(), R"doc(T time steps.

Args:
    x: (T, B, I). out: as in :meth:`step`, (T, B, O).

Returns:
    y (T, B, O).)doc")
      .def("reset", &PySession::reset, "Sets the state to zero.")
      .def_property("state", &PySession::state, &PySession::set_state,
                    "h (B, H), for an LSTM the tuple (h, c), for a Model the tuple of its recurrent layers' states. "
                    "Copies; may be assigned, None for zeros.")
      .def("get_state", &PySession::get_state,
           "The state as bytes, which any session of such layers and batch takes, and for a batch of 1 any StreamPool.")
      .def("set_state", &PySession::set_state_bytes, "state"_a, "Takes what get_state gave.")
      .def_property_readonly("weights", &PySession::weights)
      .def_property_readonly("batch", &PySession::batch)
      .def("__reduce__",
           [](py::handle) -> py::object {
             throw py::type_error(
                 "Session: cannot be pickled or copied, because it is a stream with memory of its own; "
                 "give its state (get_state, as bytes) to set_state of another Session");
           })
      .def_property_readonly("nbytes", &PySession::nbytes)
      .def("__repr__", [](const PySession& s) {
        return "Session(" + std::string(py::repr(s.weights())) + ", batch=" + std::to_string(s.batch()) + ")";
      });
  PyObject* const step = PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(session.ptr()), &step_method);
  if (step == nullptr) throw py::error_already_set();
  session.attr("step") = py::reinterpret_steal<py::object>(step);
}

}  // namespace fastrnn::python
