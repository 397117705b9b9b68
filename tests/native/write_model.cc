// Writes a model file (I 4; LSTM, GRU and RNN of 9 units; O 3) for the tests that are not in C++.
// usage: write_model PATH
#include "models.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  std::FILE* file = std::fopen(argv[1], "wb");
  if (file == nullptr) return 1;
  const std::string text = test::stack_text(4, 9);
  const bool ok = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  return std::fclose(file) == 0 && ok ? 0 : 1;
}
