// Session: a stream that keeps its state, step by step, with as little as possible around the kernel.
#include <atomic>

#include "bindings.h"

namespace fastrnn::python {

namespace {

/// A step over fewer weights than this takes a few microseconds, and letting others have the GIL would cost as much.
constexpr Index kShortStep = 100'000;

class PySession {
 public:
  PySession(const PackedWeights& weights, Index batch)
      : weights_(weights),
        batch_(batch),
        session_(std::visit([&](const auto& pointer) { return make(pointer, batch); }, weights.weights)) {
    std::visit(
        [&](const auto& w) {
          inputs_ = w->inputs();
          hidden_ = w->hidden();
          outputs_ = w->outputs();
          c_states_ = cell_state_count(w->options().cell);
          short_step_ = gate_count(w->options().cell) * hidden_ * (inputs_ + hidden_) * batch < kShortStep;
        },
        weights.weights);
  }

  py::object step(py::handle x, py::handle out) {
    return visit([&](auto& session, auto* type) -> py::object {
      using T = std::remove_pointer_t<decltype(type)>;
      const bool flat = batch_ == 1 && py::isinstance<py::array>(x) && py::reinterpret_borrow<py::array>(x).ndim() == 1;
      const auto shape = [&](Index n) { return flat ? std::vector<Index>{n} : std::vector<Index>{batch_, n}; };
      const py::array_t<T> in = input<T>("x", x, shape(inputs_));
      py::array_t<T> y = output_array<T>(out, shape(outputs_), "the weights");
      if (!out.is_none() && overlap(y, in)) throw Error("out: shares memory with x");
      const T* from = in.data();
      T* to = y.mutable_data();
      const Busy busy(*this);
      if (short_step_) {
        session.step(from, to);
      } else {
        const py::gil_scoped_release release;
        session.step(from, to);
      }
      return std::move(y);
    });
  }

  py::object run(py::handle x_given, py::handle out) {
    return visit([&](auto& session, auto* type) -> py::object {
      using T = std::remove_pointer_t<decltype(type)>;
      const py::array given = float_array("x", x_given);
      check_dtype("x", given, dtype_of<T>(), "the weights");
      check_rank("x", given, "(T, B, I)", 3);
      const Index steps = given.shape(0);
      check_shape("x", given, {steps, batch_, inputs_});
      py::array x;
      const Sequence<const T> from = sequence_view<T>(given, false, x);
      py::array_t<T> y = output_array<T>(out, {steps, batch_, outputs_}, "the weights");
      if (!out.is_none() && overlap(y, x)) throw Error("out: shares memory with x");
      const Sequence<T> to = new_sequence_view(y, false);
      const Busy busy(*this);
      const py::gil_scoped_release release;
      session.run(from, steps, to);
      return std::move(y);
    });
  }

  void reset() {
    const Busy busy(*this);
    std::visit([](auto& session) { session.reset(); }, session_);
  }

  /// h (B,P), or a tuple of h and the cell states, each (B,H).
  py::object state() {
    return visit([&](auto& session, auto* type) -> py::object {
      using T = std::remove_pointer_t<decltype(type)>;
      py::array_t<T> h(std::vector<Index>{batch_, outputs_}), c(std::vector<Index>{c_states_, batch_, hidden_});
      const Busy busy(*this);
      session.get_state(h.mutable_data(), c.mutable_data());
      if (c_states_ == 0) return std::move(h);
      py::tuple all(1 + c_states_);
      all[0] = h;
      for (Index j = 0; j < c_states_; ++j) {
        py::array_t<T> one(std::vector<Index>{batch_, hidden_});
        std::copy_n(c.data() + j * batch_ * hidden_, batch_ * hidden_, one.mutable_data());
        all[1 + j] = one;
      }
      return std::move(all);
    });
  }

  void set_state(py::handle state) {
    visit([&](auto& session, auto* type) -> py::object {
      using T = std::remove_pointer_t<decltype(type)>;
      const bool several = c_states_ > 0 && !state.is_none();
      if (several && (!py::isinstance<py::tuple>(state) || Index(py::len(state)) != 1 + c_states_))
        wrong_type("state", c_states_ == 1 ? "a tuple (h, c) or None" : "a tuple (h, c, n, m) or None",
                   Py_TYPE(state.ptr())->tp_name);
      const py::handle h = several ? py::handle(PyTuple_GET_ITEM(state.ptr(), 0)) : state;
      const Optional<T> new_h("h", h, {batch_, outputs_}, "the weights");
      std::vector<T> c(c_states_ * batch_ * hidden_, T(0));
      static const char* const names[] = {"c", "n", "m"};
      for (Index j = 0; several && j < c_states_; ++j) {
        const Optional<T> one(names[j], PyTuple_GET_ITEM(state.ptr(), 1 + j), {batch_, hidden_}, "the weights");
        if (one.given()) std::copy_n(one.data(), batch_ * hidden_, c.data() + j * batch_ * hidden_);
      }
      const Busy busy(*this);
      session.set_state(new_h.data(), c.data());
      return py::none();
    });
  }

  const PackedWeights& weights() const { return weights_; }
  Index batch() const { return batch_; }
  std::size_t bytes() const {
    return std::visit([](const auto& session) { return session.bytes(); }, session_);
  }

 private:
  using AnySession = std::variant<Session<float>, Session<double>>;

  /// One thread at a time: a second one is told, rather than left to spoil the state.
  class Busy {
   public:
    explicit Busy(PySession& session) : flag_(session.busy_) {
      if (flag_.test_and_set(std::memory_order_acquire))
        throw std::runtime_error("Session: in use by another thread; give each thread a session of its own");
    }
    ~Busy() { flag_.clear(std::memory_order_release); }

   private:
    std::atomic_flag& flag_;
  };

  template <class T>
  static AnySession make(const std::shared_ptr<const Weights<T>>& weights, Index batch) {
    return Session<T>(weights, batch);
  }

  template <class F>
  py::object visit(F&& f) {
    return std::visit([&](auto& session) { return f(session, type_of(session)); }, session_);
  }
  template <class T>
  static T* type_of(const Session<T>&) {
    return nullptr;
  }

  template <class T>
  static py::array_t<T> input(const char* name, py::handle object, const std::vector<Index>& shape) {
    const py::array array = float_array(name, object);
    check_dtype(name, array, dtype_of<T>(), "the weights");
    check_shape(name, array, shape);
    return contiguous<T>(array);
  }

  PackedWeights weights_;
  Index batch_;
  AnySession session_;
  Index inputs_ = 0, hidden_ = 0, outputs_ = 0, c_states_ = 0;
  bool short_step_ = false;
  std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
};

}  // namespace

void bind_session(py::module_& module) {
  using namespace py::literals;
  py::class_<PySession>(module, "Session", R"doc(A stream over one layer that keeps its state between calls.

The results are those of the ``*_forward`` function over the whole sequence, to the last bit, however it is cut. All
memory is taken when the session is made. One thread at a time may use a session (RuntimeError otherwise); any number
of sessions may share one PackedWeights.

Args:
    weights: from pack_rnn, pack_lstm or pack_gru. Arrays have the dtype of its x: float64 for float64, else float32.
    batch: B, the number of sequences that advance together.)doc")
      .def(py::init([](py::handle weights, py::handle batch) {
             if (!py::isinstance<PackedWeights>(weights))
               wrong_type("weights", "PackedWeights", Py_TYPE(weights.ptr())->tp_name);
             return std::make_unique<PySession>(weights.cast<const PackedWeights&>(),
                                                integer("batch", batch, 1, PTRDIFF_MAX));
           }),
           "weights"_a, "batch"_a = 1)
      .def("step", &PySession::step, "x"_a, "out"_a = py::none(), R"doc(One time step.

Args:
    x: (B, I), or (I,) where B is 1.
    out: receives y: C-contiguous, writeable, sharing no memory with x.

Returns:
    y (B, H), or (H,) for an x of (I,).)doc")
      .def("run", &PySession::run, "x"_a, "out"_a = py::none(), R"doc(T time steps.

Args:
    x: (T, B, I). out: as in :meth:`step`, (T, B, H).

Returns:
    y (T, B, H).)doc")
      .def("reset", &PySession::reset, "Sets the state to zero.")
      .def_property("state", &PySession::state, &PySession::set_state,
                    "h (B, H), for an LSTM the tuple (h, c): a copy; may be assigned, None for zeros.")
      .def_property_readonly("weights", &PySession::weights)
      .def_property_readonly("batch", &PySession::batch)
      .def_property_readonly("nbytes", &PySession::bytes);
}

}  // namespace fastrnn::python
