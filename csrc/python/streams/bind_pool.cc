// StreamPool: many streams, pushed, advanced and pulled one by one or many in one call.
#include "python/interpreter/signals.h"
#include "python/streams/streams.h"
#include "python/weights/native_weights.h"

namespace fastrnn::python {

namespace {

/// fastrnn.FullError; made with the module and never freed.
PyObject* full_error = nullptr;

[[noreturn]] void full(const std::string& message) {
  PyErr_SetString(full_error, message.c_str());
  throw py::error_already_set();
}
[[noreturn]] void unknown(const Streams& streams, Index i = 0) {
  throw py::key_error("stream: expected one that is open, got " + streams.text(i));
}

class PyPool {
 public:
  PyPool(py::object weights, Index capacity, Index queue)
      : weights_(std::move(weights)),
        pool_(model_of("weights", weights_), capacity, queue),
        seen_(std::size_t(capacity), 0) {}

  py::object open(py::handle count) {
    const Busy busy = this->busy();
    if (count.is_none()) {
      if (pool_.size() == pool_.capacity()) refuse(1);
      return py::int_(pool_.open());
    }
    const Index n = integer("count", count, 0, PTRDIFF_MAX);
    if (n > pool_.capacity() - pool_.size()) refuse(n);
    py::array_t<Stream> streams(n);
    for (Index i = 0; i < n; ++i) streams.mutable_data()[i] = pool_.open();
    return std::move(streams);
  }

  void close(py::handle given) {
    const Streams streams(given);
    const Busy busy = this->busy();
    check(streams);
    for (Index i = 0; i < streams.count(); ++i) pool_.close(streams.data()[i]);
  }

  void reset(py::handle given) {
    const Streams streams(given);
    const Busy busy = this->busy();
    check(streams);
    for (Index i = 0; i < streams.count(); ++i) pool_.reset(streams.data()[i]);
  }

  void push(py::handle given, py::handle x_given) {
    const Streams streams(given);
    const Index n = streams.count(), inputs = pool_.model().inputs();
    const py::array array = checked(x_given);
    // Without the axis of time it is one step.
    const int step_axes = streams.single() ? 1 : 2;
    const bool chunk = array.ndim() == step_axes + 1;
    const Index steps = chunk ? array.shape(0) : 1;
    std::vector<Index> shape = streams.single() ? std::vector<Index>{inputs} : std::vector<Index>{n, inputs};
    if (chunk) shape.insert(shape.begin(), steps);
    check_shape("x", array, shape);
    const py::array_t<float> x = contiguous<float>(array);
    const Busy busy = this->busy();
    check(streams);
    for (Index i = 0; i < n; ++i) {
      const Stream stream = streams.data()[i];
      const Index room = pool_.queue() - pool_.waiting(stream) - pool_.ready(stream);
      if (steps > room)
        full("stream " + std::to_string(stream) + ": expected at most " + std::to_string(room) +
             " steps, the room in its queue, got " + std::to_string(steps));
    }
    if (streams.single()) {
      pool_.push(streams.one(), x.data(), steps);
      return;
    }
    for (Index i = 0; i < n; ++i)
      for (Index t = 0; t < steps; ++t) pool_.push(streams.data()[i], x.data() + (t * n + i) * inputs);
  }

  Index advance(py::handle most) {
    const Index limit = most.is_none() ? PTRDIFF_MAX : integer("most", most, 1, PTRDIFF_MAX);
    const Busy busy = this->busy();
    Index advanced = 0;
    run_interruptible([&] { advanced = pool_.advance(limit); });
    return advanced;
  }

  /// One stream: up to `steps`, all of them unless said. Several: exactly `steps` of each.
  py::object pull(py::handle given, py::handle steps) {
    const Streams streams(given);
    const Index n = streams.count(), outputs = pool_.model().outputs();
    const Busy busy = this->busy();
    check(streams);
    if (streams.single()) {
      const Index ready = pool_.ready(streams.one());
      const Index count = steps.is_none() ? ready : std::min(ready, integer("steps", steps, 0, PTRDIFF_MAX));
      py::array_t<float> y({count, outputs});
      pool_.pull(streams.one(), y.mutable_data(), count);
      return std::move(y);
    }
    const Index count = steps.is_none() ? 1 : integer("steps", steps, 0, PTRDIFF_MAX);
    for (Index i = 0; i < n; ++i) check_idle(streams.data()[i], count);
    py::array_t<float> y(steps.is_none() ? std::vector<Index>{n, outputs} : std::vector<Index>{count, n, outputs});
    for (Index i = 0; i < n; ++i)
      for (Index t = 0; t < count; ++t) pool_.pull(streams.data()[i], y.mutable_data() + (t * n + i) * outputs);
    return std::move(y);
  }

  /// One step of each, at once.
  py::object step(py::handle given, py::handle x_given, py::handle out) {
    const Streams streams(given);
    const Index n = streams.count(), inputs = pool_.model().inputs(), outputs = pool_.model().outputs();
    const auto shape = [&](Index width) {
      return streams.single() ? std::vector<Index>{width} : std::vector<Index>{n, width};
    };
    const py::array array = checked(x_given);
    check_shape("x", array, shape(inputs));
    const py::array_t<float> x = contiguous<float>(array);
    py::array_t<float> y = output_array<float>(out, shape(outputs), "the weights");
    if (!out.is_none() && overlap(y, x)) throw Error("out: shares memory with x");
    const Busy busy = this->busy();
    check(streams);
    for (Index i = 0; i < n; ++i) {
      const Stream stream = streams.data()[i];
      if (pool_.waiting(stream) + pool_.ready(stream) > 0)
        throw Error("stream " + std::to_string(stream) + ": expected an empty queue, got " +
                    std::to_string(pool_.waiting(stream)) + " steps that wait and " +
                    std::to_string(pool_.ready(stream)) + " results");
    }
    const float* from = x.data();
    float* to = y.mutable_data();
    run_interruptible([&] {
      for (Index i = 0; i < n; ++i) pool_.push(streams.data()[i], from + i * inputs);
      pool_.advance();
      for (Index i = 0; i < n; ++i)
        if (pool_.pull(streams.data()[i], to + i * outputs) == 0) pool_.drop_waiting(streams.data()[i]);
    });
    return std::move(y);
  }

  /// How many steps wait, or results are ready: an int, or an array for several streams.
  template <Index (StreamPool::*count)(Stream) const noexcept>
  py::object counts(py::handle given) {
    const Streams streams(given);
    const Busy busy = this->busy();
    check(streams);
    if (streams.single()) return py::int_((pool_.*count)(streams.one()));
    py::array_t<Index> result(streams.count());
    for (Index i = 0; i < streams.count(); ++i) result.mutable_data()[i] = (pool_.*count)(streams.data()[i]);
    return std::move(result);
  }

  py::bytes get_state(py::handle given) {
    const Streams streams = single(given);
    const Busy busy = this->busy();
    check(streams);
    std::string bytes(pool_.state_bytes(), '\0');
    pool_.get_state(streams.one(), bytes.data());
    return py::bytes(bytes);
  }

  void set_state(py::handle given, const py::bytes& bytes) {
    const Streams streams = single(given);
    const std::string_view view = bytes;
    const Busy busy = this->busy();
    check(streams);
    if (!pool_.set_state(streams.one(), view.data(), view.size()))
      throw Error("state: expected " + std::to_string(pool_.state_bytes()) +
                  " bytes of a stream or of a session with a batch of 1 over such layers, got " +
                  std::to_string(view.size()) + " others");
  }

  bool contains(py::handle given) {
    if (PyIndex_Check(given.ptr()) == 0) return false;
    const Streams streams(given);
    const Busy busy = this->busy();
    return streams.single() && pool_.waiting(streams.one()) >= 0;
  }
  Index runnable() {
    const Busy busy = this->busy();
    return pool_.runnable();
  }
  Index size() const { return pool_.size(); }
  const StreamPool& pool() const { return pool_; }
  py::object weights() const { return weights_; }

 private:
  Busy busy() { return Busy(busy_, "StreamPool: in use by another thread; one at a time may use a pool"); }

  [[noreturn]] void refuse(Index wanted) {
    full("StreamPool: expected room for " + std::to_string(wanted) + (wanted == 1 ? " stream" : " streams") + ", got " +
         std::to_string(pool_.capacity() - pool_.size()) + " of " + std::to_string(pool_.capacity()) + " free");
  }

  static Streams single(py::handle given) {
    Streams streams(given);
    if (!streams.single()) wrong_type("stream", "an int", Py_TYPE(given.ptr())->tp_name);
    return streams;
  }

  static py::array checked(py::handle x) {
    const py::array array = float_array("x", x, Dtype::float32);
    check_dtype("x", array, Dtype::float32, "the weights");
    return array;
  }

  /// Throws unless every stream is open and named once, before a call changes any of them.
  void check(const Streams& streams) {
    ++call_;
    for (Index i = 0; i < streams.count(); ++i) {
      const Stream stream = streams.data()[i];
      if (pool_.waiting(stream) < 0) unknown(streams, i);
      std::uint64_t& seen = seen_[std::size_t(stream & 0xffffffff)];
      if (seen == call_) wrong_value("streams", "each stream once", std::to_string(stream) + " twice");
      seen = call_;
    }
  }

  void check_idle(Stream stream, Index count) const {
    if (pool_.ready(stream) < count)
      throw Error("stream " + std::to_string(stream) + ": expected " + std::to_string(count) + " results, got " +
                  std::to_string(pool_.ready(stream)));
  }

  py::object weights_;
  StreamPool pool_;
  std::vector<std::uint64_t> seen_;  // by place: the last call that named it
  std::uint64_t call_ = 0;
  std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
};

}  // namespace

void bind_pool(py::module_& module) {
  using namespace py::literals;
  full_error = PyErr_NewExceptionWithDoc("fastrnn.FullError", "A StreamPool, or the queue of a stream, has no room.",
                                         PyExc_RuntimeError, nullptr);
  if (full_error == nullptr) throw py::error_already_set();
  module.attr("FullError") = py::handle(full_error);
  bind_class<PyPool>(module, "StreamPool", R"doc(Many independent streams over one model, computed in batches.

Each stream has states of its own, which begin as zeros, and a queue. Steps are pushed one by one or in chunks, at each
stream's own pace; advance() computes the next step of every stream that has one waiting, in batched kernels; results are
pulled, in order. A result is that of a Session which the stream has for itself, to the last bit.

A stream is named by an int, of Python, of NumPy or of anything else with __index__. Where a method takes `streams`, an
int is one stream, and an array (N,) of ints, each of them once, is several: what cannot be done for all of them is done
for none. All memory is taken when the pool is made. One thread at a time may use a pool (RuntimeError otherwise). Where a
signal's handler raises during a long call of the main thread, as Ctrl-C's does, the call ends and all streams are as
before it.

Every advance() takes one step from each stream that has one waiting, so that no stream waits for another that has more
to do. With `most`, the next call begins behind the last stream that was served: with R streams waiting, a step at the
head of its queue waits for at most ceil(R / most) calls.

Args:
    weights: PackedWeights (not of "float64"), a Model, or a Sequential, which is taken by its to_native(). Arrays are
        float32; x may be anything that NumPy can view, as a tensor on the CPU; integers, float16 and lists are
        converted, in a copy.
    capacity: how many streams there may be.
    queue: steps of a stream that may wait or be results not yet pulled, together.

Raises:
    KeyError: in all methods, for a stream that is not open.
    FullError: from open and push.)doc")
      .def(py::init([](py::object weights, py::handle capacity, py::handle queue) {
             const Index streams = integer("capacity", capacity, 1, 0x7fffffff);
             return std::make_unique<PyPool>(native_weights(std::move(weights)), streams,
                                             integer("queue", queue, 1, PTRDIFF_MAX));
           }),
           "weights"_a, "capacity"_a = 1024, "queue"_a = 16)
      .def("open", &PyPool::open, "count"_a = py::none(),
           "A new stream, as an int; with `count` as many, as an array. FullError if there is no room for all of them.")
      .def("close", &PyPool::close, "streams"_a, "Ends streams; what they had waiting is dropped.")
      .def("reset", &PyPool::reset, "streams"_a, "States to zero; what waits and what is ready is dropped.")
      .def("push", &PyPool::push, "streams"_a, "x"_a, R"doc(Puts steps at the end of the queues.

Args:
    x: of one stream (I,), or a chunk (T, I); of several (N, I), or (T, N, I).

Raises:
    FullError: a queue has not so much room; nothing is pushed then.)doc")
      .def("advance", &PyPool::advance, "most"_a = py::none(),
           R"doc(Computes one step of every stream that has one waiting.

Args:
    most: of how many streams at most; None: all.

Returns:
    How many. 0: nothing waits.)doc")
      .def("pull", &PyPool::pull, "streams"_a, "steps"_a = py::none(), R"doc(Takes results.

Returns:
    Of one stream y (n, O), all that are ready, or at most `steps` of them. Of several y (N, O), one of each, or with
    `steps` (steps, N, O); ValueError unless each has so many.)doc")
      .def("step", &PyPool::step, "streams"_a, "x"_a, "out"_a = py::none(),
           R"doc(One step of each: push, advance and pull.

Other streams that have steps waiting are advanced with them.

Args:
    x: (I,), or of several streams (N, I).
    out: receives y: C-contiguous, writeable, sharing no memory with x.

Returns:
    y (O,) or (N, O).

Raises:
    ValueError: a queue is not empty.)doc")
      .def("waiting", &PyPool::counts<&StreamPool::waiting>, "streams"_a, "Steps that wait: an int, or an array (N,).")
      .def("ready", &PyPool::counts<&StreamPool::ready>, "streams"_a,
           "Results that are ready: an int, or an array (N,).")
      .def("get_state", &PyPool::get_state, "stream"_a,
           "A stream's state as bytes, which any pool, and any Session with a batch of 1, over such layers takes.")
      .def("set_state", &PyPool::set_state, "stream"_a, "state"_a,
           "Takes what get_state gave; ValueError for another model's. The queue stays as it is.")
      .def("__reduce__",
           [](py::handle) -> py::object {
             throw py::type_error(
                 "StreamPool: cannot be pickled or copied, because its streams have queues and memory of "
                 "their own; give their states (get_state, as bytes) to set_state of another StreamPool");
           })
      .def("__contains__", &PyPool::contains, "stream"_a)
      .def("__len__", &PyPool::size)
      .def_property_readonly("runnable", &PyPool::runnable, "How many streams have a step waiting.")
      .def_property_readonly("capacity", [](const PyPool& p) { return p.pool().capacity(); })
      .def_property_readonly("queue", [](const PyPool& p) { return p.pool().queue(); })
      .def_property_readonly("weights", &PyPool::weights)
      .def_property_readonly("nbytes", [](const PyPool& p) { return p.pool().bytes(); })
      .def("__repr__", [](const PyPool& p) {
        return "StreamPool(" + std::string(py::repr(p.weights())) +
               ", capacity=" + std::to_string(p.pool().capacity()) + ", queue=" + std::to_string(p.pool().queue()) +
               ")";
      });
}

}  // namespace fastrnn::python
