/* fastrnn from C (C99), and from every language that calls C: trained models, streaming sessions, pools of streams.
 *
 *   fastrnn_model *model;
 *   fastrnn_session *session;
 *   if (fastrnn_model_load("model.safetensors", NULL, &model) != FASTRNN_OK) return fail(fastrnn_last_error());
 *   if (fastrnn_session_create(model, 1, &session) != FASTRNN_OK) return fail(fastrnn_last_error());
 *   fastrnn_session_step(session, x, y);       x (I) to y (O): no allocation, no lock, no system call
 *
 * Shapes: T time steps, B batch, I inputs and O outputs of the model. Arrays are float, row-major and contiguous; they
 * are the caller's, are read or written during the call alone, and must not overlap.
 *
 * Errors: a function returns FASTRNN_OK or another status and leaves what it would have written as it was. Then
 * fastrnn_last_error() has the reason in words: "argument: expected what, got what". NULL where a handle or an array is
 * needed is FASTRNN_INVALID_ARGUMENT. No C++ exception leaves the library; it never prints, and never ends the program.
 *
 * Threads: a model is immutable and may be used by any number of threads. One thread at a time may use a session or a
 * pool; different ones need no care. docs/embedding.md has the rest.
 */
#ifndef FASTRNN_H
#define FASTRNN_H

#include <stddef.h>
#include <stdint.h>

#include "fastrnn/export.h"
#include "fastrnn/version.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Status and versions --------------------------------------------------------------------------------------- */

typedef enum fastrnn_status {
  FASTRNN_OK = 0,
  FASTRNN_INVALID_ARGUMENT = 1, /* an argument or a file is not what it must be */
  FASTRNN_OUT_OF_MEMORY = 2,
  FASTRNN_FULL = 3,           /* a pool has no place for a stream, or a stream's queue none for the steps */
  FASTRNN_UNKNOWN_STREAM = 4, /* it was never opened, or is closed */
  FASTRNN_INTERNAL = 5        /* anything else: please report it */
} fastrnn_status;

/* Why the last call of this thread that failed did so; "" if none has. Valid until the thread's next failure. A call
 * that succeeds leaves it alone. FASTRNN_FULL and FASTRNN_UNKNOWN_STREAM say everything, and set no message. */
FASTRNN_API const char* fastrnn_last_error(void);
/* "invalid argument" and the like; static. */
FASTRNN_API const char* fastrnn_status_name(fastrnn_status status);

/* Of the library that runs; FASTRNN_VERSION_STRING and FASTRNN_ABI_VERSION are those that the caller was compiled with.
 * A program is compatible where the ABI versions agree. */
FASTRNN_API const char* fastrnn_version(void);
FASTRNN_API int fastrnn_abi_version(void);
/* The compiler that built the library, and its flags; static. */
FASTRNN_API const char* fastrnn_compiler(void);
FASTRNN_API const char* fastrnn_compiler_flags(void);

/* ---- Settings of the process ----------------------------------------------------------------------------------- */

/* The instruction set that models are packed for when they are loaded: the best of the machine, unless the environment
 * variable FASTRNN_ISA or fastrnn_set_isa says otherwise. Static; NULL if FASTRNN_ISA names none that there is. */
FASTRNN_API const char* fastrnn_isa(void);
/* "portable", "avx2", "avx512", "avx512_vnni", "avx512_bf16"; on aarch64 "neon", "neon_dotprod", "neon_bf16" beside the
 * first. Models that are loaded stay as they are. */
FASTRNN_API fastrnn_status fastrnn_set_isa(const char* name);
/* The `index`-th that this machine has, slowest first; NULL beyond the last. Static. */
FASTRNN_API const char* fastrnn_available_isa(size_t index);

/* ---- Models ---------------------------------------------------------------------------------------------------- */

typedef struct fastrnn_model fastrnn_model;

typedef enum fastrnn_precision {
  FASTRNN_FLOAT32 = 0,
  FASTRNN_BFLOAT16 = 1,         /* weights, x and h are rounded to bfloat16; sums are float */
  FASTRNN_BFLOAT16_WEIGHTS = 2, /* weights alone */
  FASTRNN_INT8 = 3              /* weights with a scale per output channel, x and h with one per row */
} fastrnn_precision;

/* How to store and compute with a model's recurrent weights. All zero is the default. */
typedef struct fastrnn_model_options {
  fastrnn_precision precision;
  int fast_activations; /* not 0: sigmoid and tanh that are a little less accurate; FASTRNN_FLOAT32 alone */
} fastrnn_model_options;

/* Reads a model from a safetensors file, as fastrnn's Python `model.save` writes it (docs/model-file.md), or from the
 * bytes of one in memory, which are not needed afterwards. `options` may be NULL. *model is the caller's, to be freed.
 */
FASTRNN_API fastrnn_status fastrnn_model_load(const char* path, const fastrnn_model_options* options,
                                              fastrnn_model** model);
FASTRNN_API fastrnn_status fastrnn_model_load_memory(const void* data, size_t bytes,
                                                     const fastrnn_model_options* options, fastrnn_model** model);
/* Sessions and pools that were created from it may live on; those that were initialised in place may not. NULL is
 * nothing to do, here and in the other *_free. */
FASTRNN_API void fastrnn_model_free(fastrnn_model* model);

/* I, O, the number of recurrent layers, and the bytes of its weights; 0 for NULL. */
FASTRNN_API size_t fastrnn_model_inputs(const fastrnn_model* model);
FASTRNN_API size_t fastrnn_model_outputs(const fastrnn_model* model);
FASTRNN_API size_t fastrnn_model_layers(const fastrnn_model* model);
FASTRNN_API size_t fastrnn_model_bytes(const fastrnn_model* model);

/* Whether no layer needs later steps, as one that reads backwards does: sessions and pools then run it. Whether it
 * gives every step, and not one output for a whole sequence. 1 or 0; 0 for NULL. */
FASTRNN_API int fastrnn_model_is_stepwise(const fastrnn_model* model);
FASTRNN_API int fastrnn_model_gives_sequences(const fastrnn_model* model);

/* How many steps y of fastrnn_model_forward has where x has so many: as many, or fewer where layers go over windows of
 * steps, as a convolution with strides does; 1 where it gives no sequences; 0 for NULL. Never more than `steps`, or 1.
 */
FASTRNN_API size_t fastrnn_model_output_steps(const fastrnn_model* model, size_t steps);

/* Whole sequences, from the first states, through a model of any layers: x (T,B,I) to y (T',B,O), where T' is
 * fastrnn_model_output_steps(model, T), or (B,O) where it gives no sequences. Row b has lengths[b] steps, all T where
 * lengths is NULL, and gives what it would give alone; y beyond that is zero. It allocates. Any number of threads may
 * call it. */
FASTRNN_API fastrnn_status fastrnn_model_forward(const fastrnn_model* model, const float* x, size_t steps, size_t batch,
                                                 const size_t* lengths, float* y);

/* ---- Sessions: B streams in step with each other --------------------------------------------------------------- */

/* It owns the states, which begin as zeros or as the model's own. Its model is a stepwise one. After it is made,
 * nothing here but clone allocates, locks or enters the system. */
typedef struct fastrnn_session fastrnn_session;

#define FASTRNN_ALIGNMENT 64 /* of memory for *_init_in_place */

/* `batch` is B, 1 or more. *session is the caller's, to be freed. */
FASTRNN_API fastrnn_status fastrnn_session_create(const fastrnn_model* model, size_t batch, fastrnn_session** session);
/* The same in memory of the caller's: `memory` has at least fastrnn_session_size() bytes and is aligned to
 * FASTRNN_ALIGNMENT. Nothing is allocated. The memory and the model must outlive the session; fastrnn_session_free is
 * allowed, and does nothing to the memory. */
FASTRNN_API fastrnn_status fastrnn_session_size(const fastrnn_model* model, size_t batch, size_t* bytes);
FASTRNN_API fastrnn_status fastrnn_session_init_in_place(const fastrnn_model* model, size_t batch, void* memory,
                                                         size_t bytes, fastrnn_session** session);
/* Another session of the same model and states; *copy is the caller's and has memory of its own. */
FASTRNN_API fastrnn_status fastrnn_session_clone(const fastrnn_session* session, fastrnn_session** copy);
FASTRNN_API void fastrnn_session_free(fastrnn_session* session);

/* One step: x (B,I) to y (B,O). */
FASTRNN_API fastrnn_status fastrnn_session_step(fastrnn_session* session, const float* x, float* y);
/* `steps` steps: x (T,B,I) to y (T,B,O). Bit for bit what as many calls of step give. */
FASTRNN_API fastrnn_status fastrnn_session_run(fastrnn_session* session, const float* x, size_t steps, float* y);
/* States as they began. */
FASTRNN_API fastrnn_status fastrnn_session_reset(fastrnn_session* session);
FASTRNN_API size_t fastrnn_session_batch(const fastrnn_session* session);

/* The states as bytes: a header with magic, version and sizes, then floats in the machine's order (fastrnn/model.hpp
 * has the layout). `bytes` must be the state's size exactly; set_state refuses bytes of another version, model or batch
 * and changes nothing then. */
FASTRNN_API fastrnn_status fastrnn_session_state_size(const fastrnn_session* session, size_t* bytes);
FASTRNN_API fastrnn_status fastrnn_session_get_state(const fastrnn_session* session, void* state, size_t bytes);
FASTRNN_API fastrnn_status fastrnn_session_set_state(fastrnn_session* session, const void* state, size_t bytes);

/* ---- Pools: many independent streams, computed in batches ------------------------------------------------------ */

/* Up to `capacity` streams, each with a queue of `queue` steps, which waiting steps and results that were not pulled
 * share. A stream's results are bit for bit those of a session of its own. After it is made, nothing here allocates,
 * locks or enters the system. fastrnn/pool.hpp tells in which order streams are served. */
typedef struct fastrnn_pool fastrnn_pool;
typedef int64_t fastrnn_stream;

FASTRNN_API fastrnn_status fastrnn_pool_create(const fastrnn_model* model, size_t capacity, size_t queue,
                                               fastrnn_pool** pool);
FASTRNN_API void fastrnn_pool_free(fastrnn_pool* pool);

/* A new stream with states of zero; FASTRNN_FULL when there are `capacity` of them. */
FASTRNN_API fastrnn_status fastrnn_pool_open(fastrnn_pool* pool, fastrnn_stream* stream);
/* What it had waiting is dropped. */
FASTRNN_API fastrnn_status fastrnn_pool_close(fastrnn_pool* pool, fastrnn_stream stream);
/* States to zero, queue and results dropped. */
FASTRNN_API fastrnn_status fastrnn_pool_reset(fastrnn_pool* pool, fastrnn_stream stream);

/* x (steps,I) to the end of the stream's queue: all of it, or nothing and FASTRNN_FULL. */
FASTRNN_API fastrnn_status fastrnn_pool_push(fastrnn_pool* pool, fastrnn_stream stream, const float* x, size_t steps);
/* Computes one step of every stream that has one waiting, or of `most` of them. *computed, which may be NULL, tells of
 * how many. */
FASTRNN_API fastrnn_status fastrnn_pool_advance(fastrnn_pool* pool, size_t most, size_t* computed);
/* Takes up to `most` results, in order: y (most,O). *pulled tells how many. */
FASTRNN_API fastrnn_status fastrnn_pool_pull(fastrnn_pool* pool, fastrnn_stream stream, float* y, size_t most,
                                             size_t* pulled);

/* Steps of a stream that wait to be computed, and results to be pulled. Either pointer may be NULL. */
FASTRNN_API fastrnn_status fastrnn_pool_pending(const fastrnn_pool* pool, fastrnn_stream stream, size_t* waiting,
                                                size_t* ready);
/* Streams that advance would compute; streams that are open; the most there may be. 0 for NULL. */
FASTRNN_API size_t fastrnn_pool_runnable(const fastrnn_pool* pool);
FASTRNN_API size_t fastrnn_pool_open_count(const fastrnn_pool* pool);
FASTRNN_API size_t fastrnn_pool_capacity(const fastrnn_pool* pool);

/* A stream's states, in the form of a session's with a batch of 1; waiting steps and results are not among them. */
FASTRNN_API fastrnn_status fastrnn_pool_state_size(const fastrnn_pool* pool, size_t* bytes);
FASTRNN_API fastrnn_status fastrnn_pool_get_state(const fastrnn_pool* pool, fastrnn_stream stream, void* state,
                                                  size_t bytes);
FASTRNN_API fastrnn_status fastrnn_pool_set_state(fastrnn_pool* pool, fastrnn_stream stream, const void* state,
                                                  size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
