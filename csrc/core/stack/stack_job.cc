// Layers and directions of a stack side by side, in inference.
//
// A task is one layer and direction over some steps. It needs the task of the layer below over the same steps (of both
// directions) and its own layer's over the steps before:
//
//   one direction     a wavefront over layers and pieces of the sequence
//   both directions   a piece is the whole sequence, and the two tasks of a layer run side by side
//
// Tasks take about equally long and are dealt out in phases, each with as many of the ready ones as there are threads.
// They compute on copies, so that a worker that the system has stopped can be overtaken (csrc/core/base/threads.h).
#include <atomic>
#include <new>

#include "core/stack/stack.h"

namespace fastrnn {

namespace {

/// A piece is worth several barriers, and there are enough of them for every layer to be at work most of the time. Of
/// the lengths measured, those between 4 and 8 steps of 256 units did best, by little.
constexpr double kPieceWork = 1e6;
constexpr Index kPiecesPerLayer = 24;
/// Pieces in a job, whose memory is kept to its end.
constexpr Index kPiecesPerJob = 128;

struct Task {
  int layer = -1;  // none
  int direction = 0;
  Index piece = 0;
};

/// Deals the tasks out as [phase][slot], so that what a task needs was done in an earlier phase. The longest ways to
/// the end come first, which makes the fewest phases (Hu, "Parallel sequencing and assembly line problems", 1961). A
/// layer keeps its slot, and with it the thread that has its weights in the cache, where it can.
std::vector<Task> deal(const StackShape& shape, Index pieces, int slots) {
  std::vector<Task> tasks;
  std::vector<Index> done(shape.layers, 0);
  while (done.back() < pieces) {
    std::vector<Task> ready;
    for (int layer = 0; layer < shape.layers; ++layer)
      if (done[layer] < pieces && (layer == 0 || done[layer] < done[layer - 1]))
        for (int d = 0; d < shape.directions; ++d) ready.push_back({layer, d, done[layer]});
    std::stable_sort(ready.begin(), ready.end(),
                     [](const Task& a, const Task& b) { return a.layer + a.piece < b.layer + b.piece; });
    if (int(ready.size()) > slots) ready.resize(slots);
    const std::size_t phase = tasks.size();
    tasks.resize(phase + slots);
    for (const Task& task : ready) {
      int slot = (task.layer * shape.directions + task.direction) % slots;
      while (tasks[phase + slot].layer >= 0) slot = (slot + 1) % slots;
      tasks[phase + slot] = task;
      if (task.direction + 1 == shape.directions) ++done[task.layer];
    }
  }
  return tasks;
}

/// The job over some steps of a call. It owns copies of all it reads, states included.
template <class T>
class StackJob final : public Job {
 public:
  StackJob(const Stack<T>& stack, const StackShape& shape, const ForwardArguments<T>& arguments, Index first,
           Index steps, Index piece, const T* h, const T* c, std::vector<Task> tasks, int slots)
      : Job(int(tasks.size()) / slots, slots, measure(shape, arguments.batch, piece), true),
        stack_(stack),
        shape_(shape),
        arguments_(arguments),
        grid_(steps, arguments.batch),
        piece_(piece),
        pieces_(std::max<Index>(1, (steps + piece - 1) / piece)),
        tasks_(std::move(tasks)),
        y_(from_step(arguments.y, first)) {
    const Index batch = arguments.batch, rows = grid_.total();
    const int count = shape.layers * shape.directions;
    h_size_ = batch * shape.own;
    c_size_ = shape.states * batch * shape.hidden;
    T* x;
    Index* lengths = nullptr;
    memory_ = allocate([&](Arena& arena) {
      arena.take(x, rows * shape.inputs);
      arena.take(between_, rows * (shape.concat ? (shape.layers - 1) * shape.merged : count * shape.own));
      arena.take(h_, (pieces_ + 1) * count * h_size_);
      arena.take(c_, (pieces_ + 1) * count * c_size_);
      arena.take(lengths, arguments.lengths != nullptr ? pieces_ * batch : 0);
    });
    for (Index t = 0; t < steps; ++t)
      for (Index b = 0; b < batch; ++b)
        std::copy_n(arguments.x.at(first + t, b), shape.inputs, x + (t * batch + b) * shape.inputs);
    x_ = {x, batch * shape.inputs, shape.inputs};
    copy_or_zero(h, count * h_size_, h_);
    copy_or_zero(c, count * c_size_, c_);
    if (arguments.lengths != nullptr) {
      for (Index i = 0; i < pieces_; ++i)
        cut_lengths(arguments.lengths, batch, first + i * piece, steps_of(i), lengths + i * batch);
      lengths_ = lengths;
    }
  }

  /// The final states of all layers and directions.
  const T* final_h() const { return h_at(pieces_, 0); }
  const T* final_c() const { return c_at(pieces_, 0); }
  /// Merges the directions of the last layer, where they are merged.
  void finish() const {
    if (shape_.concat) return;
    const int last = (shape_.layers - 1) * 2;
    merge_rows(grid_, stack_.merge, shape_.own, 0, grid_.steps(), read(own(last)), read(own(last + 1)), y_);
  }
  /// Whether a task ran out of memory.
  bool failed() const { return failed_; }

 private:
  struct Buffer {
    T *y, *h, *c, *x;
    Buffer(const StackShape& shape, Index batch, Index steps, Arena& arena) {
      arena.take(y, steps * batch * shape.own);
      arena.take(h, batch * shape.own);
      arena.take(c, shape.states * batch * shape.hidden);
      arena.take(x, shape.concat ? 0 : steps * batch * shape.own);
    }
  };
  static std::size_t measure(const StackShape& shape, Index batch, Index steps) {
    Arena arena;
    Buffer(shape, batch, steps, arena);
    return arena.used();
  }
  static void copy_or_zero(const T* from, Index n, T* to) {
    if (from != nullptr)
      std::copy_n(from, n, to);
    else
      std::fill_n(to, n, T(0));
  }

  Index steps_of(Index piece) const { return std::min(piece_, grid_.steps() - piece * piece_); }
  Index index(const Task& task) const { return task.layer * shape_.directions + task.direction; }
  T* h_at(Index piece, Index index) const { return h_ + (piece * shape_.layers * shape_.directions + index) * h_size_; }
  T* c_at(Index piece, Index index) const { return c_ + (piece * shape_.layers * shape_.directions + index) * c_size_; }
  /// A direction's own output, where directions are merged, and the layer's, where they are not.
  Sequence<T> own(Index index) const { return grid_.view(between_ + index * grid_.total() * shape_.own, shape_.own); }
  Sequence<T> output(int layer) const {
    return grid_.view(between_ + layer * grid_.total() * shape_.merged, shape_.merged);
  }

  Sequence<const T> input(const Task& task, T* merged) const {
    if (task.layer == 0) return from_step(x_, task.piece * piece_);
    if (shape_.concat) return read(from_step(output(task.layer - 1), task.piece * piece_));
    // Both directions merge it for themselves: one more phase would cost more.
    const Sequence<T> x = grid_.view(merged, shape_.own);
    const int below = (task.layer - 1) * 2;
    merge_rows(grid_, stack_.merge, shape_.own, 0, grid_.steps(), read(own(below)), read(own(below + 1)), x);
    return read(x);
  }

  void compute(int phase, int slice, void* buffer) noexcept override {
    const Task& task = tasks_[phase * slices() + slice];
    if (task.layer < 0) return;
    Arena arena(buffer);
    const Buffer results(shape_, arguments_.batch, piece_, arena);
    ForwardArguments<T> call = call_of(arguments_, int(index(task)), task.direction, 1);
    call.steps = steps_of(task.piece);
    call.x = input(task, results.x);
    call.y = grid_.view(results.y, shape_.own);
    call.lengths = lengths_ != nullptr ? lengths_ + task.piece * arguments_.batch : nullptr;
    call.h0 = h_at(task.piece, index(task));
    call.c0 = c_at(task.piece, index(task));
    call.h_n = results.h;
    call.c_n = results.c;
    try {
      forward(*stack_.weights[index(task)], call);
    } catch (const Interrupted&) {  // the whole job is stopped
    } catch (...) {                 // the arguments were checked: only memory can be short
      failed_ = true;
    }
  }

  void commit(int phase, int slice, const void* buffer) noexcept override {
    const Task& task = tasks_[phase * slices() + slice];
    if (task.layer < 0) return;
    Arena arena(const_cast<void*>(buffer));
    const Buffer results(shape_, arguments_.batch, piece_, arena);
    Sequence<T> y = !shape_.concat ? own(index(task)) : task.layer + 1 < shape_.layers ? output(task.layer) : y_;
    y = from_step(y, task.piece * piece_);
    if (shape_.concat) y = from_column(y, task.direction * shape_.own);
    for (Index t = 0, row = 0; t < steps_of(task.piece); ++t)
      for (Index b = 0; b < arguments_.batch; ++b, ++row)
        std::copy_n(results.y + row * shape_.own, shape_.own, y.at(t, b));
    std::copy_n(results.h, h_size_, h_at(task.piece + 1, index(task)));
    std::copy_n(results.c, c_size_, c_at(task.piece + 1, index(task)));
  }

  const Stack<T> stack_;
  const StackShape shape_;
  const ForwardArguments<T> arguments_;  // x, y, lengths and the states are not read through it
  const Grid grid_;
  const Index piece_, pieces_;
  const std::vector<Task> tasks_;
  const Sequence<T> y_;  // the caller's, for commit and finish
  Sequence<const T> x_;
  const Index* lengths_ = nullptr;  // [piece][b]
  T *between_, *h_, *c_;            // states [piece][layer*D + direction]: before each piece, and at the end
  Index h_size_, c_size_;
  AlignedBuffer memory_;
  std::atomic<bool> failed_{false};
};

}  // namespace

template <class T>
bool run_stack_job(const Stack<T>& stack, const StackShape& shape, const ForwardArguments<T>& arguments, double work) {
  const int threads = threads_of(arguments.threads), tasks = shape.directions == 2 ? 2 : shape.layers;
  const Index steps = arguments.steps, batch = arguments.batch;
  if (!may_be_cut(arguments) || !side_by_side(stack, shape, batch, work, threads, tasks)) return false;
  Index piece = steps;
  if (shape.directions == 2) {
    if (work > kWorthWaiting) return false;
  } else {
    const double step = work / (double(shape.layers) * double(steps));
    const Index least = Index(kPieceWork / step) + 1;
    const Index most = steps / (kPiecesPerLayer * shape.layers) + 1;
    piece = std::max(least, std::min<Index>(most, 64));
    if (steps < 2 * piece) return false;
  }
  Team team(std::min(threads, tasks));
  if (team.threads() == 1) return false;
  const int count = shape.layers * shape.directions;
  const Index job_steps = shape.directions == 2 ? steps : std::min(steps, kPiecesPerJob * piece);
  std::shared_ptr<StackJob<T>> job;
  const T *h = arguments.h0, *c = arguments.c0;
  for (Index first = 0; first < steps; first += job_steps) {
    const Index n = std::min(job_steps, steps - first);
    auto next = std::make_shared<StackJob<T>>(stack, shape, arguments, first, n, piece, h, c,
                                              deal(shape, (n + piece - 1) / piece, team.threads()), team.threads());
    team.run(next);
    check_interrupted();
    if (next->failed()) throw std::bad_alloc();
    next->finish();
    job = std::move(next);
    h = job->final_h();
    c = job->final_c();
  }
  std::copy_n(h, count * batch * shape.own, arguments.h_n);
  if (shape.states > 0) std::copy_n(c, count * shape.states * batch * shape.hidden, arguments.c_n);
  return true;
}

template bool run_stack_job(const Stack<float>&, const StackShape&, const ForwardArguments<float>&, double);
template bool run_stack_job(const Stack<double>&, const StackShape&, const ForwardArguments<double>&, double);

}  // namespace fastrnn
