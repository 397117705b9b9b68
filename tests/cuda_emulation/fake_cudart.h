// What the fake CUDA runtime was asked to do, and how it answers.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "cuda_runtime_api.h"

namespace fake {

struct State {
  std::vector<std::string> calls;       // the names of all calls, in order
  std::set<int> contexts;               // devices that have one: any call that needs a device makes its context
  std::vector<cudaStream_t> streams;    // of launches and copies, in order
  std::vector<int> devices;             // those that were current at launches
  std::map<std::string, int> settings;  // by what was set, with its value
  int image = 90;                       // ptxVersion; 0: the kernels have no image for the device
  int device = 0;                       // the current one
  bool capturing = false;               // the caller's stream is
  bool other_graph = false;             // the next update of a graph fails
  std::size_t live = 0;                 // allocations
  int count(const std::string& name) const;
};
State& state();

}  // namespace fake
