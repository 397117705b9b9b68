// What one core can do at most: multiply-adds per second in float32, and in int8 and bfloat16 where the instruction set
// has their dot products; and bytes read per second from each cache level.
//
// usage: roofline [NAME=BYTES[*THREADS] ...]     e.g. roofline L1=16384 L2=262144 memory=268435456 both=4194304*2
// A NAME is a cache level, or whatever else has so many bytes to read over and over, each of the threads its part.
// Prints one JSON object. Build with the flags of the instruction set in question; the width is FASTRNN_ROOFLINE_BYTES
// per vector. GCC's vector extensions (Clang has them too) keep all but the dot products free of intrinsics:
// -ffp-contract=fast turns a * b + c into a fused multiply-add where the instruction set has one, and into two
// instructions where it has not.

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__AVX512VNNI__) || defined(__AVX512BF16__)
#include <immintrin.h>
#endif
#if defined(__aarch64__)
#include <arm_neon.h>
#endif

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#ifndef FASTRNN_ROOFLINE_BYTES
#error "FASTRNN_ROOFLINE_BYTES: the bytes of a vector of the instruction set in question"
#endif

namespace {

using Floats = float __attribute__((vector_size(FASTRNN_ROOFLINE_BYTES)));
using Ints = int __attribute__((vector_size(FASTRNN_ROOFLINE_BYTES)));
constexpr int kLanes = FASTRNN_ROOFLINE_BYTES / 4;
// Two multiply-adds a cycle of latency 4 need 8 accumulators, of latency 5 ten; with two operands 14 of 16 registers.
constexpr int kAccumulators = 12;
constexpr int kReads = 8;
// The best of many short trials counts: a bound is wanted, and other processes only ever slow a trial. A trial shorter
// than the scheduler's time slice can pass undisturbed on a busy machine.
constexpr double kSecondsPerTrial = 1e-3;
constexpr double kSecondsPerFigure = 0.3;
constexpr int kTrialsAtLeast = 5;
// Threads are started in every trial, which is to be no part of it.
constexpr double kSecondsPerThreadedTrial = 5e-3;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

volatile float float_sink;
volatile int int_sink;

__attribute__((noinline)) void multiply_add(long iterations, float scale, float shift) {
  Floats a, b, sum[kAccumulators];
  for (int lane = 0; lane < kLanes; ++lane) {
    a[lane] = scale;
    b[lane] = shift;
  }
  for (int j = 0; j < kAccumulators; ++j) sum[j] = b * static_cast<float>(j);
  for (long n = 0; n < iterations; ++n) {
#if defined(__aarch64__)  // adds to the sum in its register; the other form would copy b first
    for (int j = 0; j < kAccumulators; ++j) sum[j] = vfmaq_f32(sum[j], a, b);
#else
    for (int j = 0; j < kAccumulators; ++j) sum[j] = sum[j] * a + b;
#endif
  }
  for (int j = 1; j < kAccumulators; ++j) sum[0] += sum[j];
  float_sink = sum[0][0];
}

// A lane of a dot product takes as many pairs of factors as fit 32 bits.
#if defined(__AVX512VNNI__)
__attribute__((noinline)) void int8_dot_product(long iterations, int factors) {
  const __m512i a = _mm512_set1_epi32(factors), b = _mm512_set1_epi32(factors + 1);
  __m512i sum[kAccumulators];
  for (int j = 0; j < kAccumulators; ++j) sum[j] = _mm512_set1_epi32(j);
  for (long n = 0; n < iterations; ++n) {
    for (int j = 0; j < kAccumulators; ++j) sum[j] = _mm512_dpbusd_epi32(sum[j], a, b);
  }
  for (int j = 1; j < kAccumulators; ++j) sum[0] = _mm512_xor_si512(sum[0], sum[j]);
  int_sink = _mm512_cvtsi512_si32(sum[0]);
}
#elif defined(__ARM_FEATURE_DOTPROD)
__attribute__((noinline)) void int8_dot_product(long iterations, int factors) {
  const int8x16_t a = vreinterpretq_s8_s32(vdupq_n_s32(factors)), b = vreinterpretq_s8_s32(vdupq_n_s32(factors + 1));
  int32x4_t sum[kAccumulators];
  for (int j = 0; j < kAccumulators; ++j) sum[j] = vdupq_n_s32(j);
  for (long n = 0; n < iterations; ++n) {
    for (int j = 0; j < kAccumulators; ++j) sum[j] = vdotq_s32(sum[j], a, b);
  }
  for (int j = 1; j < kAccumulators; ++j) sum[0] = veorq_s32(sum[0], sum[j]);
  int_sink = vgetq_lane_s32(sum[0], 0);
}
#endif

#if defined(__AVX512BF16__)
__attribute__((noinline)) void bfloat16_dot_product(long iterations, float factor) {
  const __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(factor), _mm512_set1_ps(-factor));
  const __m512bh b = _mm512_cvtne2ps_pbh(_mm512_set1_ps(factor), _mm512_set1_ps(factor));
  __m512 sum[kAccumulators];
  for (int j = 0; j < kAccumulators; ++j) sum[j] = _mm512_set1_ps(static_cast<float>(j));
  for (long n = 0; n < iterations; ++n) {
    for (int j = 0; j < kAccumulators; ++j) sum[j] = _mm512_dpbf16_ps(sum[j], a, b);
  }
  for (int j = 1; j < kAccumulators; ++j) sum[0] = _mm512_add_ps(sum[0], sum[j]);
  float_sink = _mm512_cvtss_f32(sum[0]);
}
#endif

// Reads every vector once per pass. Exclusive or has a latency of one cycle, so that the loads are what limits.
__attribute__((noinline)) void read(const Ints* data, std::size_t vectors, long passes) {
  Ints sum[kReads] = {};
  for (long pass = 0; pass < passes; ++pass) {
    for (std::size_t n = 0; n + kReads <= vectors; n += kReads) {
      for (int j = 0; j < kReads; ++j) sum[j] ^= data[n + j];
    }
    __asm__ volatile("" ::: "memory");  // the next pass reads again
  }
  for (int j = 1; j < kReads; ++j) sum[0] ^= sum[j];
  int_sink = sum[0][0];
}

// Largest units per second over the trials, where work(n) does n times `units`.
template <class Work>
double best_rate(double units, Work work, double seconds_per_trial = kSecondsPerTrial) {
  const auto seconds = [&](long count) {
    const double start = now();
    work(count);
    return now() - start;
  };
  long count = 1;
  while (seconds(count) < seconds_per_trial / 2) count *= 2;
  double best = 0, spent = 0;
  for (int trial = 0; trial < kTrialsAtLeast || spent < kSecondsPerFigure; ++trial) {
    const double time = seconds(count);
    const double rate = units * static_cast<double>(count) / time;
    if (rate > best) best = rate;
    spent += time;
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  volatile float scale = 0.5F, shift = 0.25F;  // unknown to the compiler; the sums stay finite and normal
  constexpr long kIterations = 1000;
  // Two operations for each of the pairs of factors that one vector of accumulators takes at a time.
  const auto print_peak = [&](const char* dtype, int pairs, auto multiply_adds) {
    const double rate =
        best_rate(2.0 * kLanes * pairs * kAccumulators * kIterations, [&](long n) { multiply_adds(n * kIterations); });
    std::printf("%s\"%s\": %.1f", pairs > 1 ? ", " : "", dtype, rate * 1e-9);
  };
  std::printf("{\"vector_bytes\": %d, \"gflops\": {", FASTRNN_ROOFLINE_BYTES);
  print_peak("float32", 1, [&](long n) { multiply_add(n, scale, shift); });
#if defined(__AVX512BF16__)
  print_peak("bfloat16", 2, [&](long n) { bfloat16_dot_product(n, scale); });
#endif
#if defined(__AVX512VNNI__) || defined(__ARM_FEATURE_DOTPROD)
  volatile int factors = 0x01020304;
  print_peak("int8", 4, [&](long n) { int8_dot_product(n, factors); });
#endif
  std::printf("}, \"read_gbytes_per_second\": {");
  for (int n = 1; n < argc; ++n) {
    const std::string argument = argv[n];
    const std::size_t equals = argument.find('=');
    const long bytes = equals == std::string::npos ? 0 : std::atol(argument.c_str() + equals + 1);
    const std::size_t star = argument.find('*', equals);
    const int threads = star == std::string::npos ? 1 : std::atoi(argument.c_str() + star + 1);
    const long step = kReads * FASTRNN_ROOFLINE_BYTES * long(threads);
    if (threads < 1 || bytes < step) {
      std::fprintf(stderr, "roofline: expected NAME=BYTES with at least %ld bytes, got %s\n", step, argv[n]);
      return 2;
    }
    const std::size_t size = static_cast<std::size_t>(bytes / step * step);
    constexpr std::size_t kHugePage = std::size_t(2) << 20;
    const std::size_t room = (size + kHugePage - 1) / kHugePage * kHugePage;
    void* data = std::aligned_alloc(kHugePage, room);
    if (data == nullptr) {
      std::fprintf(stderr, "roofline: no memory for %s\n", argv[n]);
      return 1;
    }
#if defined(__linux__)
    (void)madvise(data, room, MADV_HUGEPAGE);  // or the figure would be that of the page tables
#endif
    std::memset(data, 1, size);
    const std::size_t vectors = size / FASTRNN_ROOFLINE_BYTES / std::size_t(threads);
    const auto read_part = [&](int part, long passes) {
      read(static_cast<const Ints*>(data) + vectors * std::size_t(part), vectors, passes);
    };
    const auto read_all = [&](long passes) {
      std::vector<std::thread> others;
      for (int part = 1; part < threads; ++part) others.emplace_back(read_part, part, passes);
      read_part(0, passes);
      for (std::thread& other : others) other.join();
    };
    const double rate =
        best_rate(static_cast<double>(size), read_all, threads == 1 ? kSecondsPerTrial : kSecondsPerThreadedTrial);
    std::free(data);
    std::printf("%s\"%s\": %.1f", n > 1 ? ", " : "", argument.substr(0, equals).c_str(), rate * 1e-9);
  }
  std::printf("}}\n");
  return 0;
}
