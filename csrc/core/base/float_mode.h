// Denormals count as zero for the length of a scope: they would slow the recurrence twentyfold, and nothing is learned
// from numbers below 1e-38. The caller's own mode is restored.
#pragma once

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace fastrnn {

#if defined(__x86_64__)
constexpr unsigned long long kFlushes = 0x8040;  // FTZ and DAZ
inline unsigned long long float_mode() { return _mm_getcsr(); }
inline void set_float_mode(unsigned long long mode) { _mm_setcsr(static_cast<unsigned>(mode)); }
#elif defined(__aarch64__)
constexpr unsigned long long kFlushes = 1ull << 24;  // FZ
inline unsigned long long float_mode() {
  unsigned long long mode;
  asm volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
}
inline void set_float_mode(unsigned long long mode) { asm volatile("msr fpcr, %0" ::"r"(mode)); }
#else
constexpr unsigned long long kFlushes = 0;
inline unsigned long long float_mode() { return 0; }
inline void set_float_mode(unsigned long long) {}
#endif

class FlushDenormals {
 public:
  FlushDenormals() : saved_(float_mode()) { set_float_mode(saved_ | kFlushes); }
  ~FlushDenormals() { set_float_mode(saved_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  const unsigned long long saved_;
};

}  // namespace fastrnn
