// Model: layers that sessions and pools run.
#include <pybind11/stl.h>

#include "fastrnn/unpack.hpp"
#include "python/bindings.h"
#include "python/interpreter/signals.h"

namespace fastrnn::python {

namespace {

std::shared_ptr<const Model> model_from(py::handle given) {
  if (py::isinstance<PackedWeights>(given)) return model_of("layers", given);
  if (!py::isinstance<py::sequence>(given) || py::isinstance<py::str>(given))
    wrong_type("layers", "PackedWeights or a sequence of them", Py_TYPE(given.ptr())->tp_name);
  auto model = std::make_shared<Model>();
  for (const py::handle item : py::reinterpret_borrow<py::iterable>(given)) {
    const std::string name = "layers[" + std::to_string(model->layers()) + "]";
    if (!py::isinstance<PackedWeights>(item)) wrong_type(name, "PackedWeights", Py_TYPE(item.ptr())->tp_name);
    const PackedWeights& packed = item.cast<const PackedWeights&>();
    if (packed.dtype() != Dtype::float32) wrong_type(name, "weights for x of float32", dtype_name(packed.dtype()));
    const auto& weights = packed.get<float>();
    if (model->layers() > 0 && weights->inputs() != model->outputs())
      wrong_value(name, std::to_string(model->outputs()) + " inputs, the outputs of the layer before",
                  std::to_string(weights->inputs()));
    model->add_recurrent(weights);
  }
  if (model->stages().empty()) wrong_value("layers", "one or more", "none");
  return model;
}

py::array_t<float> array_of(const std::vector<float>& values) {
  return py::array_t<float>(Index(values.size()), values.data());
}

std::vector<float> floats_of(const std::string& name, py::handle given) {
  const py::array_t<float> array = contiguous<float>(float_array(name, given, Dtype::float32));
  return {array.data(), array.data() + array.size()};
}

/// What pickle keeps: (restore_model, arguments), with a layer as (kind, the rest of ModelLayer).
py::tuple reduce(const PyModel& self) {
  py::list layers;
  for (const ModelLayer& layer : unpack(*self.model)) {
    py::object weights = py::none();
    if (layer.weights != nullptr) weights = py::cast(PackedWeights{layer.weights, {}});
    py::list runs;
    for (const ModelLayer::Run& run : layer.runs) runs.append(py::make_tuple(run.first, run.count));
    layers.append(py::make_tuple(
        int(layer.kind), layer.from, layer.inputs, layer.outputs, layer.rows, layer.width, layer.steps, layer.number,
        py::make_tuple(activation_name(layer.activation.kind), layer.activation.alpha, layer.activation.beta), runs,
        array_of(layer.kernel), array_of(layer.bias), array_of(layer.scale), array_of(layer.shift), weights,
        layer.ahead, array_of(layer.h0), array_of(layer.c0), layer.groups,
        py::make_tuple(layer.windows.size, layer.windows.stride, layer.windows.dilation, layer.windows.before,
                       layer.windows.after, layer.windows.same)));
  }
  const PackOptions& options = self.model->options();
  return py::make_tuple(py::module_::import("fastrnn._core").attr("restore_model"),
                        py::make_tuple(4, int(options.precision), options.fast_activations, layers));
}

PyModel restore(const py::int_& version, int precision, bool fast_activations, const py::list& layers) {
  const Index read = version.cast<Index>();
  if (read != 3 && read != 4) wrong_value("version", "3 or 4", py::str(version));
  const std::size_t fields = read == 3 ? 18 : 20;  // 3 knew neither groups nor windows
  if (precision < 0 || precision >= kPrecisions) wrong_value("precision", "0 to 3", std::to_string(precision));
  auto model = std::make_shared<Model>(PackOptions{static_cast<Precision>(precision), fast_activations});
  for (const py::handle item : layers) {
    const auto kept = item.cast<py::tuple>();
    if (kept.size() != fields)
      wrong_value("layers", "layers of " + std::to_string(fields) + " fields", std::to_string(kept.size()));
    const int kind = kept[0].cast<int>();
    if (kind < 0 || kind > int(ModelLayer::Kind::window_mean))
      wrong_value("layers", "a kind of layer", std::to_string(kind));
    ModelLayer layer;
    layer.kind = static_cast<ModelLayer::Kind>(kind);
    layer.from = kept[1].cast<std::vector<Index>>();
    layer.inputs = kept[2].cast<Index>();
    layer.outputs = kept[3].cast<Index>();
    layer.rows = kept[4].cast<Index>();
    layer.width = kept[5].cast<Index>();
    layer.steps = kept[6].cast<Index>();
    layer.number = kept[7].cast<double>();
    layer.activation = activation_option("activation", kept[8]);
    for (const auto& [first, count] : kept[9].cast<std::vector<std::pair<Index, Index>>>())
      layer.runs.push_back({first, count});
    layer.kernel = floats_of("kernel", kept[10]);
    layer.bias = floats_of("bias", kept[11]);
    layer.scale = floats_of("scale", kept[12]);
    layer.shift = floats_of("shift", kept[13]);
    if (!kept[14].is_none()) layer.weights = kept[14].cast<const PackedWeights&>().get<float>();
    layer.ahead = kept[15].cast<Index>();
    layer.h0 = floats_of("h0", kept[16]);
    layer.c0 = floats_of("c0", kept[17]);
    if (read > 3) {
      layer.groups = kept[18].cast<Index>();
      const auto windows =
          kept[19].cast<std::tuple<std::int32_t, std::int32_t, std::int32_t, std::int32_t, std::int32_t, bool>>();
      const auto& [size, stride, dilation, before, after, same] = windows;
      layer.windows = {size, stride, dilation, before, after, same};
    }
    model->add(std::move(layer));
  }
  if (model->stages().empty()) wrong_value("layers", "one or more", "none");
  return {model};
}

PyModel load(py::handle source, const std::string& dtype, bool fast_activations) {
  PackOptions options;
  std::vector<WeightsDtype> known;  // of x in float32
  for (const WeightsDtype& one : kWeightsDtypes)
    if (!one.is_double) known.push_back(one);
  options.precision = known[find_choice("dtype", dtype, known, [](const auto& one) { return one.name; })].precision;
  options.fast_activations = fast_activations;
  PyModel loaded;
  if (py::isinstance<py::bytes>(source)) {
    const auto bytes = py::reinterpret_borrow<py::bytes>(source);
    const std::string_view view = bytes;
    run_interruptible([&] { loaded.model = Model::load(view.data(), view.size(), options); });
    return loaded;
  }
  PyObject* encoded = nullptr;
  if (!PyUnicode_FSConverter(source.ptr(), &encoded)) {
    PyErr_Clear();
    wrong_type("source", "a path or bytes", Py_TYPE(source.ptr())->tp_name);
  }
  const std::string path = py::reinterpret_steal<py::bytes>(encoded);
  run_interruptible([&] { loaded.model = Model::load(path, options); });
  return loaded;
}

/// x (T,B,I), or (T,B) where a step is a single number, such as the number of a word.
py::array_t<float> forward_model(const PyModel& self, py::handle x_given, py::handle lengths_given, py::handle out,
                                 py::handle threads) {
  const Model& model = *self.model;
  py::array x = float_array("x", x_given, Dtype::float32);
  if (x.ndim() == 2 && model.inputs() == 1) x = x.reshape(std::vector<Index>{x.shape(0), x.shape(1), 1});
  check_rank("x", x, "(T, B, I)", 3);
  check_dtype("x", x, Dtype::float32, "the model");
  const Index steps = x.shape(0), batch = x.shape(1);
  check_shape("x", x, {steps, batch, model.inputs()});
  const py::array_t<float> in = contiguous<float>(x);
  std::vector<Index> lengths;
  if (!lengths_given.is_none()) lengths = length_list(lengths_given, batch, steps);
  std::vector<Index> shape = {batch, model.outputs()};
  if (model.sequences()) shape.insert(shape.begin(), model.output_steps(steps));
  py::array_t<float> y = output_array<float>(out, shape, "the model");
  if (!out.is_none() && overlap(y, in)) throw Error("out: shares memory with x");
  const int count = thread_count(threads);
  const float* const from = in.data();
  float* const to = y.mutable_data();
  run_interruptible(
      [&] { model.forward(from, steps, batch, lengths_given.is_none() ? nullptr : lengths.data(), to, count); });
  return y;
}

}  // namespace

std::shared_ptr<const Model> model_of(const std::string& name, py::handle object) {
  if (py::isinstance<PyModel>(object)) return object.cast<const PyModel&>().model;
  if (!py::isinstance<PackedWeights>(object))
    wrong_type(name, "PackedWeights or a Model", Py_TYPE(object.ptr())->tp_name);
  const PackedWeights& packed = object.cast<const PackedWeights&>();
  if (packed.dtype() != Dtype::float32) wrong_type(name, "weights for x of float32", dtype_name(packed.dtype()));
  auto model = std::make_shared<Model>();
  model->add_recurrent(packed.get<float>());
  return model;
}

void bind_model(py::module_& module) {
  using namespace py::literals;
  bind_class<PyModel>(module, "Model", R"doc(Layers one after the other, for Session and StreamPool.

Immutable, and safe to share between threads; for pickle see PackedWeights. x and y are float32 whatever the dtype of the
weights.

Args:
    layers: PackedWeights, or a sequence of them: recurrent layers, each with the outputs of the one before as inputs.)doc")
      .def(py::init([](py::handle layers) { return PyModel{model_from(layers)}; }), "layers"_a)
      .def(py::init([](const py::args&, const py::kwargs&) -> PyModel {
        throw py::type_error(
            "Model: expected layers alone, PackedWeights or a sequence of them, for Session and StreamPool; a model to "
            "train is fastrnn.Sequential([LSTM(8), ...]), and inputs= and outputs= are of a functional API, as Keras "
            "has");
      }))
      .def_static("load", &load, "source"_a, "dtype"_a = "float32", "fast_activations"_a = false,
                  R"doc(A model from a .safetensors file of model.save or fastrnn.io.save_layers.

Args:
    source: the path, or what is in the file, as bytes.
    dtype: to store the weights of recurrent layers in: "float32", "bfloat16", "bfloat16_weights" or "int8".
    fast_activations: sigmoid and tanh with a larger error, in float32 alone.

Raises:
    ValueError: it is no such file, or of a model without a native form; tells what was expected.)doc")
      .def_property_readonly("input_size", [](const PyModel& m) { return m.model->inputs(); })
      .def_property_readonly("output_size", [](const PyModel& m) { return m.model->outputs(); })
      .def_property_readonly(
          "layers", [](const PyModel& m) { return m.model->layers(); }, "How many of its layers are recurrent.")
      .def_property_readonly(
          "stepwise", [](const PyModel& m) { return m.model->stepwise(); },
          "Whether no layer needs a later step: then Session and StreamPool run it.")
      .def_property_readonly(
          "return_sequences", [](const PyModel& m) { return m.model->sequences(); },
          "Whether `forward` gives every step, and not one output for a sequence.")
      .def(
          "output_steps",
          [](const PyModel& m, py::handle steps) {
            return m.model->output_steps(integer("steps", steps, 0, Index(1) << 40));
          },
          "steps"_a,
          R"doc(How many steps `forward` gives for so many: as many, or fewer where layers go over windows of steps.

Args:
    steps: T, or the length of a row.

Returns:
    T', or 1 unless `return_sequences`.)doc")
      .def("forward", &forward_model, "x"_a, "lengths"_a = py::none(), "out"_a = py::none(), "threads"_a = py::none(),
           R"doc(Whole sequences, from the first states: what a model of any layers gives.

Args:
    x: (T,B,I) float32; (T,B) will do where I is 1, as of an embedding, for which integers are taken.
    lengths: (B,) how many steps each row has; it gives what it would give alone, and y beyond that is zero. None: all T.
    out: where y goes.
    threads: that share the recurrent layers.

Returns:
    (T',B,O), T' being `output_steps(T)`, or (B,O) unless `return_sequences`.

Raises:
    ValueError: a wrong shape or length, or an x that an embedding has no row for.)doc")
      .def_property_readonly("nbytes", [](const PyModel& m) { return m.model->bytes(); })
      .def("__reduce__", &reduce)
      .def("__copy__", [](py::object self) { return self; })
      .def("__deepcopy__", [](py::object self, py::handle) { return self; })
      .def("__repr__", [](const PyModel& m) {
        return "Model(" + std::to_string(m.model->inputs()) + " -> " + std::to_string(m.model->outputs()) + ", " +
               std::to_string(m.model->layers()) +
               (m.model->layers() == 1 ? " recurrent layer)" : " recurrent layers)");
      });
  module.def("restore_model", &restore);  // what pickles call
}

}  // namespace fastrnn::python
