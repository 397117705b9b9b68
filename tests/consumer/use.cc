// Twenty steps of a model; prints a sum over the bits of its outputs. An exception of the library is caught by its
// type.
#include <cstdio>
#include <cstring>
#include <fastrnn/fastrnn.hpp>
#include <fastrnn/model.hpp>
#include <fastrnn/pool.hpp>
#include <fastrnn/stack.hpp>

int main(int argc, char** argv) {
  if (argc != 2 || std::strcmp(fastrnn::version(), FASTRNN_VERSION_STRING) != 0) return 2;
  try {
    fastrnn::Model::load("no/such/file");
    return 3;
  } catch (const fastrnn::Error&) {
  }
  const auto model = fastrnn::Model::load(argv[1]);
  fastrnn::ModelSession session(model);
  std::vector<float> x(model->inputs()), y(model->outputs()), all_x, all_y;
  unsigned long bits = 0;
  for (std::size_t t = 0; t < 20; ++t) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = float((t * 5 + i) % 7) - 3.0f;
    session.step(x.data(), y.data());
    all_x.insert(all_x.end(), x.begin(), x.end());
    all_y.insert(all_y.end(), y.begin(), y.end());
    for (const float& value : y) {
      std::uint32_t word;
      std::memcpy(&word, &value, sizeof word);
      bits = (bits * 31 + word) & 0xffffffff;
    }
  }
  // The same whole, which models that are not stepwise need.
  std::vector<float> whole(all_y.size());
  model->forward(all_x.data(), 20, 1, nullptr, whole.data());
  if (!model->stepwise() || !model->sequences() || whole != all_y) return 4;
  std::printf("bits %lx\n", bits);
  return 0;
}
