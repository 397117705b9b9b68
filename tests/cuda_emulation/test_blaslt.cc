// Products by cuBLASLt, with a library of the same functions that computes on the host: which arguments it is given,
// how our rows become its columns, and the errors where it is missing.
#include "cuda/runtime/blaslt.h"

#include <dlfcn.h>

#include <string>
#include <utility>
#include <vector>

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
  std::vector<char> room;
  const BlasLt::Workspace workspace = [&](std::size_t bytes) {
    room.assign(bytes, 0);
    return room.data();
  };
  // Where the library has no algorithm, the caller multiplies.
  const auto multiply = [&](const cuda::Product& product) {
    const bool has = product.k != 19 || product.n > 5;
    const bool done = library.multiply(product, 0, nullptr, workspace);
    expect(done == (has && !(product.m == 17 && product.n == 17)), "whether the library has multiplied");
    if (!done) cuda::test::multiply_plainly(product);
  };
  for (const int m : {1, 3, 17})
    for (const int n : {1, 5, 17, 33})
      for (const int k : {1, 4, 19})
        for (int bits = 0; bits < 8; ++bits)
          cuda::test::check_product({m, n, k, bool(bits & 1), bool(bits & 2), bool(bits & 4)}, 1e-6, multiply,
                                    [](float v) { return v; });
  expect(!room.empty(), "no product had a workspace");

  void* const fake = dlopen(FASTRNN_FAKE_CUBLASLT, RTLD_NOW);
  const int& alive = *static_cast<int*>(dlsym(fake, "fake_alive"));
  const int& compute = *static_cast<int*>(dlsym(fake, "fake_compute"));
  const int& asked = *static_cast<int*>(dlsym(fake, "fake_asked"));
  void* const& stream = *static_cast<void**>(dlsym(fake, "fake_stream"));
  const float one = 1;
  float c = 0;
  int there = 0;
  const std::pair<Type, int> types[] = {
      {Type::float32, 68}, {Type::float16, 74}, {Type::bfloat16, 75}, {Type::tf32, 77}};
  for (const auto& [type, number] : types) {
    library.multiply({1, 1, 1, {&one, 1}, {&one, 1}, &c, 1, false, type}, 1, &there, workspace);
    expect(compute == number && stream == &there, "the type or the stream of a product");
  }
  expect(alive == 0, "descriptors are left behind");

  // The algorithm is for how the matrices lie, and looked for once for each way.
  alignas(256) float wide[256] = {};
  const int before = asked;
  for (int repeated = 0; repeated < 2; ++repeated)
    for (const int shift : {0, 1, 2, 4})
      expect(library.multiply({2, 2, 2, {wide + shift, 2}, {wide + 64 + shift, 2}, wide + 128 + shift, 2}, 0, nullptr,
                              workspace),
             "a product of matrices aligned to " + std::to_string(4 * shift));
  expect(asked == before + 4, "the heuristic was asked " + std::to_string(asked - before) + " times");
  expect(!library.multiply({1, 33, 2, {wide, 2}, {wide + 64, 33}, wide + 128, 33}, 0, nullptr,
                           [](std::size_t) { return nullptr; }),
         "a product without its workspace");
  std::string said;
  try {
    library.multiply({1, 2, 1, {&one, 1}, {&one, 1}, &c, 2}, 0, nullptr,
                     workspace);  // rows of b one apart have no two columns
  } catch (const CudaError& e) {
    said = e.what();
  }
  expect(said == "cublasLtMatmul: cublasStatus_t 7" && alive == 0, "a failure says '" + said + "'");
  dlclose(fake);

  expect(refusal("libno_such_library.so").find("libno_such_library.so") != std::string::npos, "a library is missing");
  expect(refusal("libm.so.6").find("expected cublasLtCreate in libm.so.6") != std::string::npos, "another library");
  return cuda::emulation::finish("cuBLASLt");
}
