// The kernels of rows.h against plain loops: threads with several elements each, rows of other lengths, sums of any
// number of rows and columns.
#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "cuda/kernels/dense/rows_kernel.h"
#include "emulated_runtime.h"
#include "expect.h"

namespace fastrnn::cuda {

std::vector<KernelList> compiled_kernels() { return {}; }

}  // namespace fastrnn::cuda

namespace {

namespace cuda = fastrnn::cuda;
using cuda::Index;
using cuda::emulation::expect;
using Floats = std::vector<float>;

std::mt19937 draws(1);

Floats draw(Index n) {
  std::uniform_real_distribution<float> uniform(-1, 1);
  Floats v(std::size_t(n), 0.0f);
  for (float& f : v) f = uniform(draws);
  return v;
}

/// The library has blocks for a quarter of a million elements: here one or two do all.
void check_gather(int blocks, bool before, bool reverse, bool initial) {
  const int steps = 5, batch = 3, width = 70, lengths[] = {5, 0, 3};
  const Index stride = width + 2;
  Floats from = draw(steps * batch * stride), first = draw(batch * width),
         got(std::size_t(steps * batch * width), 0.0f);
  Floats want = got;
  for (int b = 0; b < batch; ++b)
    for (int t = 0; t < steps; ++t)
      for (int u = 0; u < width; ++u) {
        float& source = from[std::size_t((t * batch + b) * stride + u)];
        const int source_of = !before ? t : reverse ? t - 1 : t + 1;  // the time that has it from here
        if (t >= lengths[b])
          source = NAN;
        else if (source_of >= 0 && source_of < lengths[b])
          want[std::size_t((source_of * batch + b) * width + u)] = source;
        if (before && initial && lengths[b] > 0 && t == (reverse ? lengths[b] - 1 : 0))
          want[std::size_t((t * batch + b) * width + u)] = first[std::size_t(b * width + u)];
      }
  cuda::GatherParams p{};
  p.layer.steps = steps;
  p.layer.batch = batch;
  p.layer.reverse = reverse;
  p.layer.length = lengths;
  p.from = from.data();
  p.stride = stride;
  p.before = before;
  p.initial = initial ? first.data() : nullptr;
  p.to = got.data();
  p.width = width;
  cuda::EmulatedRuntime runtime(cuda::device_spec("A100"));
  runtime.launch(cuda::gather_kernel(), {blocks, cuda::kRowThreads}, &p);
  expect(got == want, "gathered by " + std::to_string(blocks) + " blocks" + (before ? ", before" : "") +
                          (reverse ? ", reversed" : "") + (initial ? ", from a state" : ""));
}

void check_sum(int rows, int width, bool product, bool twice) {
  const Index left_stride = width + 3, right_stride = width + 1;
  const Floats left = draw(rows * left_stride), right = draw(rows * right_stride);
  const Floats untouched = draw(width + 40);  // more than a block's columns
  Floats to = untouched, also = untouched;
  cuda::EmulatedRuntime runtime(cuda::device_spec("A100"));
  cuda::sum_rows(runtime, {rows, width, left.data(), left_stride, product ? right.data() : nullptr, right_stride,
                           to.data(), twice ? also.data() : nullptr});
  double worst = 0;
  for (int u = 0; u < int(to.size()); ++u) {
    double sum = u < width ? 0 : untouched[std::size_t(u)];
    for (int row = 0; row < rows && u < width; ++row)
      sum += double(left[std::size_t(row * left_stride + u)]) *
             (product ? double(right[std::size_t(row * right_stride + u)]) : 1.0);
    for (const Floats* got : {&to, &also}) {
      if (got == &also && !twice) continue;
      const double error = std::abs((*got)[std::size_t(u)] - sum);
      worst = error == error ? std::max(worst, error) : INFINITY;
    }
  }
  expect(worst <= 1e-7 * (rows + 1), "the sum of " + std::to_string(rows) + " rows of " + std::to_string(width) +
                                         " differs by " + std::to_string(worst));
}

}  // namespace

int main() {
  for (const int blocks : {1, 2, 5})
    for (const bool before : {false, true})
      for (const bool reverse : {false, true})
        for (const bool initial : {false, true}) check_gather(blocks, before, reverse, initial);
  for (const int rows : {0, 1, 7, 8, 9, 50})
    for (const int width : {1, 31, 32, 33, 70})
      for (const bool product : {false, true}) check_sum(rows, width, product, width % 3 == 1);
  return cuda::emulation::finish("rows");
}
