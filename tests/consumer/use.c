/* Twenty steps of a model; prints a sum over the bits of its outputs. */
#include <fastrnn/fastrnn.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char** argv) {
  static float x[20 * 256], y[20 * 256], whole[20 * 256]; /* models of at most 256 inputs and outputs */
  unsigned long bits = 0;
  fastrnn_model* model = NULL;
  fastrnn_session* session = NULL;
  size_t i, t, inputs, outputs;
  if (argc != 2 || strcmp(fastrnn_version(), FASTRNN_VERSION_STRING) != 0) return 2;
  if (fastrnn_model_load(argv[1], NULL, &model) != FASTRNN_OK) return puts(fastrnn_last_error()), 1;
  if (fastrnn_session_create(model, 1, &session) != FASTRNN_OK) return puts(fastrnn_last_error()), 1;
  inputs = fastrnn_model_inputs(model);
  outputs = fastrnn_model_outputs(model);
  for (t = 0; t < 20; ++t) {
    for (i = 0; i < inputs; ++i) x[t * inputs + i] = (float)((t * 5 + i) % 7) - 3.0f;
    if (fastrnn_session_step(session, x + t * inputs, y + t * outputs) != FASTRNN_OK) return 1;
    for (i = 0; i < outputs; ++i) {
      uint32_t word;
      memcpy(&word, &y[t * outputs + i], sizeof word);
      bits = (bits * 31 + word) & 0xffffffff;
    }
  }
  /* The same whole, which models that are not stepwise need. */
  if (fastrnn_model_forward(model, x, 20, 1, NULL, whole) != FASTRNN_OK) return puts(fastrnn_last_error()), 1;
  if (!fastrnn_model_is_stepwise(model) || !fastrnn_model_gives_sequences(model)) return 4;
  if (memcmp(y, whole, 20 * outputs * sizeof *y) != 0) return 4;
  fastrnn_session_free(session);
  fastrnn_model_free(model);
  printf("bits %lx\n", bits);
  return 0;
}
