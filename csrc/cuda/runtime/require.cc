// Devices by name and by number.
#include <algorithm>

#include "fastrnn/cuda.hpp"

namespace fastrnn {

int parse_cuda_device(const std::string& name) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (name == "cuda") return 0;
  if (name.rfind("cuda:", 0) == 0 && name.size() > 5 && name.size() < 12 &&
      std::all_of(name.begin() + 5, name.end(), digit))
    return std::stoi(name.substr(5));
  throw std::invalid_argument("device: expected 'cpu', 'cuda' or 'cuda:N', got '" + name + "'");
}

void require_cuda_device(int ordinal) {
  const CudaStatus status = cuda_status();
  if (status.devices.empty())
    throw CudaError(status.code, "device: expected a CUDA device, got none: " + status.reason);
  if (ordinal < 0 || ordinal >= int(status.devices.size()))
    throw CudaError(0, "device: expected a number below " + std::to_string(status.devices.size()) + ", got " +
                           std::to_string(ordinal));
}

}  // namespace fastrnn
