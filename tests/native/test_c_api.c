/* The C API from C99: sessions in both kinds of memory, copies, states and a pool give the same bits; whatever is wrong
 * gives a status and a message.
 * usage: test_c_api MODEL.safetensors */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastrnn/fastrnn.h"

enum { STEPS = 40, MOST = 64 };

static int failures = 0;

#define CHECK(condition)                                                                                     \
  do {                                                                                                       \
    if (!(condition)) {                                                                                      \
      ++failures;                                                                                            \
      fprintf(stderr, "line %d: failed: %s (last error: %s)\n", __LINE__, #condition, fastrnn_last_error()); \
    }                                                                                                        \
  } while (0)
#define CHECK_REFUSED(call, word)                                  \
  do {                                                             \
    CHECK((call) == FASTRNN_INVALID_ARGUMENT);                     \
    CHECK(strncmp(fastrnn_last_error(), word, strlen(word)) == 0); \
  } while (0)

static float x[STEPS][MOST], expected[STEPS][MOST], y[STEPS][MOST];
static size_t inputs, outputs;

static int same(size_t first, size_t steps) {
  size_t t;
  for (t = first; t < first + steps; ++t)
    if (memcmp(y[t], expected[t], outputs * sizeof(float)) != 0) return 0;
  memset(y, 0, sizeof y);
  return 1;
}

static void* read_file(const char* path, size_t* bytes) {
  FILE* file = fopen(path, "rb");
  char* data = malloc(1 << 20);
  *bytes = file != NULL && data != NULL ? fread(data, 1, 1 << 20, file) : 0;
  if (file != NULL) fclose(file);
  return data;
}

static void check_versions(void) {
  CHECK(strcmp(fastrnn_version(), FASTRNN_VERSION_STRING) == 0);
  CHECK(fastrnn_abi_version() == FASTRNN_ABI_VERSION);
  CHECK(strlen(fastrnn_compiler()) > 0 && strlen(fastrnn_compiler_flags()) > 0);
  CHECK(strcmp(fastrnn_available_isa(0), "portable") == 0);
  CHECK(fastrnn_available_isa(1000) == NULL);
  CHECK(fastrnn_isa() != NULL && fastrnn_set_isa(fastrnn_isa()) == FASTRNN_OK);
  CHECK_REFUSED(fastrnn_set_isa("abacus"), "isa: expected one of");
  CHECK(strcmp(fastrnn_status_name(FASTRNN_FULL), "full") == 0);
}

static void check_models(const char* path, const void* data, size_t bytes, fastrnn_model* model) {
  fastrnn_model* other = NULL;
  fastrnn_model_options options = {FASTRNN_INT8, 0};
  CHECK(fastrnn_model_load_memory(data, bytes, &options, &other) == FASTRNN_OK);
  CHECK(fastrnn_model_bytes(other) < fastrnn_model_bytes(model));
  fastrnn_model_free(other);
  other = NULL;
  CHECK_REFUSED(fastrnn_model_load("no/such/file", NULL, &other), "no/such/file");
  CHECK(fastrnn_model_load_memory(data, bytes - 1, NULL, &other) == FASTRNN_INVALID_ARGUMENT);
  CHECK(fastrnn_model_load_memory(data, 0, NULL, &other) == FASTRNN_INVALID_ARGUMENT);
  options.precision = (fastrnn_precision)77;
  CHECK_REFUSED(fastrnn_model_load(path, &options, &other), "precision: expected");
  CHECK_REFUSED(fastrnn_model_load(NULL, NULL, &other), "path: expected a pointer, got NULL");
  CHECK_REFUSED(fastrnn_model_load(path, NULL, NULL), "model: expected a pointer, got NULL");
  CHECK(other == NULL);
  CHECK(fastrnn_model_inputs(NULL) == 0 && fastrnn_model_bytes(NULL) == 0);
  fastrnn_model_free(NULL);
}

/* Whole sequences; `expected` has been filled by a session. */
static void check_forward(const fastrnn_model* model) {
  static float whole_x[STEPS * MOST], whole_y[STEPS * MOST];
  const size_t lengths[1] = {2};
  size_t t;
  CHECK(fastrnn_model_is_stepwise(model) == 1 && fastrnn_model_gives_sequences(model) == 1);
  CHECK(fastrnn_model_output_steps(model, STEPS) == STEPS && fastrnn_model_output_steps(NULL, STEPS) == 0);
  CHECK_REFUSED(fastrnn_model_forward(model, x[0], 1, 1, lengths, y[0]), "lengths: expected values in 0..1, got 2");
  CHECK_REFUSED(fastrnn_model_forward(NULL, x[0], 1, 1, NULL, y[0]), "model: expected a pointer, got NULL");
  for (t = 0; t < STEPS; ++t) memcpy(whole_x + t * inputs, x[t], inputs * sizeof(float));
  CHECK(fastrnn_model_forward(model, whole_x, STEPS, 1, NULL, whole_y) == FASTRNN_OK);
  for (t = 0; t < STEPS; ++t) memcpy(y[t], whole_y + t * outputs, outputs * sizeof(float));
  CHECK(same(0, STEPS));
}

static void check_session(fastrnn_session* session) {
  size_t t, bytes = 0;
  unsigned char* state;
  fastrnn_session* copy = NULL;
  CHECK(fastrnn_session_batch(session) == 1);
  for (t = 0; t < STEPS; ++t) CHECK(fastrnn_session_step(session, x[t], y[t]) == FASTRNN_OK);
  CHECK(same(0, STEPS));
  CHECK(fastrnn_session_reset(session) == FASTRNN_OK);
  for (t = 0; t < 7; ++t) CHECK(fastrnn_session_step(session, x[t], y[t]) == FASTRNN_OK);
  CHECK(fastrnn_session_state_size(session, &bytes) == FASTRNN_OK && bytes > 24);
  state = malloc(bytes);
  CHECK(fastrnn_session_get_state(session, state, bytes) == FASTRNN_OK);
  CHECK(fastrnn_session_clone(session, &copy) == FASTRNN_OK);
  for (t = 7; t < STEPS; ++t) CHECK(fastrnn_session_step(copy, x[t], y[t]) == FASTRNN_OK);
  CHECK(same(7, STEPS - 7));
  CHECK(fastrnn_session_set_state(copy, state, bytes) == FASTRNN_OK);
  for (t = 7; t < 12; ++t) CHECK(fastrnn_session_step(copy, x[t], y[t]) == FASTRNN_OK);
  CHECK(same(7, 5));
  CHECK_REFUSED(fastrnn_session_get_state(session, state, bytes - 1), "bytes: expected");
  CHECK_REFUSED(fastrnn_session_set_state(session, state, bytes + 1), "bytes: expected");
  state[4] ^= 1; /* the version */
  CHECK_REFUSED(fastrnn_session_set_state(session, state, bytes), "state: expected");
  CHECK_REFUSED(fastrnn_session_step(session, NULL, y[0]), "x: expected");
  CHECK_REFUSED(fastrnn_session_step(NULL, x[0], y[0]), "session: expected");
  CHECK_REFUSED(fastrnn_session_run(session, x[0], (size_t)-1, y[0]), "steps: expected");
  free(state);
  fastrnn_session_free(copy);
}

static void check_sessions(fastrnn_model* model) {
  fastrnn_session* session = NULL;
  size_t t, bytes = 0;
  char* block;
  CHECK(fastrnn_session_create(model, 1, &session) == FASTRNN_OK);
  for (t = 0; t < STEPS; ++t) CHECK(fastrnn_session_run(session, x[t], 1, expected[t]) == FASTRNN_OK);
  CHECK(fastrnn_session_reset(session) == FASTRNN_OK);
  check_session(session);
  fastrnn_session_free(session);
  session = NULL;

  CHECK(fastrnn_session_size(model, 1, &bytes) == FASTRNN_OK);
  block = malloc(bytes + FASTRNN_ALIGNMENT);
  t = FASTRNN_ALIGNMENT - (uintptr_t)block % FASTRNN_ALIGNMENT;
  CHECK_REFUSED(fastrnn_session_init_in_place(model, 1, block + t, bytes - 1, &session), "bytes: expected at least");
  CHECK_REFUSED(fastrnn_session_init_in_place(model, 1, block + t - 1, bytes, &session), "memory: expected");
  CHECK_REFUSED(fastrnn_session_init_in_place(model, 1, NULL, bytes, &session), "memory: expected");
  CHECK(session == NULL);
  CHECK(fastrnn_session_init_in_place(model, 1, block + t, bytes, &session) == FASTRNN_OK);
  check_session(session);
  fastrnn_session_free(session);
  free(block);

  session = NULL;
  CHECK_REFUSED(fastrnn_session_create(model, 0, &session), "batch: expected 1 or more, got 0");
  CHECK_REFUSED(fastrnn_session_create(model, (size_t)-1, &session), "batch: expected at most");
  CHECK(fastrnn_session_create(model, PTRDIFF_MAX, &session) == FASTRNN_OUT_OF_MEMORY);
  CHECK_REFUSED(fastrnn_session_create(NULL, 1, &session), "model: expected");
  CHECK(session == NULL && fastrnn_session_batch(NULL) == 0);
  fastrnn_session_free(NULL);
}

static void check_pool(fastrnn_model* model) {
  fastrnn_pool* pool = NULL;
  fastrnn_stream one = 0, two = 0, three = 0;
  size_t t, n = 0, waiting = 0, ready = 0, bytes = 0;
  void* state;
  CHECK_REFUSED(fastrnn_pool_create(model, 0, 1, &pool), "capacity: expected");
  CHECK_REFUSED(fastrnn_pool_create(model, 1, 0, &pool), "queue: expected");
  CHECK(fastrnn_pool_create(model, 2, 3, &pool) == FASTRNN_OK);
  CHECK(fastrnn_pool_open(pool, &one) == FASTRNN_OK && fastrnn_pool_open(pool, &two) == FASTRNN_OK);
  CHECK(fastrnn_pool_open(pool, &three) == FASTRNN_FULL);
  CHECK(fastrnn_pool_capacity(pool) == 2 && fastrnn_pool_open_count(pool) == 2);
  for (t = 0; t < STEPS; ++t) { /* a step late, the other stream has the same results */
    CHECK(fastrnn_pool_push(pool, one, x[t], 1) == FASTRNN_OK);
    if (t > 0) CHECK(fastrnn_pool_push(pool, two, x[t - 1], 1) == FASTRNN_OK);
    CHECK(fastrnn_pool_runnable(pool) == (t > 0 ? 2u : 1u));
    CHECK(fastrnn_pool_advance(pool, SIZE_MAX, &n) == FASTRNN_OK && n == (t > 0 ? 2u : 1u));
    CHECK(fastrnn_pool_pull(pool, one, y[t], 1, &n) == FASTRNN_OK && n == 1);
    if (t == 0) continue;
    CHECK(fastrnn_pool_pull(pool, two, y[t - 1], 3, &n) == FASTRNN_OK && n == 1);
    CHECK(memcmp(y[t - 1], expected[t - 1], outputs * sizeof(float)) == 0);
  }
  CHECK(same(0, STEPS));
  for (t = 0; t < 3; ++t) CHECK(fastrnn_pool_push(pool, one, x[t], 1) == FASTRNN_OK);
  CHECK(fastrnn_pool_push(pool, one, x[0], 1) == FASTRNN_FULL);
  CHECK(fastrnn_pool_advance(pool, 1, NULL) == FASTRNN_OK);
  CHECK(fastrnn_pool_pending(pool, one, &waiting, &ready) == FASTRNN_OK && waiting == 2 && ready == 1);
  CHECK(fastrnn_pool_state_size(pool, &bytes) == FASTRNN_OK);
  state = malloc(bytes);
  CHECK(fastrnn_pool_get_state(pool, one, state, bytes) == FASTRNN_OK);
  CHECK(fastrnn_pool_set_state(pool, two, state, bytes) == FASTRNN_OK);
  CHECK_REFUSED(fastrnn_pool_set_state(pool, two, state, bytes - 1), "bytes: expected");
  memset(state, 0, 4);
  CHECK_REFUSED(fastrnn_pool_set_state(pool, two, state, bytes), "state: expected");
  CHECK(fastrnn_pool_reset(pool, two) == FASTRNN_OK && fastrnn_pool_close(pool, one) == FASTRNN_OK);
  CHECK(fastrnn_pool_close(pool, one) == FASTRNN_UNKNOWN_STREAM);
  CHECK(fastrnn_pool_push(pool, one, x[0], 1) == FASTRNN_UNKNOWN_STREAM);
  CHECK(fastrnn_pool_pull(pool, -1, y[0], 1, &n) == FASTRNN_UNKNOWN_STREAM);
  CHECK(fastrnn_pool_get_state(pool, one, state, bytes) == FASTRNN_UNKNOWN_STREAM);
  CHECK_REFUSED(fastrnn_pool_push(NULL, one, x[0], 1), "pool: expected");
  CHECK_REFUSED(fastrnn_pool_pull(pool, two, y[0], 1, NULL), "pulled: expected");
  CHECK(fastrnn_pool_runnable(NULL) == 0);
  free(state);
  fastrnn_pool_free(pool);
  fastrnn_pool_free(NULL);
}

int main(int argc, char** argv) {
  fastrnn_model* model = NULL;
  size_t bytes, t, i;
  void* data;
  if (argc != 2) return 2;
  data = read_file(argv[1], &bytes);
  check_versions();
  CHECK(fastrnn_model_load(argv[1], NULL, &model) == FASTRNN_OK);
  if (model == NULL) return 1;
  inputs = fastrnn_model_inputs(model);
  outputs = fastrnn_model_outputs(model);
  CHECK(inputs > 0 && inputs <= MOST && outputs > 0 && outputs <= MOST && fastrnn_model_layers(model) > 0);
  for (t = 0; t < STEPS; ++t)
    for (i = 0; i < inputs; ++i) x[t][i] = (float)((t * 7 + i * 13) % 11) / 5.0f - 1.0f;
  check_models(argv[1], data, bytes, model);
  check_sessions(model);
  check_forward(model);
  check_pool(model);
  free(data);
  fastrnn_model_free(model);
  printf("c_api: %s\n", failures == 0 ? "passed" : "FAILED");
  return failures != 0;
}
