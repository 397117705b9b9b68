// Activations and the matrix product, for the layers around the recurrent ones.
#include "bindings.h"

namespace fastrnn::python {

namespace {

py::array activate_array(const std::string& name, py::handle object, bool fast) {
  const py::array x = float_array("x", object);
  Activation activation;
  if (name == "tanh")
    activation = Activation::tanh;
  else if (name == "sigmoid")
    activation = Activation::sigmoid;
  else if (name == "relu")
    activation = Activation::relu;
  else
    wrong_value("activation", "one of 'tanh', 'sigmoid', 'relu'", "'" + name + "'");
  return with_type(float_dtype(x), [&](auto* type) -> py::array {
    using T = std::remove_pointer_t<decltype(type)>;
    const py::array_t<T> in = contiguous<T>(x);
    py::array_t<T> out(std::vector<py::ssize_t>(x.shape(), x.shape() + x.ndim()));
    {
      const py::gil_scoped_release release;
      activate(activation, in.data(), out.mutable_data(), in.size(), fast);
    }
    return out;
  });
}

py::array matmul_arrays(py::handle a_given, py::handle b_given) {
  const py::array a = float_array("a", a_given), b = float_array("b", b_given);
  check_rank("a", a, "(M, K)", 2);
  check_dtype("b", b, float_dtype(a), "a");
  check_rank("b", b, "(" + std::to_string(a.shape(1)) + ", N)", 2);
  check_shape("b", b, {a.shape(1), b.shape(1)});
  return with_type(float_dtype(a), [&](auto* type) -> py::array {
    using T = std::remove_pointer_t<decltype(type)>;
    const py::array_t<T> left = contiguous<T>(a), right = contiguous<T>(b);
    const Index m = a.shape(0), k = a.shape(1), n = b.shape(1);
    py::array_t<T> out(std::vector<py::ssize_t>{m, n});
    {
      const py::gil_scoped_release release;
      matmul(left.data(), right.data(), out.mutable_data(), m, k, n);
    }
    return out;
  });
}

}  // namespace

void bind_math(py::module_& module) {
  module.def("activate", &activate_array, py::arg("activation"), py::arg("x"), py::arg("fast") = false);
  module.def("matmul", &matmul_arrays, py::arg("a"), py::arg("b"));
}

}  // namespace fastrnn::python
