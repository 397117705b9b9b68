// What promises never to allocate or free does not: every call that a stream makes is run with a trap in malloc, for
// every cell and option, weights of every dtype, and every instruction set. Under RealtimeSanitizer (clang 20 or later,
// -fsanitize=realtime) the same calls are non-blocking functions, in which locks and system calls are errors, too.
#include <cstdlib>

#include "fastrnn/fastrnn.h"
#include "fastrnn/pool.hpp"
#include "models.h"

#if defined(__has_feature)
#if __has_feature(realtime_sanitizer)
#define FASTRNN_RTSAN
#endif
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FASTRNN_SANITIZER
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FASTRNN_SANITIZER
#endif

namespace {

// Volatile: the compiler assumes that malloc neither reads nor writes variables of the program.
thread_local volatile bool armed = false;
thread_local volatile int caught = 0;

void trap() {
  if (armed) caught = caught + 1;
}

}  // namespace

// operator new and what else allocates go through malloc.
extern "C" {
#if defined(FASTRNN_SANITIZER)
// The sanitizer has a malloc of its own, which calls these hooks; its library has to see them.
__attribute__((visibility("default"))) void __sanitizer_malloc_hook(const volatile void*, std::size_t) { trap(); }
__attribute__((visibility("default"))) void __sanitizer_free_hook(const volatile void*) { trap(); }
#elif defined(__GLIBC__) && !defined(FASTRNN_RTSAN)
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);

void* malloc(std::size_t n) { return trap(), __libc_malloc(n); }
void* calloc(std::size_t n, std::size_t size) { return trap(), __libc_calloc(n, size); }
void* realloc(void* p, std::size_t n) { return trap(), __libc_realloc(p, n); }
void* memalign(std::size_t alignment, std::size_t n) { return trap(), __libc_memalign(alignment, n); }
void* aligned_alloc(std::size_t alignment, std::size_t n) { return trap(), __libc_memalign(alignment, n); }
int posix_memalign(void** p, std::size_t alignment, std::size_t n) {
  return trap(), *p = __libc_memalign(alignment, n), *p != nullptr ? 0 : 12;
}
void free(void* p) { return trap(), __libc_free(p); }
#endif
}

namespace {

using namespace fastrnn;

#if defined(FASTRNN_RTSAN)
#define FASTRNN_NONBLOCKING [[clang::nonblocking]]
#else
#define FASTRNN_NONBLOCKING
#endif

template <class Work>
void call(Work& work) noexcept FASTRNN_NONBLOCKING {
  work();
}

/// The number of allocations during the call.
template <class Work>
int allocations(Work work) {
  caught = 0;
  armed = true;
  call(work);
  armed = false;
  return caught;
}

template <class Work>
void realtime(const std::string& what, Work work) {
  const int count = allocations(work);
  test::check(count == 0, what + ": " + std::to_string(count) + " allocations or releases");
}

/// That the trap works: a call that allocates is noticed.
void check_trap() {
#if !defined(FASTRNN_RTSAN)  // it would end the program
  std::vector<int>* volatile made = nullptr;
  test::check(allocations([&] { made = new std::vector<int>(3); }) == 2, "the trap did not see a vector");
  test::check(allocations([&] { delete made; }) == 2, "the trap did not see its end");
  void* volatile block = nullptr;
  test::check(allocations([&] { block = std::malloc(3); }) == 1, "the trap did not see malloc");
  std::free(block);
#endif
}

void check_session(const std::string& what, const std::shared_ptr<const Model>& model, Index batch) {
  constexpr Index kSteps = 37;  // more than the session computes at a time
  std::mt19937 generator(3);
  const auto x = test::random_vector<float>(generator, kSteps * batch * model->inputs(), 1.0);
  std::vector<float> y(kSteps * batch * model->outputs());
  ModelSession session(model, batch);
  std::vector<char> state(session.state_bytes());
  bool accepted = false, refused = true;
  realtime(what + " step", [&] { session.step(x.data(), y.data()); });
  for (const Index steps : {Index(0), Index(1), Index(2), kSteps})
    realtime(what + " run", [&] { session.run(x.data(), steps, y.data()); });
  realtime(what + " get_state", [&] { session.get_state(state.data()); });
  realtime(what + " reset", [&] { session.reset(); });
  realtime(what + " set_state", [&] {
    accepted = session.set_state(state.data(), state.size());
    refused = !session.set_state(state.data(), state.size() - 1);
  });
  test::check(accepted && refused, what + ": states are taken or refused wrongly");
}

void check_pool(const std::string& what, const std::shared_ptr<const Model>& model) {
  constexpr Index kCapacity = 5, kQueue = 3;
  std::mt19937 generator(4);
  const auto x = test::random_vector<float>(generator, kQueue * model->inputs(), 1.0);
  std::vector<float> y(kQueue * model->outputs());
  StreamPool pool(model, kCapacity, kQueue);
  std::vector<char> state(pool.state_bytes());
  StreamPool::Stream streams[kCapacity + 1];
  Index computed = 0, pulled = 0;
  realtime(what + " pool", [&] {
    for (auto& stream : streams) stream = pool.open();
    for (Index k = 0; k < kCapacity; ++k) pool.push(streams[k], x.data(), 1 + k % kQueue);
    pool.push(streams[0], x.data(), kQueue);  // full
    pool.push(streams[kCapacity], x.data());  // none
    for (Index k = 0; k < 4; ++k) computed += pool.advance(k % 2 == 0 ? 2 : PTRDIFF_MAX);
    for (const auto stream : streams) pulled += std::max<Index>(0, pool.pull(stream, y.data(), kQueue));
    pool.get_state(streams[1], state.data());
    pool.set_state(streams[2], state.data(), state.size());
    pool.waiting(streams[1]), pool.ready(streams[1]), pool.runnable();
    pool.reset(streams[3]);
    for (const auto stream : streams) pool.close(stream);
    streams[0] = pool.open();
  });
  test::check(computed > kCapacity && computed == pulled, what + ": the pool lost a step");
}

template <class T>
void check_layer_session(const std::string& what, const test::Variant& variant, const PackOptions& options) {
  constexpr Index kSteps = 37, kBatch = 3;
  const test::Problem<T> problem(variant, kSteps, kBatch, 5, 9, 5);
  std::vector<T> y(problem.dy.size()), h(problem.h0.size()), c(problem.c0.size());
  Session<T> session(problem.pack(options), kBatch);
  const Sequence<const T> x{problem.x.data(), kBatch * 5, 5, nullptr};
  realtime(what + " session of a layer", [&] {
    session.step(problem.x.data(), y.data());
    session.run(x, kSteps, {y.data(), kBatch * problem.state, problem.state, nullptr});
    session.get_state(h.data(), c.data());
    session.reset();
    session.set_state(h.data(), c.data());
  });
}

void check_c(const std::string& what, const std::string& text) {
  fastrnn_model* model = nullptr;
  fastrnn_session *session = nullptr, *placed = nullptr;
  std::size_t bytes = 0, state_bytes = 0;
  int bad = 0;
  bad += fastrnn_model_load_memory(text.data(), text.size(), nullptr, &model);
  bad += fastrnn_session_create(model, 1, &session);
  bad += fastrnn_session_size(model, 1, &bytes);
  bad += fastrnn_session_state_size(session, &state_bytes);
  if (bad != 0) return test::check(false, what + ": " + fastrnn_last_error());
  std::vector<char> block(bytes + FASTRNN_ALIGNMENT), state(state_bytes);
  const std::size_t skip = FASTRNN_ALIGNMENT - reinterpret_cast<std::uintptr_t>(block.data()) % FASTRNN_ALIGNMENT;
  float x[8] = {1, 2, 3}, y[8];
  realtime(what, [&] {
    bad += fastrnn_session_init_in_place(model, 1, block.data() + skip, bytes, &placed);
    bad += fastrnn_session_step(session, x, y);
    bad += fastrnn_session_step(placed, x, y);
    bad += fastrnn_session_get_state(session, state.data(), state.size());
    bad += fastrnn_session_set_state(placed, state.data(), state.size());
    bad += fastrnn_session_reset(session);
    fastrnn_session_free(placed);
  });
  test::check(bad == 0, what + ": " + fastrnn_last_error());
  fastrnn_session_free(session);
  fastrnn_model_free(model);
}

}  // namespace

int main(int argc, char** argv) {
  check_trap();
  for (const std::string& isa : test::isas(argc, argv)) {
    set_isa(isa);
    for (const PackOptions& options : test::pack_options()) {
      const std::string name = isa + " " + std::to_string(int(options.precision)) + " ";
      const auto stack = test::load(test::stack_text(7, 33), options);
      for (const Index batch : {1, 5}) check_session(name + "stack", stack, batch);
      check_pool(name + "stack", stack);
      for (const auto& [cell, variant] : test::variants()) {
        std::shared_ptr<const Model> model;
        try {
          model = test::load(test::model_text({variant}, 5, 9), options);
        } catch (const Error& error) {  // not every cell has fast activations
          test::check(options.fast_activations, name + cell + ": " + error.what());
          continue;
        }
        check_session(name + cell, model, 2);
        check_pool(name + cell, model);
        check_layer_session<float>(name + cell, variant, options);
        if (options.precision == Precision::full && !options.fast_activations)
          check_layer_session<double>(name + cell, variant, options);
      }
    }
    check_c(isa + " from C", test::stack_text(4, 9));
  }
  return test::finish("realtime");
}
