// The product kernel against float64: every way to turn the factors, columns of wider arrays, extents that fit no tile.
#include <array>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "cuda/plan.h"
#include "cuda/product_kernel.h"
#include "emulated_runtime.h"
#include "expect.h"

namespace fastrnn::cuda {

std::vector<KernelList> compiled_kernels() { return {}; }

}  // namespace fastrnn::cuda

namespace {

using namespace fastrnn;
using cuda::EmulatedRuntime;
using cuda::Type;
using cuda::emulation::expect;
using Floats = std::vector<float>;

/// Extents that fit no tile, factors and results that are columns of wider arrays, either of them turned.
void check_product(int m, int n, int k, bool a_turned, bool b_turned, bool accumulate, Type type) {
  EmulatedRuntime runtime(cuda::device_spec("A100"));
  std::mt19937 random(unsigned(m * 31 + n * 7 + k));
  std::uniform_real_distribution<float> draw(-1, 1);
  constexpr int kBeside = 3;  // columns of the wider arrays
  const auto matrix = [&](int rows, int columns) {
    Floats v(std::size_t(rows) * std::size_t(columns + kBeside));
    for (float& f : v) f = draw(random);
    return v;
  };
  const int a_columns = a_turned ? m : k, b_columns = b_turned ? k : n;
  const Floats a = matrix(a_turned ? k : m, a_columns), b = matrix(b_turned ? n : k, b_columns), before = matrix(m, n);
  Floats c = before;
  const Index a_stride = a_columns + kBeside, b_stride = b_columns + kBeside, c_stride = n + kBeside;
  const auto rounded = [&](const Floats& v, Index i) { return double(cuda::rounded(v[std::size_t(i)], type)); };
  runtime.multiply(
      {m, n, k, {a.data(), a_stride, a_turned}, {b.data(), b_stride, b_turned}, c.data(), c_stride, accumulate, type});
  double worst = 0;
  for (Index i = 0; i < m; ++i)
    for (Index j = 0; j < c_stride; ++j) {
      const Index at = i * c_stride + j;
      double sum = accumulate || j >= n ? before[std::size_t(at)] : 0;
      for (Index l = 0; l < k && j < n; ++l)
        sum += rounded(a, a_turned ? l * a_stride + i : i * a_stride + l) *
               rounded(b, b_turned ? j * b_stride + l : l * b_stride + j);
      const double error = std::abs(c[std::size_t(at)] - sum);
      worst = error == error ? std::max(worst, error) : INFINITY;
    }
  expect(worst <= 1e-7 * (k + 1), "product " + std::to_string(m) + " x " + std::to_string(n) + " x " +
                                      std::to_string(k) + (a_turned ? ", a turned" : "") +
                                      (b_turned ? ", b turned" : "") + (accumulate ? ", added" : "") + ", " +
                                      cuda::type_name(type) + ": differs by " + std::to_string(worst));
}

}  // namespace

int main() {
  const std::array<int, 3> extents[] = {{1, 1, 1}, {3, 70, 17}, {65, 64, 16}, {130, 9, 33},
                                        {5, 5, 0}, {0, 5, 5},   {5, 0, 5},    {17, 33, 1}};
  for (const auto& [m, n, k] : extents)
    for (const bool a_turned : {false, true})
      for (const bool b_turned : {false, true})
        for (const bool accumulate : {false, true})
          check_product(m, n, k, a_turned, b_turned, accumulate, Type::float32);
  for (const Type type : {Type::tf32, Type::bfloat16, Type::float16})
    check_product(33, 17, 65, false, true, true, type);
  // 1 + 2^-9 is 1 in bfloat16, 1 + 2^-12 in float16.
  EmulatedRuntime runtime(cuda::device_spec("A100"));
  for (const auto& [type, a] : {std::pair{Type::bfloat16, 1.001953125f}, {Type::float16, 1.000244140625f}}) {
    float c = 0;
    runtime.multiply({1, 1, 1, {&a, 1}, {&a, 1}, &c, 1, false, type});
    expect(c == 1, "operands are not rounded to " + std::string(cuda::type_name(type)));
  }
  return cuda::emulation::finish("product");
}
