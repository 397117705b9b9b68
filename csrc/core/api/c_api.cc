// The C API: handles, checks, and the one place where exceptions become a status.
#include "fastrnn/fastrnn.h"

#include <algorithm>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "core/backend/dispatch.h"
#include "fastrnn/model.hpp"
#include "fastrnn/pool.hpp"

using fastrnn::Index;

struct fastrnn_model {
  std::shared_ptr<const fastrnn::Model> model;
};
struct fastrnn_session {
  fastrnn::ModelSession session;
  bool in_place;  // the session, this structure included, lies in the caller's memory
};
struct fastrnn_pool {
  fastrnn::StreamPool pool;
};

namespace {

constexpr std::size_t kAlignment = FASTRNN_ALIGNMENT;
static_assert(sizeof(fastrnn_session) <= kAlignment, "the session's memory follows one line of the cache");
static_assert(int(FASTRNN_INT8) == int(fastrnn::Precision::int8) &&
              int(FASTRNN_BFLOAT16) == int(fastrnn::Precision::bfloat16) &&
              int(FASTRNN_BFLOAT16_WEIGHTS) == int(fastrnn::Precision::bfloat16_weights));

// Of a fixed size, so that reporting a failure allocates nothing.
thread_local char last_error[1024];

__attribute__((format(printf, 2, 3))) fastrnn_status fail(fastrnn_status status, const char* format, ...) noexcept {
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(last_error, sizeof last_error, format, arguments);
  va_end(arguments);
  return status;
}

fastrnn_status fail_null(const char* argument) noexcept {
  return fail(FASTRNN_INVALID_ARGUMENT, "%s: expected a pointer, got NULL", argument);
}

/// Calls work() and turns what it throws into a status and a message.
template <class Work>
fastrnn_status guard(Work&& work) noexcept {
  try {
    work();
    return FASTRNN_OK;
  } catch (const fastrnn::Error& error) {
    return fail(FASTRNN_INVALID_ARGUMENT, "%s", error.what());
  } catch (const std::bad_alloc&) {
    return fail(FASTRNN_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    return fail(FASTRNN_INTERNAL, "%s", error.what());
  } catch (...) {
    return fail(FASTRNN_INTERNAL, "an unknown exception");
  }
}

fastrnn_status check_count(const char* argument, std::size_t count) noexcept {
  if (count <= std::size_t(PTRDIFF_MAX)) return FASTRNN_OK;
  return fail(FASTRNN_INVALID_ARGUMENT, "%s: expected at most %td, got %zu", argument, PTRDIFF_MAX, count);
}

fastrnn_status check_bytes(std::size_t expected, std::size_t bytes) noexcept {
  if (bytes == expected) return FASTRNN_OK;
  return fail(FASTRNN_INVALID_ARGUMENT, "bytes: expected %zu, got %zu", expected, bytes);
}

fastrnn_status status_of(fastrnn::StreamPool::Result result) noexcept {
  switch (result) {
    case fastrnn::StreamPool::Result::ok: return FASTRNN_OK;
    case fastrnn::StreamPool::Result::unknown_stream: return FASTRNN_UNKNOWN_STREAM;
    case fastrnn::StreamPool::Result::full: return FASTRNN_FULL;
  }
  return FASTRNN_INTERNAL;
}

fastrnn::PackOptions pack_options(const fastrnn_model_options* given) {
  fastrnn::PackOptions options;
  if (given == nullptr) return options;
  // Read as a number: a caller in C may have stored any value, which no enumeration may have in C++.
  static_assert(sizeof given->precision == sizeof(int));
  int precision;
  std::memcpy(&precision, &given->precision, sizeof precision);
  if (precision < 0 || precision >= fastrnn::kPrecisions)
    throw fastrnn::Error("precision: expected one of fastrnn_precision, got " + std::to_string(precision));
  options.precision = fastrnn::Precision(precision);
  options.fast_activations = given->fast_activations != 0;
  return options;
}

fastrnn_status refuse_state(const char* of) noexcept {
  return fail(FASTRNN_INVALID_ARGUMENT, "state: expected one of %s, got bytes of another version, model or batch", of);
}

}  // namespace

// Checks of a pointer that must not be null, and of a count that must fit into Index.
#define FASTRNN_NEED(pointer) \
  if ((pointer) == nullptr) return fail_null(#pointer)
#define FASTRNN_COUNT(count) \
  if (const fastrnn_status bad = check_count(#count, count)) return bad

extern "C" {

// ---- Status, versions, settings.

const char* fastrnn_last_error(void) { return last_error; }

const char* fastrnn_status_name(fastrnn_status status) {
  switch (status) {
    case FASTRNN_OK: return "ok";
    case FASTRNN_INVALID_ARGUMENT: return "invalid argument";
    case FASTRNN_OUT_OF_MEMORY: return "out of memory";
    case FASTRNN_FULL: return "full";
    case FASTRNN_UNKNOWN_STREAM: return "unknown stream";
    case FASTRNN_INTERNAL: return "internal error";
  }
  return "no status of fastrnn";
}

const char* fastrnn_version(void) { return fastrnn::version(); }
int fastrnn_abi_version(void) { return fastrnn::abi_version(); }
const char* fastrnn_compiler(void) { return fastrnn::compiler(); }
const char* fastrnn_compiler_flags(void) { return fastrnn::compiler_flags(); }

const char* fastrnn_isa(void) {
  const char* name = nullptr;
  guard([&] { name = fastrnn::current_backend().name; });
  return name;
}

fastrnn_status fastrnn_set_isa(const char* name) {
  FASTRNN_NEED(name);
  return guard([&] { fastrnn::set_isa(name); });
}

const char* fastrnn_available_isa(size_t index) {
  const char* name = nullptr;
  guard([&] { name = fastrnn::available_isa(index); });
  return name;
}

// ---- Models.

fastrnn_status fastrnn_model_load(const char* path, const fastrnn_model_options* options, fastrnn_model** model) {
  FASTRNN_NEED(path);
  FASTRNN_NEED(model);
  return guard([&] { *model = new fastrnn_model{fastrnn::Model::load(path, pack_options(options))}; });
}

fastrnn_status fastrnn_model_load_memory(const void* data, size_t bytes, const fastrnn_model_options* options,
                                         fastrnn_model** model) {
  FASTRNN_NEED(data);
  FASTRNN_NEED(model);
  return guard([&] { *model = new fastrnn_model{fastrnn::Model::load(data, bytes, pack_options(options))}; });
}

void fastrnn_model_free(fastrnn_model* model) { delete model; }

size_t fastrnn_model_inputs(const fastrnn_model* model) {
  return model != nullptr ? size_t(model->model->inputs()) : 0;
}
size_t fastrnn_model_outputs(const fastrnn_model* model) {
  return model != nullptr ? size_t(model->model->outputs()) : 0;
}
int fastrnn_model_is_stepwise(const fastrnn_model* model) {
  return model != nullptr && model->model->stepwise() ? 1 : 0;
}
int fastrnn_model_gives_sequences(const fastrnn_model* model) {
  return model != nullptr && model->model->sequences() ? 1 : 0;
}
size_t fastrnn_model_output_steps(const fastrnn_model* model, size_t steps) {
  return model != nullptr ? size_t(model->model->output_steps(fastrnn::Index(std::min<size_t>(steps, PTRDIFF_MAX / 4))))
                          : 0;
}
fastrnn_status fastrnn_model_forward(const fastrnn_model* model, const float* x, size_t steps, size_t batch,
                                     const size_t* lengths, float* y) {
  FASTRNN_NEED(model);
  FASTRNN_NEED(x);
  FASTRNN_NEED(y);
  FASTRNN_COUNT(steps);
  FASTRNN_COUNT(batch);
  return guard([&] {
    std::vector<fastrnn::Index> counts;
    for (size_t b = 0; lengths != nullptr && b < batch; ++b)
      counts.push_back(fastrnn::Index(std::min<size_t>(lengths[b], PTRDIFF_MAX)));
    model->model->forward(x, fastrnn::Index(steps), fastrnn::Index(batch), lengths != nullptr ? counts.data() : nullptr,
                          y);
  });
}
size_t fastrnn_model_layers(const fastrnn_model* model) {
  return model != nullptr ? size_t(model->model->layers()) : 0;
}
size_t fastrnn_model_bytes(const fastrnn_model* model) { return model != nullptr ? model->model->bytes() : 0; }

// ---- Sessions.

fastrnn_status fastrnn_session_create(const fastrnn_model* model, size_t batch, fastrnn_session** session) {
  FASTRNN_NEED(model);
  FASTRNN_NEED(session);
  FASTRNN_COUNT(batch);
  return guard([&] { *session = new fastrnn_session{fastrnn::ModelSession(model->model, Index(batch)), false}; });
}

fastrnn_status fastrnn_session_size(const fastrnn_model* model, size_t batch, size_t* bytes) {
  FASTRNN_NEED(model);
  FASTRNN_NEED(bytes);
  FASTRNN_COUNT(batch);
  return guard([&] { *bytes = kAlignment + fastrnn::ModelSession::size(*model->model, Index(batch)); });
}

fastrnn_status fastrnn_session_init_in_place(const fastrnn_model* model, size_t batch, void* memory, size_t bytes,
                                             fastrnn_session** session) {
  FASTRNN_NEED(memory);
  FASTRNN_NEED(session);
  if (const std::size_t beyond = reinterpret_cast<std::uintptr_t>(memory) % kAlignment)
    return fail(FASTRNN_INVALID_ARGUMENT,
                "memory: expected an address that is a multiple of %zu, got one %zu beyond it", kAlignment, beyond);
  size_t needed;
  if (const fastrnn_status bad = fastrnn_session_size(model, batch, &needed)) return bad;
  if (bytes < needed) return fail(FASTRNN_INVALID_ARGUMENT, "bytes: expected at least %zu, got %zu", needed, bytes);
  return guard([&] {
    char* const rest = static_cast<char*>(memory) + kAlignment;
    *session = new (memory) fastrnn_session{fastrnn::ModelSession(*model->model, Index(batch), rest), true};
  });
}

fastrnn_status fastrnn_session_clone(const fastrnn_session* session, fastrnn_session** copy) {
  FASTRNN_NEED(session);
  FASTRNN_NEED(copy);
  return guard([&] { *copy = new fastrnn_session{session->session.clone(), false}; });
}

void fastrnn_session_free(fastrnn_session* session) {
  if (session == nullptr) return;
  if (session->in_place)
    session->~fastrnn_session();
  else
    delete session;
}

fastrnn_status fastrnn_session_step(fastrnn_session* session, const float* x, float* y) {
  FASTRNN_NEED(session);
  FASTRNN_NEED(x);
  FASTRNN_NEED(y);
  session->session.step(x, y);
  return FASTRNN_OK;
}

fastrnn_status fastrnn_session_run(fastrnn_session* session, const float* x, size_t steps, float* y) {
  FASTRNN_NEED(session);
  FASTRNN_NEED(x);
  FASTRNN_NEED(y);
  FASTRNN_COUNT(steps);
  session->session.run(x, Index(steps), y);
  return FASTRNN_OK;
}

fastrnn_status fastrnn_session_reset(fastrnn_session* session) {
  FASTRNN_NEED(session);
  session->session.reset();
  return FASTRNN_OK;
}

size_t fastrnn_session_batch(const fastrnn_session* session) {
  return session != nullptr ? size_t(session->session.batch()) : 0;
}

fastrnn_status fastrnn_session_state_size(const fastrnn_session* session, size_t* bytes) {
  FASTRNN_NEED(session);
  FASTRNN_NEED(bytes);
  *bytes = session->session.state_bytes();
  return FASTRNN_OK;
}

fastrnn_status fastrnn_session_get_state(const fastrnn_session* session, void* state, size_t bytes) {
  FASTRNN_NEED(session);
  FASTRNN_NEED(state);
  if (const fastrnn_status bad = check_bytes(session->session.state_bytes(), bytes)) return bad;
  session->session.get_state(state);
  return FASTRNN_OK;
}

fastrnn_status fastrnn_session_set_state(fastrnn_session* session, const void* state, size_t bytes) {
  FASTRNN_NEED(session);
  FASTRNN_NEED(state);
  if (const fastrnn_status bad = check_bytes(session->session.state_bytes(), bytes)) return bad;
  return session->session.set_state(state, bytes) ? FASTRNN_OK : refuse_state("such a session");
}

// ---- Pools.

fastrnn_status fastrnn_pool_create(const fastrnn_model* model, size_t capacity, size_t queue, fastrnn_pool** pool) {
  FASTRNN_NEED(model);
  FASTRNN_NEED(pool);
  FASTRNN_COUNT(capacity);
  FASTRNN_COUNT(queue);
  return guard([&] { *pool = new fastrnn_pool{fastrnn::StreamPool(model->model, Index(capacity), Index(queue))}; });
}

void fastrnn_pool_free(fastrnn_pool* pool) { delete pool; }

fastrnn_status fastrnn_pool_open(fastrnn_pool* pool, fastrnn_stream* stream) {
  FASTRNN_NEED(pool);
  FASTRNN_NEED(stream);
  const fastrnn::StreamPool::Stream opened = pool->pool.open();
  if (opened == fastrnn::StreamPool::kNone) return FASTRNN_FULL;
  *stream = opened;
  return FASTRNN_OK;
}

fastrnn_status fastrnn_pool_close(fastrnn_pool* pool, fastrnn_stream stream) {
  FASTRNN_NEED(pool);
  return status_of(pool->pool.close(stream));
}

fastrnn_status fastrnn_pool_reset(fastrnn_pool* pool, fastrnn_stream stream) {
  FASTRNN_NEED(pool);
  return status_of(pool->pool.reset(stream));
}

fastrnn_status fastrnn_pool_push(fastrnn_pool* pool, fastrnn_stream stream, const float* x, size_t steps) {
  FASTRNN_NEED(pool);
  FASTRNN_NEED(x);
  FASTRNN_COUNT(steps);
  return status_of(pool->pool.push(stream, x, Index(steps)));
}

fastrnn_status fastrnn_pool_advance(fastrnn_pool* pool, size_t most, size_t* computed) {
  FASTRNN_NEED(pool);
  const Index n = pool->pool.advance(most > size_t(PTRDIFF_MAX) ? PTRDIFF_MAX : Index(most));
  if (computed != nullptr) *computed = size_t(n);
  return FASTRNN_OK;
}

fastrnn_status fastrnn_pool_pull(fastrnn_pool* pool, fastrnn_stream stream, float* y, size_t most, size_t* pulled) {
  FASTRNN_NEED(pool);
  FASTRNN_NEED(y);
  FASTRNN_NEED(pulled);
  const Index n = pool->pool.pull(stream, y, most > size_t(PTRDIFF_MAX) ? PTRDIFF_MAX : Index(most));
  if (n < 0) return FASTRNN_UNKNOWN_STREAM;
  *pulled = size_t(n);
  return FASTRNN_OK;
}

fastrnn_status fastrnn_pool_pending(const fastrnn_pool* pool, fastrnn_stream stream, size_t* waiting, size_t* ready) {
  FASTRNN_NEED(pool);
  const Index steps = pool->pool.waiting(stream);
  if (steps < 0) return FASTRNN_UNKNOWN_STREAM;
  if (waiting != nullptr) *waiting = size_t(steps);
  if (ready != nullptr) *ready = size_t(pool->pool.ready(stream));
  return FASTRNN_OK;
}

size_t fastrnn_pool_runnable(const fastrnn_pool* pool) { return pool != nullptr ? size_t(pool->pool.runnable()) : 0; }
size_t fastrnn_pool_open_count(const fastrnn_pool* pool) { return pool != nullptr ? size_t(pool->pool.size()) : 0; }
size_t fastrnn_pool_capacity(const fastrnn_pool* pool) { return pool != nullptr ? size_t(pool->pool.capacity()) : 0; }

fastrnn_status fastrnn_pool_state_size(const fastrnn_pool* pool, size_t* bytes) {
  FASTRNN_NEED(pool);
  FASTRNN_NEED(bytes);
  *bytes = pool->pool.state_bytes();
  return FASTRNN_OK;
}

fastrnn_status fastrnn_pool_get_state(const fastrnn_pool* pool, fastrnn_stream stream, void* state, size_t bytes) {
  FASTRNN_NEED(pool);
  FASTRNN_NEED(state);
  if (const fastrnn_status bad = check_bytes(pool->pool.state_bytes(), bytes)) return bad;
  return status_of(pool->pool.get_state(stream, state));
}

fastrnn_status fastrnn_pool_set_state(fastrnn_pool* pool, fastrnn_stream stream, const void* state, size_t bytes) {
  FASTRNN_NEED(pool);
  FASTRNN_NEED(state);
  if (const fastrnn_status bad = check_bytes(pool->pool.state_bytes(), bytes)) return bad;
  if (pool->pool.waiting(stream) < 0) return FASTRNN_UNKNOWN_STREAM;
  return pool->pool.set_state(stream, state, bytes) ? FASTRNN_OK : refuse_state("such a stream");
}

}  // extern "C"
