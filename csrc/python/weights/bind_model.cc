// Model: layers that sessions and pools run.
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

/// What pickle keeps: (restore_model, arguments). A layer is PackedWeights, (kernel, bias), an activation or "softmax".
py::tuple reduce(const PyModel& self) {
  const Model& model = *self.model;
  py::list layers;
  for (const UnpackedLayer& layer : unpack(model)) {
    switch (layer.kind) {
      case UnpackedLayer::Kind::recurrent: layers.append(PackedWeights{layer.weights, {}}); break;
      case UnpackedLayer::Kind::dense: {
        py::object bias = py::none();
        if (!layer.bias.empty()) bias = py::array_t<float>(layer.outputs, layer.bias.data());
        const std::vector<Index> shape = {layer.inputs, layer.outputs};
        layers.append(py::make_tuple(py::array_t<float>(shape, layer.kernel.data()), bias));
        break;
      }
      case UnpackedLayer::Kind::activation:
        layers.append(
            py::make_tuple(activation_name(layer.activation.kind), layer.activation.alpha, layer.activation.beta));
        break;
      case UnpackedLayer::Kind::softmax: layers.append("softmax"); break;
    }
  }
  return py::make_tuple(py::module_::import("fastrnn._core").attr("restore_model"),
                        py::make_tuple(1, int(model.options().precision), model.options().fast_activations, layers));
}

PyModel restore(const py::int_& version, int precision, bool fast_activations, const py::list& layers) {
  if (version.cast<Index>() != 1) wrong_value("version", "1", py::str(version));
  if (precision < 0 || precision >= kPrecisions) wrong_value("precision", "0 to 3", std::to_string(precision));
  auto model = std::make_shared<Model>(PackOptions{static_cast<Precision>(precision), fast_activations});
  for (const py::handle item : layers) {
    if (py::isinstance<PackedWeights>(item)) {
      model->add_recurrent(item.cast<const PackedWeights&>().get<float>());
      continue;
    }
    if (py::isinstance<py::str>(item)) {
      model->add_softmax();
      continue;
    }
    const auto layer = item.cast<py::tuple>();
    if (layer.size() == 3) {
      model->add_activation(activation_option("activation", layer));
      continue;
    }
    const py::array_t<float> kernel = contiguous<float>(float_array("kernel", layer[0], Dtype::float32));
    check_rank("kernel", kernel, "(I, O)", 2);
    const Optional<float> bias("bias", layer[1], {kernel.shape(1)}, "kernel");
    model->add_dense(kernel.shape(0), kernel.shape(1), kernel.data(), bias.given() ? bias.data() : nullptr);
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
    const std::string_view view = py::reinterpret_borrow<py::bytes>(source);
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
    ValueError: it is no such file, or of a model that cannot run step by step; tells what was expected.)doc")
      .def_property_readonly("input_size", [](const PyModel& m) { return m.model->inputs(); })
      .def_property_readonly("output_size", [](const PyModel& m) { return m.model->outputs(); })
      .def_property_readonly(
          "layers", [](const PyModel& m) { return m.model->layers(); }, "How many of its layers are recurrent.")
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
