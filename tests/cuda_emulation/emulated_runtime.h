// The Runtime over the emulation, so that the host side runs without CUDA. Device memory is the heap, filled with NaN,
// each array between fences that a kernel must not touch, and the pretended devices are those of the planner's table.
#pragma once

#include <set>
#include <vector>

#include "cuda/plan/devices.h"
#include "cuda/shared/kernel_table.h"
#include "cuda/shared/runtime.h"
#include "emulation.h"

namespace fastrnn::cuda {

/// The lists of the kernels that a test has compiled: it defines this.
std::vector<KernelList> compiled_kernels();

class EmulatedRuntime : public Runtime {
 public:
  explicit EmulatedRuntime(const DeviceSpec& spec);

  void* allocate(std::size_t bytes) override;
  void release(void* memory) noexcept override;
  void copy_in(void* device, const void* host, std::size_t bytes) override;
  void copy_out(void* host, const void* device, std::size_t bytes) override;
  void clear(void* device, std::size_t bytes) override;
  void multiply(const Product& product) override;
  int resident_blocks(const void* kernel, const LaunchShape& shape) override;
  void launch(const void* kernel, const LaunchShape& shape, void* params) override;
  /// As CUDA's: done once, recorded, and then launched with what was passed when it was recorded.
  void repeat(const std::string& kind, int times, const std::function<void()>& work) override;
  void wait() override { waited += 1; }
  void follow(void*) override {}
  std::unique_ptr<Mark> mark() override { return std::make_unique<Mark>(); }
  void follow(const Mark&) override {}

  std::size_t live() const { return live_.size(); }
  int allocated = 0, waited = 0;
  int lose_blocks = 0;
  bool lose_room = false;
  Tier last_tier = Tier::graph;

 private:
  emulation::Device device_;
  std::set<void*> live_;
  bool recording_ = false;
  std::vector<std::pair<emulation::Launch, std::function<void()>>> recorded_;
};

}  // namespace fastrnn::cuda
