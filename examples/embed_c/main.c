/* A trained model in a C program, in memory of the program's own: reads steps of numbers and prints the outputs, one
 * line for each.
 *
 *   echo "0.1 0.2 0.3" | ./embed_c model.safetensors
 *
 * The session lies in a static buffer, as on a machine without a heap: once the model is loaded, nothing is allocated.
 */
#include <stdio.h>

#include <fastrnn/fastrnn.h>

enum { MOST = 1024 };

static union {
  unsigned char bytes[1 << 20];
  double aligned;
} memory;

static int fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, fastrnn_last_error());
  return 1;
}

static int read_step(float* x, size_t count) {
  size_t i;
  for (i = 0; i < count; ++i)
    if (scanf("%f", &x[i]) != 1) return 0;
  return 1;
}

int main(int argc, char** argv) {
  float x[MOST], y[MOST];
  fastrnn_model* model;
  fastrnn_session* session;
  size_t inputs, outputs, bytes, skip, i;
  if (argc != 2) {
    fprintf(stderr, "usage: %s MODEL.safetensors\n", argv[0]);
    return 2;
  }
  if (fastrnn_abi_version() != FASTRNN_ABI_VERSION) {
    fprintf(stderr, "fastrnn %s is another than %s, for which this was compiled\n", fastrnn_version(),
            FASTRNN_VERSION_STRING);
    return 1;
  }
  if (fastrnn_model_load(argv[1], NULL, &model) != FASTRNN_OK) return fail("model");
  inputs = fastrnn_model_inputs(model);
  outputs = fastrnn_model_outputs(model);
  if (inputs > MOST || outputs > MOST) return fprintf(stderr, "the model is too wide\n"), 1;
  if (fastrnn_session_size(model, 1, &bytes) != FASTRNN_OK) return fail("size");
  skip = FASTRNN_ALIGNMENT - (size_t)memory.bytes % FASTRNN_ALIGNMENT;
  if (skip + bytes > sizeof memory.bytes)
    return fprintf(stderr, "the model needs %lu bytes\n", (unsigned long)bytes), 1;
  if (fastrnn_session_init_in_place(model, 1, memory.bytes + skip, bytes, &session) != FASTRNN_OK)
    return fail("session");
  while (read_step(x, inputs)) {
    fastrnn_session_step(session, x, y);
    for (i = 0; i < outputs; ++i) printf("%.9g ", (double)y[i]);
    printf("\n");
  }
  fastrnn_session_free(session);
  fastrnn_model_free(model);
  return 0;
}
