// Products by cuBLASLt, with a library of the same functions that computes on the host: which arguments it is given,
// what becomes of rows that are columns there, and what is said where it cannot be had.
#include "cuda/blaslt.h"

#include <dlfcn.h>

#include <cmath>
#include <random>
#include <vector>

#include "expect.h"
#include "fastrnn/cuda.hpp"

namespace {

using namespace fastrnn;
using cuda::BlasLt;
using cuda::Type;
using cuda::emulation::expect;
using Floats = std::vector<float>;

void check_product(BlasLt& library, int m, int n, int k, bool a_turned, bool b_turned, bool accumulate) {
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
  const int a_stride = a_columns + kBeside, b_stride = b_columns + kBeside, c_stride = n + kBeside;
  library.multiply(
      {m, n, k, {a.data(), a_stride, a_turned}, {b.data(), b_stride, b_turned}, c.data(), c_stride, accumulate}, 0,
      nullptr);
  double worst = 0;
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < c_stride; ++j) {
      const auto at = std::size_t(i * c_stride + j);
      double sum = accumulate || j >= n ? before[at] : 0;
      for (int l = 0; l < k && j < n; ++l)
        sum += double(a[std::size_t(a_turned ? l * a_stride + i : i * a_stride + l)]) *
               b[std::size_t(b_turned ? j * b_stride + l : l * b_stride + j)];
      worst = std::max(worst, std::abs(c[at] - sum));
    }
  expect(worst <= 1e-6, std::to_string(m) + " x " + std::to_string(n) + " x " + std::to_string(k) +
                            (a_turned ? ", a turned" : "") + (b_turned ? ", b turned" : "") +
                            (accumulate ? ", added" : "") + ": differs by " + std::to_string(worst));
}

std::string refusal(const char* path) {
  try {
    BlasLt library(path);
  } catch (const CudaError& e) {
    return e.what();
  }
  return "nothing";
}

}  // namespace

int main() {
  BlasLt library(FASTRNN_FAKE_CUBLASLT);
  for (const int m : {1, 3, 17})
    for (const int n : {1, 5, 33})
      for (const int k : {1, 4, 19})
        for (int bits = 0; bits < 8; ++bits) check_product(library, m, n, k, bits & 1, bits & 2, bits & 4);

  void* const fake = dlopen(FASTRNN_FAKE_CUBLASLT, RTLD_NOW);
  const int& alive = *static_cast<int*>(dlsym(fake, "fake_alive"));
  const int& compute = *static_cast<int*>(dlsym(fake, "fake_compute"));
  void* const& stream = *static_cast<void**>(dlsym(fake, "fake_stream"));
  const float one = 1;
  float c = 0;
  int there = 0;
  const std::pair<Type, int> types[] = {
      {Type::float32, 68}, {Type::float16, 74}, {Type::bfloat16, 75}, {Type::tf32, 77}};
  for (const auto& [type, number] : types) {
    library.multiply({1, 1, 1, {&one, 1}, {&one, 1}, &c, 1, false, type}, 1, &there);
    expect(compute == number && stream == &there, "the type or the stream of a product");
  }
  expect(alive == 0, "descriptors are left behind");
  std::string said;
  try {
    library.multiply({1, 2, 1, {&one, 1}, {&one, 1}, &c, 2}, 0, nullptr);  // rows of b one apart have no two columns
  } catch (const CudaError& e) {
    said = e.what();
  }
  expect(said == "cublasLtMatmul: cublasStatus_t 7" && alive == 0, "a failure says '" + said + "'");
  dlclose(fake);

  expect(refusal("libno_such_library.so").find("libno_such_library.so") != std::string::npos, "a library is missing");
  expect(refusal("libm.so.6").find("expected cublasLtCreate in libm.so.6") != std::string::npos, "another library");
  return cuda::emulation::finish("cuBLASLt");
}
