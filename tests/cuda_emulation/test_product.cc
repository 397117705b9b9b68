// The product kernel against float64: every way to turn the factors, columns of wider arrays, extents that fit no tile.
#include <array>
#include <string>
#include <vector>

#include "cuda/kernels/dense/product_kernel.h"
#include "cuda/plan/plan.h"
#include "emulated_runtime.h"
#include "expect.h"
#include "product_case.h"

namespace fastrnn::cuda {

std::vector<KernelList> compiled_kernels() { return {}; }

}  // namespace fastrnn::cuda

namespace {

using namespace fastrnn;
using cuda::EmulatedRuntime;
using cuda::Type;
using cuda::emulation::expect;

void check(const cuda::test::ProductCase& p) {
  EmulatedRuntime runtime(cuda::device_spec("A100"));
  cuda::test::check_product(
      p, 1e-7 * (p.k + 1), [&](const cuda::Product& product) { runtime.multiply(product); },
      [&](float v) { return cuda::rounded(v, p.type); });
}

}  // namespace

int main() {
  const std::array<int, 3> extents[] = {{1, 1, 1}, {3, 70, 17}, {65, 64, 16}, {130, 9, 33},
                                        {5, 5, 0}, {0, 5, 5},   {5, 0, 5},    {17, 33, 1}};
  for (const auto& [m, n, k] : extents)
    for (const bool a_turned : {false, true})
      for (const bool b_turned : {false, true})
        for (const bool accumulate : {false, true}) check({m, n, k, a_turned, b_turned, accumulate});
  for (const Type type : {Type::tf32, Type::bfloat16, Type::float16}) check({33, 17, 65, false, true, true, type});
  // 1 + 2^-9 is 1 in bfloat16, 1 + 2^-12 in float16.
  EmulatedRuntime runtime(cuda::device_spec("A100"));
  for (const auto& [type, a] : {std::pair{Type::bfloat16, 1.001953125f}, {Type::float16, 1.000244140625f}}) {
    float c = 0;
    runtime.multiply({1, 1, 1, {&a, 1}, {&a, 1}, &c, 1, false, type});
    expect(c == 1, "operands are not rounded to " + std::string(cuda::type_name(type)));
  }
  return cuda::emulation::finish("product");
}
