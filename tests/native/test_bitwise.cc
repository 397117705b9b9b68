// A row's result does not depend on the batch around it, on its place in it, on how a sequence is cut into calls, or on
// the number of threads; training and inference give the same bits. And a session's step allocates nothing.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>

#include "problem.h"

namespace {
std::atomic<long> allocations{0};

void* count_and_allocate(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

// Not inlined: GCC would take a free() beside operator new for a mismatch.
#define NOT_INLINED __attribute__((noinline))
NOT_INLINED void* operator new(std::size_t bytes) { return count_and_allocate(bytes, alignof(std::max_align_t)); }
NOT_INLINED void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return count_and_allocate(bytes, std::size_t(alignment));
}
NOT_INLINED void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(bytes);
}
NOT_INLINED void operator delete(void* memory) noexcept { std::free(memory); }
NOT_INLINED void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
NOT_INLINED void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
NOT_INLINED void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace {

using fastrnn::PackOptions;
using fastrnn::Precision;
using test::Index;

struct Packing {
  const char* name;
  PackOptions options;
};
const Packing kPackings[] = {{"float", {}},
                             {"fast", {Precision::full, true}},
                             {"bfloat16", {Precision::bfloat16, false}},
                             {"bfloat16 weights", {Precision::bfloat16_weights, false}},
                             {"int8", {Precision::int8, false}}};

template <class T>
bool same(const T* a, const T* b, Index n) {
  return n == 0 || std::memcmp(a, b, std::size_t(n) * sizeof(T)) == 0;  // what is empty may be null
}

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && same(a.data(), b.data(), Index(a.size()));
}

/// Row b alone, in place of what `alone` has: in one call, and in a session's steps and runs.
template <class T>
void check_row(const std::string& what, const test::Problem<T>& whole,
               const std::shared_ptr<const fastrnn::Weights<T>>& weights, Index b, test::Problem<T>& alone) {
  const Index steps = whole.steps, batch = whole.batch, inputs = whole.inputs, hidden = whole.hidden;
  const Index state = whole.state, c_states = whole.c_states;
  for (Index t = 0; t < steps; ++t)
    std::copy_n(whole.x.data() + (t * batch + b) * inputs, inputs, alone.x.data() + t * inputs);
  std::copy_n(whole.h0.data() + b * state, state, alone.h0.data());
  for (Index j = 0; j < c_states; ++j)
    std::copy_n(whole.c0.data() + (j * batch + b) * hidden, hidden, alone.c0.data() + j * hidden);
  alone.forward(*weights);
  for (Index t = 0; t < steps; ++t)
    test::check(same(alone.y.data() + t * state, whole.y.data() + (t * batch + b) * state, state),
                what + ": row " + std::to_string(b) + " alone differs at step " + std::to_string(t));

  fastrnn::Session<T> session(weights);
  session.set_state(alone.h0.data(), alone.c0.data());
  std::vector<T> y(alone.y.size()), h(state), c(c_states * hidden);
  const long before = allocations;
  session.step(alone.x.data(), y.data());
  session.run({alone.x.data() + inputs, inputs, inputs, nullptr}, steps - 2, {y.data() + state, state, state, nullptr});
  session.step(alone.x.data() + (steps - 1) * inputs, y.data() + (steps - 1) * state);
  session.get_state(h.data(), c.data());
  session.reset();
  const bool none = allocations == before;
  test::check(none, what + ": a session's step allocates");
  test::check(same(y, alone.y) && same(h, alone.h_n) && same(c, alone.c_n), what + ": a session differs");
}

template <class T>
void check_rows(const std::string& what, const test::Variant& options, const PackOptions& pack_options, Index hidden,
                Index batch) {
  test::Problem<T> whole(options, 5, batch, 3, hidden, 3);
  const auto weights = whole.pack(pack_options);
  whole.forward(*weights);
  test::Problem<T> alone(options, whole.steps, 1, whole.inputs, hidden, 3);
  for (Index b = 0; b < batch; ++b) check_row(what, whole, weights, b, alone);
  if (pack_options.precision != Precision::full || pack_options.fast_activations || options.random()) return;
  const std::vector<T> y = whole.y;
  const fastrnn::Saved<T> saved(weights, whole.arguments());
  test::check(same(whole.y, y), what + ": training differs from inference");
}

/// Whether the variant can be packed with fast activations, which sigmoid, tanh, relu and identity have.
bool has_fast(const test::Variant& options) {
  const auto usual = [](const fastrnn::ActivationOption& f) { return f.kind <= fastrnn::Activation::identity; };
  return usual(options.activation) && usual(options.recurrent_activation) && usual(options.output_activation) &&
         options.clip == 0 && !options.norm;
}

/// Just enough work for threads to be asked; few rows are cut by units, more of them by rows.
template <class T>
void check_threads(const std::string& what, const test::Variant& options, const PackOptions& pack_options, Index batch,
                   bool train) {
  const Index gates = fastrnn::gate_count(options.cell);
  const Index hidden = batch < 8 ? (gates == 1 ? 250 : 130) : 50;
  const Index steps = 10'000'000 / (2 * gates * hidden * (hidden + 3) * batch) * 4 / 3 + 3;
  test::Problem<T> problem(options, steps, batch, 3, hidden, 4);
  for (Index b = 0; b < batch; ++b) problem.lengths.push_back(b % 3 == 1 ? steps / 2 : steps);
  problem.reverse = true;
  const auto weights = problem.pack(pack_options);
  problem.forward(*weights);
  test::Problem<T> other = problem;
  other.threads = 3;
  other.forward(*weights);
  test::check(same(other.y, problem.y) && same(other.h_n, problem.h_n) && same(other.c_n, problem.c_n),
              what + ": threads change the result");
  if (!train) return;
  problem.train();
  other.train();
  test::check(same(other.y, problem.y), what + ": threads change training's y");
  test::check(same(other.dx, problem.dx) && same(other.dh0, problem.dh0) && same(other.dw_ih, problem.dw_ih) &&
                  same(other.dw_hh, problem.dw_hh) && same(other.db_hh, problem.db_hh) &&
                  same(other.dw_peep, problem.dw_peep) && same(other.dw_hr, problem.dw_hr) &&
                  same(other.dln_hh, problem.dln_hh) && same(other.dln_c, problem.dln_c),
              what + ": threads change the gradients");
}

/// The gradients of three rows, which are multiplied as they lie, are those of seven, which are packed, when nothing
/// comes back to the other four.
template <class T>
void check_few_rows(const std::string& what, const test::Variant& options) {
  test::Problem<T> few(options, 1, 3, 5, 33, 6), more(options, 1, 7, 5, 33, 6);
  const Index state = few.state, hidden = few.hidden, n = few.batch;
  const auto embed = [&](const std::vector<T>& from, std::vector<T>& to, Index width, Index blocks, bool clear) {
    if (clear) std::fill(to.begin(), to.end(), T(0));
    for (Index j = 0; j < blocks; ++j)
      std::copy_n(from.data() + j * n * width, n * width, to.data() + j * more.batch * width);
  };
  embed(few.x, more.x, few.inputs, 1, false);
  embed(few.h0, more.h0, state, 1, false);
  embed(few.c0, more.c0, hidden, few.c_states, false);
  embed(few.dy, more.dy, state, 1, true);
  embed(few.dh_n, more.dh_n, state, 1, true);
  embed(few.dc_n, more.dc_n, hidden, few.c_states, true);
  few.w_hr = more.w_hr;
  few.ln_ih = more.ln_ih;
  few.ln_hh = more.ln_hh;
  few.ln_c = more.ln_c;
  few.train();
  more.train();
  test::check(same(few.dx.data(), more.dx.data(), n * few.inputs) && same(few.dw_ih, more.dw_ih) &&
                  same(few.dw_hh, more.dw_hh) && same(few.dw_hr, more.dw_hr) && same(few.dw_peep, more.dw_peep) &&
                  same(few.db_ih, more.db_ih) && same(few.db_hh, more.db_hh),
              what + ": the gradients of few rows differ");
}

}  // namespace

int main(int argc, char** argv) {
  // On a single processor, an emulated one at that, threads would mostly wait for each other.
  const bool parallel = std::thread::hardware_concurrency() > 1;
  for (const std::string& isa : test::isas(argc, argv)) {
    fastrnn::set_isa(isa);
    for (const auto& [name, options] : test::variants()) {
      for (const Index hidden : {1, 7, 33, 70})
        for (const Index batch : {2, 7, 13}) {
          const std::string what = isa + " " + name + " H " + std::to_string(hidden) + " B " + std::to_string(batch);
          for (const Packing& packing : kPackings)
            if (!packing.options.fast_activations || has_fast(options))
              check_rows<float>(what + " " + packing.name, options, packing.options, hidden, batch);
          check_rows<double>(what + " double", options, {}, hidden, batch);
        }
      if (!options.random()) {
        check_few_rows<float>(isa + " " + name, options);
        check_few_rows<double>(isa + " " + name + " double", options);
      }
      for (const Index batch : {3, 20})
        if (parallel) check_threads<float>(isa + " " + name + " B " + std::to_string(batch), options, {}, batch, true);
    }
    if (!parallel) continue;
    const test::Variant lstm;
    for (const Index batch : {3, 20}) {
      const std::string what = isa + " lstm B " + std::to_string(batch) + " ";
      for (const Packing& packing : kPackings)
        check_threads<float>(what + packing.name, lstm, packing.options, batch, false);
      check_threads<double>(what + "double", lstm, {}, batch, true);
    }
  }
  return test::finish("bitwise");
}
