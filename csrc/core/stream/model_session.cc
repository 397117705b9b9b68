// A batch of streams over a model. Everything lies in one block of memory, which may be the caller's; no destructor
// runs for what is in it, so all of it is trivially destructible.
#include <algorithm>
#include <new>
#include <string>
#include <type_traits>

#include "core/layer/forward_run.h"
#include "core/stream/model_state.h"

namespace fastrnn {

namespace {

/// A layer computes so many steps before the next layer does: W x of them is one product. Fewer where what the layers
/// without a recurrence give for them would not stay in the cache, as of a graph of convolutions.
constexpr Index kSteps = 16;
constexpr Index kCached = 100'000;  // floats

Index steps_at_once(const Model& model, Index batch) {
  Index floats = 1;
  for (const auto& stage : model.stages())
    if (!stage->is_recurrent()) floats += stage->outputs;
  return std::clamp<Index>(kCached / floats / batch, 1, kSteps);
}

class RecurrentPart {
 public:
  RecurrentPart(const Stage& stage, Index steps, const ForwardArguments<float>& arguments, Arena& arena)
      : source_(&stage.layer),
        memory_(place_layer(stage.layer.weights->packed(), arguments, false, 0, layer_, arena)),
        run_(stage.layer.weights->packed(), layer_, chunk_steps(stage.layer.weights->packed(), steps, arguments.batch),
             false) {
    run_.place(arena);
    arena.take(kept_h_, layer_.batch * layer_.padded);
    arena.take(kept_c_, layer_.batch * layer_.c_width);
  }

  void fill(const ForwardArguments<float>& arguments) { fill_layer(arguments, memory_, layer_); }

  const Layer<float>& layer() const { return run_.layer(); }
  float* h(Index b) const { return memory_.h0 + b * layer().padded; }
  float* c(Index b) const { return memory_.c0 + b * layer().c_width; }

  void advance(const float* x, Index steps, float* y, Watch* watch) noexcept {
    Layer<float>& own = run_.layer();
    own.steps = steps;
    own.x = {x, own.batch * own.inputs, own.inputs, nullptr};
    own.y = {y, own.batch * own.state, own.state, nullptr};
    std::fill_n(memory_.length, own.batch, steps);
    run_.run(watch);
    if (stopped(watch)) return;
    for (Index b = 0; b < own.batch; ++b) {
      std::copy_n(run_.final_h(b), own.state, h(b));
      std::copy_n(run_.final_c(b), own.c_width, c(b));
    }
  }
  void reset() noexcept {
    std::fill_n(memory_.h0, layer().batch * layer().padded, 0.0f);
    std::fill_n(memory_.c0, layer().batch * layer().c_width, 0.0f);
    for (Index b = 0; b < layer().batch; ++b) {
      std::copy(source_->h0.begin(), source_->h0.end(), h(b));
      for (Index j = 0; !source_->c0.empty() && j < layer().cell.c_states; ++j)
        std::copy_n(source_->c0.data() + j * layer().hidden, layer().hidden, state(j + 1, b));
    }
  }
  /// Copies the states aside, and go_back() restores them: for a call that a signal may end.
  void keep() noexcept {
    std::copy_n(memory_.h0, layer().batch * layer().padded, kept_h_);
    std::copy_n(memory_.c0, layer().batch * layer().c_width, kept_c_);
  }
  void go_back() noexcept {
    std::copy_n(kept_h_, layer().batch * layer().padded, memory_.h0);
    std::copy_n(kept_c_, layer().batch * layer().c_width, memory_.c0);
  }
  float* state(Index j, Index b) const { return j == 0 ? h(b) : c(b) + (j - 1) * layer().padded; }

 private:
  const ModelLayer* source_;
  Layer<float> layer_;
  LayerMemory<float> memory_;
  ForwardRun<float> run_;
  float *kept_h_, *kept_c_;
};
static_assert(std::is_trivially_destructible_v<RecurrentPart>);

/// The last N steps of each row, the oldest first, which a delay hands on beside the current one.
class DelayPart {
 public:
  DelayPart(const Stage& stage, Index batch, Arena& arena)
      : batch_(batch), width_(stage.inputs), steps_(stage.layer.steps) {
    arena.take(before_, batch * size());
    arena.take(kept_, batch * size());
  }

  float* state(Index, Index b) const { return before_ + b * size(); }

  /// x (T,B,I) to y (T,B,(N+1)*I).
  void advance(const float* x, Index steps, float* y) noexcept {
    for (Index t = 0; t < steps; ++t)
      for (Index b = 0; b < batch_; ++b, y += size() + width_) {
        float* const before = before_ + b * size();
        std::copy_n(before, size(), y);
        std::copy_n(x + (t * batch_ + b) * width_, width_, y + size());
        std::copy_n(y + width_, size(), before);
      }
  }
  void reset() noexcept { std::fill_n(before_, batch_ * size(), 0.0f); }
  void keep() noexcept { std::copy_n(before_, batch_ * size(), kept_); }
  void go_back() noexcept { std::copy_n(kept_, batch_ * size(), before_); }

 private:
  Index size() const { return steps_ * width_; }

  Index batch_, width_, steps_;
  float *before_, *kept_;
};
static_assert(std::is_trivially_destructible_v<DelayPart>);

}  // namespace

struct ModelSession::Data {
  // The first two are empty where the caller owns memory and model.
  std::shared_ptr<const Model> owned_model;
  AlignedBuffer owned_memory;
  const Model* model;
  Index batch;
  Index steps;            // at once
  RecurrentPart** parts;  // per stage; null for those that are not recurrent
  DelayPart** delays;     // likewise
  float** values;         // the output of each layer, (T,B,O), in buffers that layers use in turn
  // For `Stage::apply`: rows of the values that it reads, and the lists of these.
  const float** rows;
  const float*** lists;
  const float** pointers;

  /// Lays everything out; measures over a null arena.
  static Data* place(const Model& model, Index batch, Arena& arena, bool real) {
    char* self;
    arena.take(self, sizeof(Data));
    Data local{};
    Data* const made = real ? new (self) Data() : nullptr;
    Data& data = real ? *made : local;
    const Index stages = Index(model.stages().size());
    Index most_read = 1, most_pointers = 0;
    for (const auto& stage : model.stages()) {
      most_read = std::max(most_read, Index(stage->layer.from.size()));
      most_pointers = std::max(most_pointers, stage->pointers());
    }
    data.model = &model;
    data.batch = batch;
    data.steps = steps_at_once(model, batch);
    arena.take(data.parts, stages);
    arena.take(data.delays, stages);
    arena.take(data.values, stages);
    arena.take(data.rows, most_read * data.steps * batch);
    arena.take(data.lists, most_read);
    arena.take(data.pointers, most_pointers * data.steps * batch);
    place_values(
        model, data.steps * batch, arena, [](const Stage&) { return true; },
        [&](std::size_t i, float* memory) {
          if (real) data.values[i] = memory;
        });
    for (Index s = 0; real && s < most_read; ++s) data.lists[s] = data.rows + s * data.steps * batch;
    ForwardArguments<float> arguments;
    arguments.batch = batch;
    for (Index i = 0; i < stages; ++i) {
      const Stage& stage = *model.stages()[i];
      if (real) data.parts[i] = nullptr, data.delays[i] = nullptr;
      if (!stage.has_state()) continue;
      char* place;
      if (stage.is_delay()) {
        arena.take(place, sizeof(DelayPart));
        const DelayPart part(stage, batch, arena);
        if (!real) continue;
        data.delays[i] = new (place) DelayPart(part);
        data.delays[i]->reset();
        continue;
      }
      arena.take(place, sizeof(RecurrentPart));
      if (real) {
        data.parts[i] = new (place) RecurrentPart(stage, data.steps, arguments, arena);
        data.parts[i]->fill(arguments);
        data.parts[i]->reset();
      } else {
        const RecurrentPart measured(stage, data.steps, arguments, arena);
      }
    }
    return made;
  }

  float* state(std::size_t stage, Index j, Index b) const {
    return parts[stage] != nullptr ? parts[stage]->state(j, b) : delays[stage]->state(j, b);
  }

  /// Up to `steps` steps through all layers; the last one writes to y.
  void run(const float* x, Index steps, float* y, Watch* watch) noexcept {
    const auto& stages = model->stages();
    for (std::size_t i = 0; i < stages.size() && !stopped(watch); ++i) {
      float* const to = i + 1 == stages.size() ? y : values[i];
      const Stage& stage = *stages[i];
      const auto value = [&](Index from) { return from == 0 ? x : values[from - 1]; };
      if (parts[i] != nullptr) {
        parts[i]->advance(value(stage.layer.from[0]), steps, to, watch);
      } else if (delays[i] != nullptr) {
        delays[i]->advance(value(stage.layer.from[0]), steps, to);
      } else {
        for (std::size_t s = 0; s < stage.widths.size(); ++s)
          for (Index r = 0; r < steps * batch; ++r) lists[s][r] = value(stage.layer.from[s]) + r * stage.widths[s];
        stage.apply(lists, steps * batch, to, pointers, model->options().fast_activations, watch);
      }
    }
  }

  template <class Each>
  void each_part(const Each& each) noexcept {
    for (std::size_t i = 0; i < model->stages().size(); ++i) {
      if (parts[i] != nullptr) each(*parts[i]);
      if (delays[i] != nullptr) each(*delays[i]);
    }
  }
};

ModelSession::ModelSession(std::shared_ptr<const Model> model, Index batch) {
  if (model == nullptr) throw Error("model: expected one, got null");
  const std::size_t bytes = size(*model, batch);
  AlignedBuffer memory(bytes);
  Arena arena(memory.data());
  data_ = Data::place(*model, batch, arena, true);
  data_->owned_model = std::move(model);
  data_->owned_memory = std::move(memory);
}

ModelSession::ModelSession(const Model& model, Index batch, void* memory) {
  size(model, batch);  // checks
  if (memory == nullptr) throw Error("memory: expected an address, got null");
  if (const auto beyond = reinterpret_cast<std::uintptr_t>(memory) % kAlignment; beyond != 0)
    throw Error("memory: expected an address that is a multiple of " + std::to_string(kAlignment) + ", got one " +
                std::to_string(beyond) + " beyond it");
  Arena arena(memory);
  data_ = Data::place(model, batch, arena, true);
}

std::size_t ModelSession::size(const Model& model, Index batch) {
  if (batch < 1) throw Error("batch: expected 1 or more, got " + std::to_string(batch));
  if (model.stages().empty()) throw Error("model: expected at least one layer");
  check_stepwise(model);
  Index widest = model.inputs() + 64;
  for (const auto& stage : model.stages())
    widest += stage->outputs + 64 + stage->pointers() + Index(stage->widths.size());
  // Beyond, sizes in bytes would overflow: a row takes less than 64 times its widths for each step of a chunk.
  if (batch > PTRDIFF_MAX / Index(sizeof(float)) / 64 / kSteps / widest) throw std::bad_alloc();
  Arena arena;
  Data::place(model, batch, arena, false);
  return arena.used();
}

ModelSession::~ModelSession() {
  if (data_ == nullptr) return;
  // `data_` lies in the memory that it owns: take the owners out before it is destroyed.
  const std::shared_ptr<const Model> model = std::move(data_->owned_model);
  const AlignedBuffer memory = std::move(data_->owned_memory);
  data_->~Data();
}
ModelSession::ModelSession(ModelSession&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
ModelSession& ModelSession::operator=(ModelSession&& other) noexcept {
  std::swap(data_, other.data_);
  return *this;
}

ModelSession ModelSession::clone() const {
  // The copy owns its memory, even if this session lies in the caller's; then the caller still owns the model.
  std::shared_ptr<const Model> model = data_->owned_model;
  if (model == nullptr) model = std::shared_ptr<const Model>(std::shared_ptr<const Model>(), data_->model);
  ModelSession copy(std::move(model), data_->batch);
  std::vector<char> state(state_bytes());
  get_state(state.data());
  copy.set_state(state.data(), state.size());
  return copy;
}

void ModelSession::step(const float* x, float* y) noexcept { data_->run(x, 1, y, nullptr); }

void ModelSession::run(const float* x, Index steps, float* y) noexcept {
  const Index inputs = data_->batch * data_->model->inputs(), outputs = data_->batch * data_->model->outputs();
  Watch* const watch = current_watch();
  if (watch != nullptr) data_->each_part([](auto& part) { part.keep(); });
  for (Index first = 0; first < steps && !stopped(watch); first += data_->steps)
    data_->run(x + first * inputs, std::min(data_->steps, steps - first), y + first * outputs, watch);
  if (stopped(watch)) data_->each_part([](auto& part) { part.go_back(); });
}

void ModelSession::reset() noexcept {
  data_->each_part([](auto& part) { part.reset(); });
}

std::size_t ModelSession::state_bytes() const noexcept { return state_size(*data_->model, data_->batch); }

void ModelSession::get_state(void* bytes) const noexcept {
  write_states(*data_->model, data_->batch, bytes,
               [&](std::size_t stage, Index j, Index b) { return data_->state(stage, j, b); });
}

bool ModelSession::set_state(const void* bytes, std::size_t count) noexcept {
  return read_states(*data_->model, data_->batch, bytes, count,
                     [&](std::size_t stage, Index j, Index b) { return data_->state(stage, j, b); });
}

const Model& ModelSession::model() const noexcept { return *data_->model; }
Index ModelSession::batch() const noexcept { return data_->batch; }

}  // namespace fastrnn
