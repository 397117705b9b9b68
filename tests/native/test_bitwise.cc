// A row's result does not depend on the batch around it, on its place in it, or on how a sequence is cut into calls;
// training and inference give the same bits.
#include <algorithm>
#include <cstring>

#include "problem.h"

namespace {

using test::Index;

template <class T>
bool same(const T* a, const T* b, Index n) {
  return std::memcmp(a, b, std::size_t(n) * sizeof(T)) == 0;
}

template <class T>
void check_rows(const std::string& name, const fastrnn::CellOptions& options, Index hidden, Index batch) {
  const Index steps = 5, inputs = 3;
  test::Problem<T> whole(options, steps, batch, inputs, hidden, 3);
  const auto weights = whole.pack();
  whole.forward(*weights);
  const std::vector<T> y = whole.y, h_n = whole.h_n;

  {
    const fastrnn::Saved<T> saved(weights, whole.arguments());
  }
  test::check(same(whole.y.data(), y.data(), Index(y.size())), name + ": training differs from inference");

  for (Index b = 0; b < batch; ++b) {  // alone, and cut after each step
    test::Problem<T> alone(options, steps, 1, inputs, hidden, 3);
    for (Index t = 0; t < steps; ++t)
      std::copy_n(whole.x.data() + (t * batch + b) * inputs, inputs, alone.x.data() + t * inputs);
    std::copy_n(whole.h0.data() + b * hidden, hidden, alone.h0.data());
    std::copy_n(whole.c0.data() + b * hidden, hidden, alone.c0.data());
    alone.forward(*weights);
    for (Index t = 0; t < steps; ++t)
      test::check(same(alone.y.data() + t * hidden, y.data() + (t * batch + b) * hidden, hidden),
                  name + ": row " + std::to_string(b) + " alone differs at step " + std::to_string(t));
    const std::vector<T> x = alone.x;
    alone.steps = 1;
    for (Index t = 0; t < steps; ++t) {
      alone.x.assign(x.begin() + t * inputs, x.begin() + (t + 1) * inputs);
      alone.forward(*weights);
      alone.h0 = alone.h_n;
      alone.c0 = alone.c_n;
    }
    test::check(same(alone.h_n.data(), h_n.data() + b * hidden, hidden), name + ": stepwise differs");
  }
}

}  // namespace

int main(int argc, char** argv) {
  for (const std::string& isa : test::isas(argc, argv)) {
    fastrnn::set_isa(isa);
    for (const auto& [name, options] : test::variants())
      for (const Index hidden : {1, 7, 33, 70})
        for (const Index batch : {2, 7, 13}) {
          const std::string what = isa + " " + name + " H " + std::to_string(hidden) + " B " + std::to_string(batch);
          check_rows<float>(what + " float32", options, hidden, batch);
          check_rows<double>(what + " float64", options, hidden, batch);
        }
  }
  return test::finish("bitwise");
}
