// A trained model in a C++ program: reads steps of numbers and prints the model's outputs, one line for each.
//
//   python -c "import fastrnn; ...; model.save('model.safetensors')"
//   echo "0.1 0.2 0.3" | ./embed_cpp model.safetensors [float32|bfloat16|int8]
//
// Whatever may fail does so while the model is loaded. After that, step() neither allocates nor throws: it may stand in
// an audio callback or a control loop.
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include <fastrnn/model.hpp>

namespace {

fastrnn::PackOptions options_for(const std::string& dtype) {
  fastrnn::PackOptions options;
  if (dtype == "bfloat16")
    options.precision = fastrnn::Precision::bfloat16;
  else if (dtype == "int8")
    options.precision = fastrnn::Precision::int8;
  else if (dtype != "float32")
    throw fastrnn::Error("dtype: expected float32, bfloat16 or int8, got " + dtype);
  return options;
}

/// False at the end of the input.
bool read_step(std::vector<float>& x) {
  for (float& value : x)
    if (std::scanf("%f", &value) != 1) return false;
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: %s MODEL.safetensors [float32|bfloat16|int8]\n", argv[0]);
    return 2;
  }
  try {
    // Immutable, and shared by any number of sessions in any number of threads.
    const auto model = fastrnn::Model::load(argv[1], options_for(argc == 3 ? argv[2] : "float32"));
    fastrnn::ModelSession session(model);  // the states of one stream; one thread at a time
    std::vector<float> x(std::size_t(model->inputs())), y(std::size_t(model -> outputs()));
    std::fprintf(stderr, "fastrnn %s, %s: %td inputs, %td outputs\n", fastrnn::version(),
                 fastrnn::current_isa().c_str(), model->inputs(), model->outputs());
    while (read_step(x)) {
      session.step(x.data(), y.data());
      for (const float value : y) std::printf("%.9g ", double(value));
      std::printf("\n");
    }
    return 0;
  } catch (const std::exception& error) {  // fastrnn::Error names the argument, what was expected and what came
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 1;
  }
}
