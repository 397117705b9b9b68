// Which kernel a call would take, and why, without running it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "fastrnn/cuda.hpp"
#include "fastrnn/fastrnn.hpp"

namespace fastrnn {

struct PlanQuery {
  CellOptions cell;
  Index inputs = 0, hidden = 0, batch = 1, steps = 1;
  std::string dtype = "float32";
  bool training = false;
};

/// A forward call on this machine.
struct CpuPlan {
  std::string kernel;  // "avx2 float32, general form"
  std::string split;   // "one thread", "units", "rows, copied" or "rows in place"
  std::string reason;  // why that one
  int threads = 1;
  Index chunk = 0;               // steps whose W x is computed ahead
  std::size_t weight_bytes = 0;  // of the recurrent matrices as packed
  double flops_per_step = 0;     // all rows, W x included
};

/// threads: 0 for num_threads().
FASTRNN_API CpuPlan plan_cpu(const PlanQuery& query, int threads = 0);

/// A layer in one direction on a GPU. Times are predicted from the constants in csrc/cuda; this project has measured
/// none.
struct CudaPlan {
  std::string device;
  std::string tier;  // "block", "cluster", "grid", "stream" or "graph"
  int blocks = 0, cluster = 1, threads = 0, waves = 1;
  int units = 0, rows = 0;                            // units of a block; rows of the batch tile that its group shares
  int registers = 0;                                  // of a thread, at most
  std::size_t shared_memory = 0;                      // bytes of a block
  std::size_t register_weights = 0;                   // bytes of a block
  std::size_t shared_weights = 0;                     // bytes of a block
  double flops_per_step = 0;                          // in R h
  double bytes_per_step = 0;                          // between the multiprocessors and the memories that they share
  double us_per_step = 0;                             // predicted
  std::vector<std::pair<std::string, double>> terms;  // the parts of us_per_step, in one wave
  std::vector<std::pair<std::string, std::string>>
      reasons;  // each tier and why it is not taken; empty for the one that is
};

/// device: "A100", "H100", "H200", "B200", "RTX 4090", or "cuda", "cuda:N" for one of this machine. backward: plan the
/// backward recurrence, without the products that follow it. tier: empty for the fastest.
FASTRNN_API CudaPlan plan_cuda(const PlanQuery& query, const std::string& device, bool backward = false,
                               const std::string& tier = "");

}  // namespace fastrnn
