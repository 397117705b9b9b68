// Products by cuBLASLt, with a library of the same functions that computes on the host: which arguments it is given,
// how our rows become its columns, and the errors where it is missing.
#include "cuda/runtime/blaslt.h"

#include <dlfcn.h>

#include <string>
#include <utility>

#include "expect.h"
#include "fastrnn/cuda.hpp"
#include "product_case.h"

namespace {

using namespace fastrnn;
using cuda::BlasLt;
using cuda::Type;
using cuda::emulation::expect;

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
        for (int bits = 0; bits < 8; ++bits)
          cuda::test::check_product(
              {m, n, k, bool(bits & 1), bool(bits & 2), bool(bits & 4)}, 1e-6,
              [&](const cuda::Product& product) { library.multiply(product, 0, nullptr); }, [](float v) { return v; });

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
