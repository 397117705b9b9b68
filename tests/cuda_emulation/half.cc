// IEEE 754 binary16 in software: GCC 12 has no _Float16 in C++.
#include <cmath>
#include <cstdint>
#include <cstring>

namespace fastrnn::cuda::emulation {

unsigned short to_half(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const unsigned sign = bits >> 16 & 0x8000;
  const float magnitude = std::fabs(value);
  if (value != value) return (unsigned short)(sign | 0x7fff);  // what cvt.rn.f16.f32 gives for any NaN
  if (magnitude >= 65520.0f) return (unsigned short)(sign | 0x7c00);
  // A multiple of the last place of a half of this size; nearbyint rounds ties to even.
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  const int place = exponent - 11 < -24 ? -24 : exponent - 11;
  const double units = std::nearbyint(std::ldexp(double(magnitude), -place));
  const double rounded = std::ldexp(units, place);
  if (rounded == 0) return (unsigned short)sign;
  std::frexp(rounded, &exponent);
  if (exponent - 11 < -24) return (unsigned short)(sign | unsigned(std::ldexp(rounded, 24)));  // subnormal
  const unsigned mantissa = unsigned(std::ldexp(rounded, 11 - exponent)) & 0x3ff;
  return (unsigned short)(sign | unsigned(exponent + 14) << 10 | mantissa);
}

float from_half(unsigned short bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 0x3ff;
  const float sign = bits & 0x8000 ? -1.0f : 1.0f;
  if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(float(mantissa), -24);
  return sign * std::ldexp(float(mantissa | 0x400), exponent - 25);
}

}  // namespace fastrnn::cuda::emulation
