#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "core/stream/batch_step.h"
#include "core/stream/model_state.h"
#include "fastrnn/pool.hpp"

namespace fastrnn {

namespace {

/// The place of a stream. Inputs that wait and results that are ready lie in two rings of `queue` entries; together
/// they are at most `queue`, so that a result always finds room.
struct Slot {
  std::uint32_t generation = 0;
  bool open = false;
  std::uint8_t current = 0;  // which of two places has the states: a step reads one and writes the other
  Index first_waiting = 0, waiting = 0;
  Index first_ready = 0, ready = 0;
};

/// A layer that has a state: that of every slot, twice. Of a delay, h is the steps before, the oldest first.
struct Part {
  std::optional<BatchStep<float>> step;  // a recurrent layer's kernels and their workspace
  Index h_width, c_width = 0;
  float *h[2], *c[2];

  Part(const Stage& stage, Index rows) : h_width(stage.layer.steps * stage.inputs) {
    if (stage.is_recurrent()) step.emplace(stage.layer.weights->packed(), rows);
  }
  void place(Index capacity, Arena& arena) {
    if (step) {
      step->place(arena);
      h_width = step->h_width();
      c_width = step->c_width();
    }
    for (int k = 0; k < 2; ++k) {
      arena.take(h[k], capacity * h_width);
      arena.take(c[k], capacity * c_width);
    }
  }
};

}  // namespace

struct StreamPool::Data {
  std::shared_ptr<const Model> model;
  Index capacity, queue;
  Index open_count = 0;
  Index next = 0;                            // where advance() begins
  std::vector<std::unique_ptr<Part>> parts;  // per stage; null for those without a state
  std::vector<Slot> slots;
  std::vector<Index> free, chosen;
  std::vector<std::vector<const float*>> rows;  // by value: its row of each chosen slot
  std::vector<const float* const*> lists;       // the entries of `rows` that a layer reads
  std::vector<const float*> pointers;           // for `Stage::apply`
  AlignedBuffer memory;
  float *inputs, *results;     // (capacity, queue, I) and (capacity, queue, O)
  std::vector<float*> values;  // by layer: its output, unless it is recurrent

  Slot* find(Stream stream) noexcept {
    const Index slot = stream & 0xffffffff;
    if (stream < 0 || slot >= capacity || !slots[slot].open || slots[slot].generation != std::uint32_t(stream >> 32))
      return nullptr;
    return &slots[slot];
  }
  Index index_of(const Slot& slot) const noexcept { return &slot - slots.data(); }
  float* input(const Slot& slot, Index i) noexcept {
    return inputs + (index_of(slot) * queue + (slot.first_waiting + i) % queue) * model->inputs();
  }
  float* result(const Slot& slot, Index i) noexcept {
    return results + (index_of(slot) * queue + (slot.first_ready + i) % queue) * model->outputs();
  }
  /// h (state 0) or a cell state of a slot.
  float* state(std::size_t stage, Index j, const Slot& slot) noexcept {
    const Part& part = *parts[stage];
    const Index b = index_of(slot);
    return j == 0 ? part.h[slot.current] + b * part.h_width
                  : part.c[slot.current] + b * part.c_width + (j - 1) * part.h_width;
  }
  void clear(Slot& slot) noexcept {
    slot.first_waiting = slot.waiting = slot.first_ready = slot.ready = 0;
    for (std::size_t i = 0; i < parts.size(); ++i)
      if (parts[i] != nullptr) {
        std::fill_n(state(i, 0, slot), parts[i]->h_width, 0.0f);
        std::fill_n(state(i, 1, slot), parts[i]->c_width, 0.0f);
        const ModelLayer& layer = model->stages()[i]->layer;
        std::copy(layer.h0.begin(), layer.h0.end(), state(i, 0, slot));
        const Index hidden = layer.c0.empty() ? 1 : layer.weights->hidden();
        for (Index j = 0; j < Index(layer.c0.size()) / hidden; ++j)
          std::copy_n(layer.c0.data() + j * hidden, hidden, state(i, j + 1, slot));
      }
  }
  bool compute(Index n, Watch* watch) noexcept;
};

/// One step of the chosen slots through all layers. The next layer reads the new h where it lies, as its x. Returns
/// false if the watch ended it; then the streams are as before.
bool StreamPool::Data::compute(Index n, Watch* watch) noexcept {
  for (Index i = 0; i < n; ++i) rows[0][i] = input(slots[chosen[i]], 0);
  for (std::size_t s = 0; s < parts.size(); ++s) {
    const Stage& stage = *model->stages()[s];
    const std::vector<const float*>& from = rows[std::size_t(stage.layer.from[0])];
    std::vector<const float*>& to = rows[s + 1];
    Part* const part = parts[s].get();
    if (part == nullptr) {
      for (std::size_t k = 0; k < stage.widths.size(); ++k) lists[k] = rows[std::size_t(stage.layer.from[k])].data();
      stage.apply(lists.data(), n, values[s], pointers.data(), model->options().fast_activations, watch);
    }
    for (Index i = 0; i < n; ++i) {
      const Index b = chosen[i];
      const int now = slots[b].current;
      to[i] = part != nullptr && part->step ? part->h[1 - now] + b * part->h_width : values[s] + i * stage.outputs;
      if (part == nullptr) continue;
      float *const before = part->h[now] + b * part->h_width, *const h = part->h[1 - now] + b * part->h_width;
      if (part->step) {
        part->step->set_row(i, from[i], before, h, part->c[now] + b * part->c_width,
                            part->c[1 - now] + b * part->c_width);
      } else {
        float* const y = values[s] + i * stage.outputs;
        std::copy_n(before, part->h_width, y);
        std::copy_n(from[i], stage.inputs, y + part->h_width);
        std::copy_n(y + stage.inputs, part->h_width, h);
      }
    }
    if (part != nullptr && part->step) part->step->run(n, watch);
  }
  if (stopped(watch)) return false;
  for (Index i = 0; i < n; ++i) {
    Slot& slot = slots[chosen[i]];
    std::copy_n(rows.back()[i], model->outputs(), result(slot, slot.ready));
    slot.current ^= 1;
    slot.first_waiting = (slot.first_waiting + 1) % queue;
    --slot.waiting;
    ++slot.ready;
  }
  return true;
}

StreamPool::StreamPool(std::shared_ptr<const Model> model, Index capacity, Index queue)
    : data_(std::make_unique<Data>()) {
  if (model == nullptr) throw Error("model: expected one, got null");
  if (capacity < 1 || capacity > 0x7fffffff)
    throw Error("capacity: expected 1 or more streams, got " + std::to_string(capacity));
  if (queue < 1) throw Error("queue: expected 1 or more steps, got " + std::to_string(queue));
  if (model->stages().empty()) throw Error("model: expected at least one layer");
  check_stepwise(*model);
  Index widest = model->inputs() + model->outputs() + 64;
  for (const auto& stage : model->stages())
    widest += 4 * (stage->outputs + 64) + stage->pointers() + Index(stage->widths.size());
  if (queue > PTRDIFF_MAX / 64 / capacity / widest) throw std::bad_alloc();
  Data& data = *data_;
  data.capacity = capacity;
  data.queue = queue;
  data.slots.resize(capacity);
  data.chosen.resize(capacity);
  for (Index b = capacity; b > 0; --b) data.free.push_back(b - 1);
  const std::size_t layers = model->stages().size();
  data.rows.assign(layers + 1, std::vector<const float*>(std::size_t(capacity)));
  data.values.resize(layers);
  for (const auto& stage : model->stages()) {
    data.parts.push_back(stage->has_state() ? std::make_unique<Part>(*stage, capacity) : nullptr);
    data.lists.resize(std::max(data.lists.size(), stage->widths.size()));
    data.pointers.resize(std::max(data.pointers.size(), std::size_t(capacity * stage->pointers())));
  }
  data.memory = allocate([&](Arena& arena) {
    arena.take(data.inputs, capacity * queue * model->inputs());
    arena.take(data.results, capacity * queue * model->outputs());
    place_values(
        *model, capacity, arena, [](const Stage& stage) { return !stage.is_recurrent(); },
        [&](std::size_t i, float* memory) { data.values[i] = memory; });
    for (const auto& part : data.parts)
      if (part != nullptr) part->place(capacity, arena);
  });
  data.model = std::move(model);
}
StreamPool::~StreamPool() = default;
StreamPool::StreamPool(StreamPool&& other) noexcept = default;
StreamPool& StreamPool::operator=(StreamPool&& other) noexcept = default;

StreamPool::Stream StreamPool::open() noexcept {
  Data& data = *data_;
  if (data.free.empty()) return kNone;
  const Index b = data.free.back();
  data.free.pop_back();
  Slot& slot = data.slots[b];
  slot.open = true;
  slot.generation = (slot.generation + 1) & 0x7fffffff;
  data.clear(slot);
  ++data.open_count;
  return Stream(slot.generation) << 32 | b;
}

StreamPool::Result StreamPool::close(Stream stream) noexcept {
  Slot* slot = data_->find(stream);
  if (slot == nullptr) return Result::unknown_stream;
  slot->open = false;
  slot->waiting = slot->ready = 0;
  data_->free.push_back(data_->index_of(*slot));  // allocates nothing: the list has had all slots
  --data_->open_count;
  return Result::ok;
}

StreamPool::Result StreamPool::reset(Stream stream) noexcept {
  Slot* slot = data_->find(stream);
  if (slot == nullptr) return Result::unknown_stream;
  data_->clear(*slot);
  return Result::ok;
}

StreamPool::Result StreamPool::push(Stream stream, const float* x, Index steps) noexcept {
  Data& data = *data_;
  Slot* slot = data.find(stream);
  if (slot == nullptr) return Result::unknown_stream;
  if (steps > data.queue - slot->waiting - slot->ready) return Result::full;
  const Index inputs = data.model->inputs();
  for (Index t = 0; t < steps; ++t) std::copy_n(x + t * inputs, inputs, data.input(*slot, slot->waiting++));
  return Result::ok;
}

StreamPool::Result StreamPool::drop_waiting(Stream stream) noexcept {
  Slot* slot = data_->find(stream);
  if (slot == nullptr) return Result::unknown_stream;
  slot->waiting = 0;
  return Result::ok;
}

Index StreamPool::advance(Index most) noexcept {
  Data& data = *data_;
  Index n = 0, b = data.next;
  for (Index seen = 0; seen < data.capacity && n < most; ++seen) {
    if (data.slots[b].waiting > 0) data.chosen[n++] = b;
    b = b + 1 < data.capacity ? b + 1 : 0;
  }
  if (n > 0 && !data.compute(n, current_watch())) return 0;
  data.next = b;
  return n;
}

Index StreamPool::pull(Stream stream, float* y, Index most) noexcept {
  Data& data = *data_;
  Slot* slot = data.find(stream);
  if (slot == nullptr) return -1;
  const Index n = std::max<Index>(0, std::min(most, slot->ready)), outputs = data.model->outputs();
  for (Index t = 0; t < n; ++t) std::copy_n(data.result(*slot, t), outputs, y + t * outputs);
  slot->first_ready = (slot->first_ready + n) % data.queue;
  slot->ready -= n;
  return n;
}

Index StreamPool::waiting(Stream stream) const noexcept {
  const Slot* slot = data_->find(stream);
  return slot != nullptr ? slot->waiting : -1;
}
Index StreamPool::ready(Stream stream) const noexcept {
  const Slot* slot = data_->find(stream);
  return slot != nullptr ? slot->ready : -1;
}
Index StreamPool::runnable() const noexcept {
  return std::count_if(data_->slots.begin(), data_->slots.end(), [](const Slot& slot) { return slot.waiting > 0; });
}

std::size_t StreamPool::state_bytes() const noexcept { return state_size(*data_->model, 1); }

StreamPool::Result StreamPool::get_state(Stream stream, void* bytes) const noexcept {
  const Slot* slot = data_->find(stream);
  if (slot == nullptr) return Result::unknown_stream;
  write_states(*data_->model, 1, bytes,
               [&](std::size_t stage, Index j, Index) { return data_->state(stage, j, *slot); });
  return Result::ok;
}

bool StreamPool::set_state(Stream stream, const void* bytes, std::size_t count) noexcept {
  const Slot* slot = data_->find(stream);
  return slot != nullptr && read_states(*data_->model, 1, bytes, count, [&](std::size_t stage, Index j, Index) {
           return data_->state(stage, j, *slot);
         });
}

const Model& StreamPool::model() const noexcept { return *data_->model; }
Index StreamPool::capacity() const noexcept { return data_->capacity; }
Index StreamPool::queue() const noexcept { return data_->queue; }
Index StreamPool::size() const noexcept { return data_->open_count; }
std::size_t StreamPool::bytes() const noexcept { return data_->memory.bytes(); }

}  // namespace fastrnn
