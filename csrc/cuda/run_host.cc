#include "cuda/run_host.h"

#include <algorithm>
#include <memory>

#include "cuda/run_device.h"

namespace fastrnn::cuda {

namespace {

/// Buffers of a call, and their contents.
class Upload {
 public:
  explicit Upload(Runtime& runtime) : runtime_(runtime) {}

  template <class T = float>
  T* room(std::size_t count) {
    buffers_.push_back(std::make_unique<Buffer>(runtime_, count * sizeof(T)));
    return buffers_.back()->as<T>();
  }
  /// Null stays null.
  template <class T>
  const T* send(const T* host, std::size_t count) {
    if (host == nullptr || count == 0) return nullptr;
    T* device = room<T>(count);
    runtime_.copy_in(device, host, count * sizeof(T));
    return device;
  }

 private:
  Runtime& runtime_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
};

}  // namespace

void forward_from_host(Runtime& runtime, const DeviceSpec& device, const CellOptions& cell, const Parameters<float>& p,
                       const ForwardArguments<float>& a, Type type, std::optional<Tier> tier) {
  check_call(cell, p, a);
  if (a.batch == 0) return;
  const Index gates = gate_count(cell.cell), hidden = p.hidden, width = p.w_hr != nullptr ? p.projection : hidden;
  const Index c_states = cell_state_count(cell.cell);
  const std::size_t outputs = std::size_t(a.steps * a.batch * width), states = std::size_t(a.batch * width),
                    cells = std::size_t(c_states * a.batch * hidden);
  const bool full = cell.peephole == Peephole::full, diagonal = cell.cell == CellType::indrnn;
  std::vector<float> x(std::size_t(a.steps * a.batch * p.inputs)), y(outputs);
  for (Index t = 0; t < a.steps; ++t)
    for (Index b = 0; b < a.batch; ++b) std::copy_n(a.x.at(t, b), p.inputs, x.data() + (t * a.batch + b) * p.inputs);

  Upload upload(runtime);
  Parameters<float> parameters = p;
  parameters.w_ih = upload.send(p.w_ih, std::size_t(gates * hidden * p.inputs));
  parameters.w_hh = upload.send(p.w_hh, std::size_t(diagonal ? hidden : gates * hidden * width));
  parameters.b_ih = upload.send(p.b_ih, std::size_t(gates * hidden));
  parameters.b_hh = upload.send(p.b_hh, std::size_t(gates * hidden));
  parameters.w_peep = upload.send(p.w_peep, std::size_t(full ? 3 * hidden * hidden : 3 * hidden));
  parameters.w_hr = upload.send(p.w_hr, std::size_t(width * hidden));
  parameters.ln_ih = upload.send(p.ln_ih, std::size_t(gates * hidden));
  parameters.ln_hh = upload.send(p.ln_hh, std::size_t(gates * hidden));
  parameters.ln_c = upload.send(p.ln_c, std::size_t(2 * hidden));
  ForwardArguments<float> arguments = a;
  arguments.x = {upload.send(x.data(), x.size()), a.batch * p.inputs, p.inputs};
  arguments.h0 = upload.send(a.h0, states);
  arguments.c0 = upload.send(a.c0, cells);
  arguments.y = {upload.room(outputs), a.batch * width, width};
  arguments.h_n = upload.room(states);
  if (a.c_n != nullptr) arguments.c_n = upload.room(cells);
  forward_from_device(runtime, device, cell, parameters, arguments, type, tier);
  runtime.copy_out(y.data(), arguments.y.data, outputs * sizeof(float));
  runtime.copy_out(a.h_n, arguments.h_n, states * sizeof(float));
  if (a.c_n != nullptr) runtime.copy_out(a.c_n, arguments.c_n, cells * sizeof(float));
  runtime.wait();
  for (Index t = 0; t < a.steps; ++t)
    for (Index b = 0; b < a.batch; ++b) std::copy_n(y.data() + (t * a.batch + b) * width, width, a.y.at(t, b));
}

}  // namespace fastrnn::cuda
