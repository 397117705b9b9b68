#include "cuda/run/run_stack.h"

#include <algorithm>

#include "core/backend/options.h"
#include "core/base/random.h"
#include "cuda/shared/norm.h"

namespace fastrnn::cuda {

namespace {

using How = CombineParams::How;

/// each(row of the table of parameters, elements) for every array that a layer may have.
template <class Each>
void each_parameter(const CellOptions& options, const Parameters<float>& p, const Each& each) {
  const Index outputs = p.w_hr != nullptr ? p.projection : p.hidden;
  for (const auto& row : cells::kParameterTable<float>) {
    Index count = 1;
    for (const Index extent :
         cells::parameter_shape(options.cell, row.name, {p.inputs, p.hidden, outputs, options.peephole}))
      count *= extent;
    each(row, count);
  }
}

/// Normalises the stride of a single step or row; true if the rows (t,b) are contiguous.
template <class T>
bool in_line(Sequence<T>& rows, Index steps, Index batch) {
  if (steps <= 1) rows.step = batch * rows.row;
  if (batch <= 1) rows.row = rows.step;
  return rows.step == batch * rows.row;
}

void combine_all(Runtime& runtime, How how, Index steps, Index batch, Index width, const Sequence<const float>& a,
                 const Sequence<const float>& b, const Sequence<float>& to, RandomMask mask, bool same_mask) {
  const auto rows = [](const auto& s) { return Rows<std::remove_pointer_t<decltype(s.data)>>{s.data, s.step, s.row}; };
  combine_rows(runtime, {how, int(steps), int(batch), int(width), rows(a), rows(b), rows(to), mask, same_mask});
}

/// DropConnect: w_hh, or its gradient, times the mask that was drawn for these weights.
void drop_weights(Runtime& runtime, const CellOptions& options, Index rows, Index columns, const float* from,
                  float* to) {
  const Masks masks(options.seed, options.stream, MaskKind::weight_dropout, options.weight_dropout);
  combine_all(runtime, How::copy, 1, rows, columns, {from, 0, columns}, {}, {to, 0, columns}, random_mask(masks), true);
}
bool drops_weights(const CellOptions& options) {
  return options.weight_dropout > 0 && cells::has(options.cell, "weight_dropout");
}

void refuse(bool given, const char* name, const char* where) {
  if (given) throw Error(std::string(name) + ": expected nothing " + where + ", got a value");
}

StackShape checked(const DeviceStack& stack, const ForwardArguments<float>& a, bool training) {
  const StackShape shape = shape_of_stack(stack.layers, stack.directions, stack.merge, stack.dropout);
  if (a.reverse && stack.layers.size() > 1) throw Error("reverse: expected false for a stack, got true");
  check_run(stack.layers[0]->options().cell, a);
  refuse(training && a.checkpoint_every > 0, "checkpoint_every", "in training on a GPU");
  return shape;
}

}  // namespace

const float* Upload::send(const float* array, Index count) {
  if (on_device_ || array == nullptr || count == 0) return on_device_ ? array : nullptr;
  float* device = room(count);
  runtime_.copy_in(device, array, std::size_t(count) * sizeof(float));
  return device;
}

UserRows::UserRows(Runtime& runtime, const ForwardArguments<float>& a)
    : runtime_(runtime),
      grid_(a),
      batch_(a.batch),
      before_(runtime, packed() ? std::size_t(a.steps + 1) * sizeof(int) : 0) {
  if (!packed()) return;
  std::vector<int> before;
  lengths_.assign(std::size_t(batch_), 0);
  for (Index t = 0; t < a.steps; ++t) {
    before.push_back(int(grid_.before(t)));
    for (Index b = 0; b < grid_.rows(t); ++b) ++lengths_[std::size_t(b)];
  }
  before.push_back(int(grid_.total()));
  runtime.copy_in(before_.as<void>(), before.data(), before.size() * sizeof(int));
}

ForwardArguments<float> UserRows::spread(const ForwardArguments<float>& arguments) const {
  ForwardArguments<float> result = arguments;
  if (packed()) result.lengths = lengths_.data();
  result.batch_sizes = nullptr;
  return result;
}

void UserRows::copy(bool spread, float* array, Index row, Index width, const Sequence<float>& rows) const {
  copy_packed(
      runtime_,
      {int(steps()), int(batch_), int(width), spread, before_.as<int>(), array, row, {rows.data, rows.step, rows.row}});
}

Sequence<const float> Upload::send(const Sequence<const float>& given, const UserRows& user, Index width) {
  Sequence<const float> rows = given;
  const Index steps = user.steps(), batch = user.batch(), count = steps * batch * width;
  if (rows.data == nullptr || (on_device_ && !user.packed() && in_line(rows, steps, batch))) return rows;
  Sequence<float> together = {nullptr, batch * width, width};
  if (on_device_) {
    together.data = room(count);
    if (user.packed())
      user.copy(/*spread=*/true, const_cast<float*>(rows.data), rows.row, width, together);  // `rows` is only read
    else
      combine_all(runtime_, How::copy, steps, batch, width, rows, {}, together, {}, false);
    return read(together);
  }
  std::vector<float> values(std::size_t(count), 0.0f);
  for (Index t = 0; t < steps; ++t)
    for (Index b = 0; b < user.grid().rows(t); ++b)
      std::copy_n(user.grid().at(rows, t, b), width, values.data() + (t * batch + b) * width);
  return {send(values.data(), count), batch * width, width};
}

Sequence<float> Upload::place(const Sequence<float>& given, const UserRows& user, Index width) {
  Sequence<float> rows = given;
  const Index steps = user.steps(), batch = user.batch();
  if (rows.data == nullptr || (on_device_ && !user.packed() && in_line(rows, steps, batch))) return rows;
  return {room(steps * batch * width), batch * width, width};
}

DeviceLayer::DeviceLayer(Runtime& runtime, const CellOptions& options, const Parameters<float>& given, bool on_device)
    : options_(options), upload_(runtime, on_device), parameters_(given) {
  check_options(options, given, PackOptions{});
  each_parameter(options, given,
                 [&](const auto& row, Index count) { parameters_.*row.value = upload_.send(given.*row.value, count); });
  if (!drops_weights(options)) return;
  const Index rows = gate_count(options.cell) * hidden();
  float* dropped = upload_.room(rows * outputs());
  drop_weights(runtime, options, rows, outputs(), parameters_.w_hh, dropped);
  parameters_.w_hh = dropped;
}

StackRun::StackRun(Runtime& runtime, const DeviceSpec& device, const DeviceStack& stack,
                   const ForwardArguments<float>& a, bool training, bool on_device)
    : runtime_(runtime),
      device_(device),
      stack_(stack),
      shape_(checked(stack, a, training)),
      training_(training),
      on_device_(on_device),
      user_(runtime, a),
      arguments_(user_.spread(a)),
      rows_(a.steps * a.batch),
      h_size_(a.batch * shape_.own),
      c_size_(shape_.states * a.batch * shape_.hidden),
      upload_(runtime, on_device),
      jobs_(stack.layers.size()),
      own_(stack.layers.size()) {
  const Index count = Index(jobs_.size());
  for (int d = 0; d < shape_.directions; ++d) {
    ForwardArguments<float> run = arguments_;
    run.reverse = a.reverse || d == 1;
    steps_.push_back(std::make_unique<RowSteps>(runtime, run));
  }
  h0_ = upload_.send(a.h0, count * h_size_);
  c0_ = shape_.states > 0 ? upload_.send(a.c0, count * c_size_) : nullptr;
  h_n_ = on_device ? a.h_n : upload_.room(count * h_size_);
  c_n_ = shape_.states == 0 ? nullptr : on_device ? a.c_n : upload_.room(count * c_size_);
  // Inference takes the rows of arrays on the device as they lie, and copies none.
  const bool as_they_lie = on_device && !training && !user_.packed();
  const Sequence<float> last = as_they_lie ? a.y : upload_.place(a.y, user_, shape_.merged);
  Sequence<const float> x = as_they_lie ? a.x : upload_.send(a.x, user_, shape_.inputs);
  float* between[2] = {};
  for (int layer = 0; layer < shape_.layers; ++layer) {
    const bool is_last = layer + 1 == shape_.layers;
    float*& room = between[layer % 2];
    if (!is_last && (room == nullptr || training)) room = upload_.room(rows_ * shape_.merged);
    const Sequence<float> y = is_last ? last : rows(room, shape_.merged);
    run_layer(layer, x, y);
    x = read(y);
    if (is_last || !training || stack.dropout <= 0) continue;
    // A layer reads its own output again, as the states before its steps: only a merged one may be changed in place.
    const Sequence<float> to = shape_.concat ? rows(upload_.room(rows_ * shape_.merged), shape_.merged) : y;
    combine(How::copy, shape_.merged, x, {}, to, mask_between(layer));
    x = read(to);
  }
  receive(a.h_n, h_n_, count * h_size_);
  receive(a.c_n, c_n_, count * c_size_);
  receive(a.y, last, shape_.merged);
}

void StackRun::run_layer(int layer, const Sequence<const float>& x, const Sequence<float>& y) {
  const Index states = shape_.states * rows_ * shape_.hidden;
  for (int d = 0; d < shape_.directions; ++d) {
    const int index = layer * shape_.directions + d;
    const DeviceLayer& weights = *stack_.layers[std::size_t(index)];
    ForwardArguments<float> call = call_of(arguments_, index, d, 0);
    call.reverse = arguments_.reverse || d == 1;
    call.dropout.stream += arguments_.dropout.stream;
    call.x = x;
    if (const RandomMask mask = mask_of_inputs(index); mask.threshold > 0) {
      const Sequence<float> dropped = rows(upload_.room(rows_ * weights.inputs()), weights.inputs());
      combine(How::copy, weights.inputs(), x, {}, dropped, mask, true);
      call.x = read(dropped);
    }
    if (!shape_.concat) own_[std::size_t(index)] = rows(upload_.room(rows_ * shape_.own), shape_.own);
    call.y = shape_.concat ? from_column(y, d * shape_.own) : own_[std::size_t(index)];
    call.h0 = state(h0_, index, h_size_);
    call.c0 = state(c0_, index, c_size_);
    call.h_n = state(h_n_, index, h_size_);
    call.c_n = state(c_n_, index, c_size_);
    ForwardJob& job = jobs_[std::size_t(index)];
    job = make_job(weights.options(), weights.parameters(), call, stack_.type, *steps_[std::size_t(d)], training_);
    if (training_) {
      const cells::Options& options = job.problem.options;
      const int columns = saved_columns(cells::describe(job.problem.kind, options), options);
      job.gates = upload_.room(std::max<Index>(rows_ * columns * shape_.hidden, 1));
      if (options.layer_norm) job.extension.statistics = upload_.room(rows_ * kStatistics);
      job.c = upload_.room(states);
    }
    if (arguments_.batch > 0) run_forward(runtime_, device_, job, stack_.tier);
  }
  if (shape_.concat) return;
  const Sequence<float>* own = &own_[std::size_t(layer) * 2];
  const How how = stack_.merge == Merge::sum ? How::sum : stack_.merge == Merge::mean ? How::mean : How::product;
  combine(how, shape_.own, read(own[0]), read(own[1]), y);
}

void StackRun::backward(const StackBackwardArguments<float>& gradients) const {
  const Index count = Index(jobs_.size());
  if (Index(gradients.parameters.size()) != count)
    throw Error("parameters: expected " + std::to_string(count) + ", got " +
                std::to_string(gradients.parameters.size()));
  Upload upload(runtime_, on_device_);
  // Kernels write both, whether the caller wants them or not.
  const auto wanted = [&](float* array, Index n) { return array != nullptr ? upload.place(array, n) : upload.room(n); };
  float *dh0 = wanted(gradients.dh0, count * h_size_), *dc0 = wanted(gradients.dc0, count * c_size_);
  const float *dh_n = upload.send(gradients.dh_n, count * h_size_),
              *dc_n = shape_.states > 0 ? upload.send(gradients.dc_n, count * c_size_) : nullptr;
  const Sequence<float> first = upload.place(gradients.dx, user_, shape_.inputs);
  Sequence<const float> dy = upload.send(gradients.dy, user_, shape_.merged);
  std::vector<BackwardJob> jobs(jobs_.size());
  for (int layer = shape_.layers - 1; layer >= 0; --layer) {
    const Sequence<float> dx = layer > 0 ? rows(upload.room(rows_ * shape_.merged), shape_.merged) : first;
    for (int d = 0; d < shape_.directions; ++d) {
      const int index = layer * shape_.directions + d;
      const DeviceLayer& weights = *stack_.layers[std::size_t(index)];
      BackwardJob& job = jobs[std::size_t(index)];
      static_cast<LayerJob&>(job) = jobs_[std::size_t(index)];
      job.dh_n = state(dh_n, index, h_size_);
      job.dc_n = state(dc_n, index, c_size_);
      job.dh0 = state(dh0, index, h_size_);
      job.dc0 = state(dc0, index, c_size_);
      each_parameter(weights.options(), weights.parameters(), [&](const auto& row, Index count) {
        job.parameters.*row.gradient = upload.place(gradients.parameters[std::size_t(index)].*row.gradient, count);
      });
      run_back(index, gradient_of(layer, d, dy, upload), dx, d > 0, job, upload);
    }
    dy = read(dx);
    if (layer > 0 && stack_.dropout > 0) combine(How::copy, shape_.merged, dy, {}, dx, mask_between(layer - 1));
  }
  receive(gradients.dh0, dh0, count * h_size_);
  receive(gradients.dc0, dc0, count * c_size_);
  for (std::size_t index = 0; index < jobs.size(); ++index)
    each_parameter(stack_.layers[index]->options(), stack_.layers[index]->parameters(),
                   [&](const auto& row, Index count) {
                     receive(gradients.parameters[index].*row.gradient, jobs[index].parameters.*row.gradient, count);
                   });
  receive(gradients.dx, first, shape_.inputs);
  if (!on_device_) runtime_.wait();
}

/// The gradient of one direction's output, from the gradient of the merged output.
Sequence<const float> StackRun::gradient_of(int layer, int direction, const Sequence<const float>& dy,
                                            Upload& upload) const {
  if (dy.data == nullptr || shape_.directions == 1 || stack_.merge == Merge::sum) return dy;
  if (shape_.concat) return from_column(dy, direction * shape_.own);
  const Sequence<float> to = rows(upload.room(rows_ * shape_.own), shape_.own);
  const Sequence<float>& other = own_[std::size_t(layer * 2 + 1 - direction)];
  combine(stack_.merge == Merge::mul ? How::product : How::half, shape_.own, dy, read(other), to);
  return read(to);
}

/// Runs the backward pass of a layer and direction; dx += with `add`, and no dx where its data is null.
void StackRun::run_back(int index, const Sequence<const float>& dy, const Sequence<float>& dx, bool add,
                        BackwardJob& job, Upload& upload) const {
  const ForwardJob& forward = jobs_[std::size_t(index)];
  const DeviceLayer& weights = *stack_.layers[std::size_t(index)];
  job.y = forward.y;
  job.y_row = forward.y_row;
  job.gates = forward.gates;
  job.c = forward.c;
  job.dy = dy.data;
  job.dy_row = dy.row;
  const RandomMask mask = mask_of_inputs(index);
  const bool masked = mask.threshold > 0 && dx.data != nullptr;
  const Sequence<float> unmasked = masked ? rows(upload.room(rows_ * weights.inputs()), weights.inputs()) : dx;
  job.dx = unmasked.data;
  job.dx_row = unmasked.row;
  job.add_dx = add && !masked;
  run_backward(runtime_, device_, job, stack_.tier);
  if (masked) combine(How::copy, weights.inputs(), read(unmasked), {}, add ? unmasked : dx, mask, true);
  if (masked && add) combine(How::sum, weights.inputs(), read(dx), read(unmasked), dx);
  if (drops_weights(weights.options()) && job.parameters.dw_hh != nullptr)
    drop_weights(runtime_, weights.options(), gate_count(weights.options().cell) * weights.hidden(), weights.outputs(),
                 job.parameters.dw_hh, job.parameters.dw_hh);
}

void StackRun::combine(How how, Index width, const Sequence<const float>& a, const Sequence<const float>& b,
                       const Sequence<float>& to, RandomMask mask, bool same_mask) const {
  combine_all(runtime_, how, arguments_.steps, arguments_.batch, width, a, b, to, mask, same_mask);
}

RandomMask StackRun::mask_between(int layer) const {
  return random_mask(Masks(arguments_.dropout.seed, std::uint32_t(layer), MaskKind::between_layers, stack_.dropout));
}

/// The dropout mask of x in training, the same at all steps.
RandomMask StackRun::mask_of_inputs(int index) const {
  const DropoutOptions& dropout = arguments_.dropout;
  return random_mask(
      Masks(dropout.seed, dropout.stream + std::uint32_t(index), MaskKind::dropout, training_ ? dropout.inputs : 0));
}

void StackRun::receive(float* host, const float* device, Index count) const {
  if (!on_device_ && host != nullptr && count > 0) runtime_.copy_out(host, device, std::size_t(count) * sizeof(float));
}

void StackRun::receive(const Sequence<float>& user, const Sequence<float>& device, Index width) const {
  if (user.data == nullptr || (on_device_ && user.data == device.data)) return;
  if (on_device_ && user_.packed()) return user_.copy(/*spread=*/false, user.data, user.row, width, device);
  if (on_device_) return combine(How::copy, width, read(device), {}, user);
  std::vector<float> together(std::size_t(rows_ * width));
  receive(together.data(), device.data, Index(together.size()));
  runtime_.wait();
  const float* row = together.data();
  for (Index t = 0; t < user_.steps(); ++t, row += arguments_.batch * width)
    for (Index b = 0; b < user_.grid().rows(t); ++b) std::copy_n(row + b * width, width, user_.grid().at(user, t, b));
}

}  // namespace fastrnn::cuda
