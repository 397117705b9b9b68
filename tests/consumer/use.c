/* Twenty steps of a model; prints a sum over the bits of its outputs. */
#include <fastrnn/fastrnn.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char** argv) {
  float x[256], y[256];
  unsigned long bits = 0;
  fastrnn_model* model = NULL;
  fastrnn_session* session = NULL;
  size_t i, t;
  if (argc != 2 || strcmp(fastrnn_version(), FASTRNN_VERSION_STRING) != 0) return 2;
  if (fastrnn_model_load(argv[1], NULL, &model) != FASTRNN_OK) return puts(fastrnn_last_error()), 1;
  if (fastrnn_session_create(model, 1, &session) != FASTRNN_OK) return puts(fastrnn_last_error()), 1;
  for (t = 0; t < 20; ++t) {
    for (i = 0; i < fastrnn_model_inputs(model); ++i) x[i] = (float)((t * 5 + i) % 7) - 3.0f;
    if (fastrnn_session_step(session, x, y) != FASTRNN_OK) return 1;
    for (i = 0; i < fastrnn_model_outputs(model); ++i) {
      uint32_t word;
      memcpy(&word, &y[i], sizeof word);
      bits = (bits * 31 + word) & 0xffffffff;
    }
  }
  fastrnn_session_free(session);
  fastrnn_model_free(model);
  printf("bits %lx\n", bits);
  return 0;
}
