// Checks of a test program, counted.
#pragma once

#include <cstdio>
#include <string>

namespace fastrnn::cuda::emulation {

inline int checks = 0, failures = 0;

inline void expect(bool right, const std::string& what) {
  ++checks;
  if (right) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

/// Says how many there were; the exit status.
inline int finish(const char* name) {
  std::printf("%s: %d checks, %d failed\n", name, checks, failures);
  return failures == 0 && checks > 0 ? 0 : 1;
}

}  // namespace fastrnn::cuda::emulation
