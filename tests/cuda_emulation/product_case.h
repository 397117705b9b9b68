// One product against float64: factors and result are columns of wider arrays, which have to stay as they are.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "cuda/shared/runtime.h"
#include "expect.h"

namespace fastrnn::cuda::test {

struct ProductCase {
  int m, n, k;
  bool a_turned, b_turned, accumulate;
  Type type = Type::float32;
};

/// Without rounding.
inline void multiply_plainly(const Product& p) {
  const auto element = [](const DeviceMatrix& f, Index row, Index column) {
    return double(f.transposed ? f.data[column * f.stride + row] : f.data[row * f.stride + column]);
  };
  for (Index i = 0; i < p.m; ++i)
    for (Index j = 0; j < p.n; ++j) {
      double sum = p.accumulate ? p.c[i * p.c_stride + j] : 0;
      for (Index l = 0; l < p.k; ++l) sum += element(p.a, i, l) * element(p.b, l, j);
      p.c[i * p.c_stride + j] = float(sum);
    }
}

/// `multiply` takes the Product; `rounded` gives a factor's element as that should see it.
template <class Multiply, class Rounded>
void check_product(const ProductCase& p, double tolerance, const Multiply& multiply, const Rounded& rounded) {
  using Floats = std::vector<float>;
  std::mt19937 random(unsigned(p.m * 31 + p.n * 7 + p.k));
  std::uniform_real_distribution<float> draw(-1, 1);
  constexpr int kBeside = 3;  // columns of the wider arrays
  const auto matrix = [&](int rows, int columns) {
    Floats v(std::size_t(rows) * std::size_t(columns + kBeside));
    for (float& f : v) f = draw(random);
    return v;
  };
  const int a_columns = p.a_turned ? p.m : p.k, b_columns = p.b_turned ? p.k : p.n;
  const Floats a = matrix(p.a_turned ? p.k : p.m, a_columns), b = matrix(p.b_turned ? p.n : p.k, b_columns),
               before = matrix(p.m, p.n);
  Floats c = before;
  const Index a_stride = a_columns + kBeside, b_stride = b_columns + kBeside, c_stride = p.n + kBeside;
  multiply(Product{p.m,
                   p.n,
                   p.k,
                   {a.data(), a_stride, p.a_turned},
                   {b.data(), b_stride, p.b_turned},
                   c.data(),
                   c_stride,
                   p.accumulate,
                   p.type});
  double worst = 0;
  for (Index i = 0; i < p.m; ++i)
    for (Index j = 0; j < c_stride; ++j) {
      const auto at = std::size_t(i * c_stride + j);
      double sum = p.accumulate || j >= p.n ? before[at] : 0;
      for (Index l = 0; l < p.k && j < p.n; ++l)
        sum += double(rounded(a[std::size_t(p.a_turned ? l * a_stride + i : i * a_stride + l)])) *
               double(rounded(b[std::size_t(p.b_turned ? j * b_stride + l : l * b_stride + j)]));
      const double error = std::abs(c[at] - sum);
      worst = error == error ? std::max(worst, error) : INFINITY;
    }
  emulation::expect(worst <= tolerance, "product " + std::to_string(p.m) + " x " + std::to_string(p.n) + " x " +
                                            std::to_string(p.k) + (p.a_turned ? ", a turned" : "") +
                                            (p.b_turned ? ", b turned" : "") + (p.accumulate ? ", added" : "") +
                                            ": differs by " + std::to_string(worst));
}

}  // namespace fastrnn::cuda::test
