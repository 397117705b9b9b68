// Activations and the matrix product, for the layers around the recurrent ones.
#include <variant>

#include "python/bindings.h"
#include "python/interpreter/signals.h"

namespace fastrnn::python {

namespace {

py::array activate_array(const std::string& name, py::handle object, bool fast) {
  const py::array x = float_array("x", object, Dtype::float32);
  constexpr std::string_view plain[] = {kActivationNames[0], kActivationNames[1], kActivationNames[2]};
  const auto activation = Activation(find_choice("activation", name, plain));  // tanh, sigmoid or relu
  return with_type(float_dtype(x), [&](auto* type) -> py::array {
    using T = std::remove_pointer_t<decltype(type)>;
    const py::array_t<T> in = contiguous<T>(x);
    py::array_t<T> out(shape_of(x));
    const T* from = in.data();
    T* to = out.mutable_data();
    run_interruptible([&] { activate(activation, from, to, in.size(), fast); });
    return out;
  });
}

/// The right factor of matmul, packed once.
struct PackedMatrix {
  std::variant<Matrix<float>, Matrix<double>> matrix;
};

template <class T>
Matrix<T> packed_matrix(const py::array& b) {
  const py::array_t<T> values = contiguous<T>(b);
  const T* data = values.data();
  const Index rows = b.shape(0), columns = b.shape(1);
  std::optional<Matrix<T>> matrix;
  run_interruptible([&] { matrix.emplace(data, rows, columns); });
  return std::move(*matrix);
}

PackedMatrix pack_matrix(py::handle object) {
  const py::array b = float_array("b", object, Dtype::float32);
  check_rank("b", b, "(K, N)", 2);
  return with_type(float_dtype(b), [&](auto* type) -> PackedMatrix {
    using T = std::remove_pointer_t<decltype(type)>;
    return {packed_matrix<T>(b)};
  });
}

py::array matmul_arrays(py::handle a_given, py::handle b_given, py::handle out_given) {
  const py::array a = float_array("a", a_given, Dtype::float32);
  check_rank("a", a, "(M, K)", 2);
  return with_type(float_dtype(a), [&](auto* type) -> py::array {
    using T = std::remove_pointer_t<decltype(type)>;
    const auto multiply = [&](const Matrix<T>& right) -> py::array {
      check_shape("a", a, {a.shape(0), right.rows()});
      const py::array_t<T> left = contiguous<T>(a);
      py::array_t<T> out = output_array<T>(out_given, {a.shape(0), right.columns()}, "a");
      if (!out_given.is_none() && overlap(out, left)) throw Error("out: shares memory with a");
      T* to = out.mutable_data();
      const T* from = left.data();
      run_interruptible([&] { right.multiply(from, to, left.shape(0)); });
      return std::move(out);
    };
    if (py::isinstance<PackedMatrix>(b_given)) {
      const auto* packed = std::get_if<Matrix<T>>(&b_given.cast<const PackedMatrix&>().matrix);
      if (packed == nullptr)
        wrong_type("b", std::string("dtype ") + dtype_name(dtype_of<T>()) + " as a",
                   sizeof(T) == 4 ? "float64" : "float32");
      return multiply(*packed);
    }
    const py::array b = float_array("b", b_given, dtype_of<T>());
    check_dtype("b", b, dtype_of<T>(), "a");
    check_rank("b", b, "(" + std::to_string(a.shape(1)) + ", N)", 2);
    check_shape("b", b, {a.shape(1), b.shape(1)});
    return multiply(packed_matrix<T>(b));
  });
}

}  // namespace

void bind_math(py::module_& module) {
  module.def("float_array", [](const std::string& name, py::handle value, const std::string& wanted) {
    constexpr const char* names[] = {"float32", "float64"};
    return float_array(name, value, Dtype(find_choice("wanted", wanted, names)));
  });
  module.def("activate", &activate_array, py::arg("activation"), py::arg("x"), py::arg("fast") = false);
  bind_class<PackedMatrix>(module, "PackedMatrix",
                           "The right factor of matmul, packed for the instruction set in use.");
  module.def("pack_matrix", &pack_matrix, py::arg("b"));
  module.def("matmul", &matmul_arrays, py::arg("a"), py::arg("b"), py::arg("out") = py::none());
}

}  // namespace fastrnn::python
