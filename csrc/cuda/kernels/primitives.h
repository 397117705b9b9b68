// Every primitive of CUDA that the kernels use, in two forms side by side: CUDA's own, and the emulation's (tests
// alone, tests/cuda_emulation). A kernel includes this header and nothing else of CUDA: no asm, no <<<>>>, no threadIdx
// beside it.
//
// Names say what is meant, not which instruction it is. Memory that blocks exchange is written and read through
// store_release and load_acquire, never by __threadfence, which the emulation cannot check. PTX sections are those of
// the PTX ISA.
#pragma once

#include <math.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cells/cell.h"
#include "cuda/shared/types.h"

#if defined(__CUDACC__)
#define FASTRNN_DEVICE __device__ __forceinline__
/// A kernel that is launched with at most `threads` threads a block.
#define FASTRNN_KERNEL(threads) __global__ void __launch_bounds__(threads, 1)
#define FASTRNN_CONSTANT __grid_constant__ const
#define FASTRNN_EMULATED(...)
#define FASTRNN_CUDA_FORM(...) __VA_ARGS__
#else
#include "emulation.h"
#include "mma.h"
#define FASTRNN_DEVICE inline
#define FASTRNN_KERNEL(threads) inline void
#define FASTRNN_CONSTANT const
#define FASTRNN_EMULATED(...) __VA_ARGS__
#define FASTRNN_CUDA_FORM(...)
#endif

namespace fastrnn::cuda {

constexpr int kWarp = 32;

#if defined(__CUDACC__)
struct Site {};  // where a primitive is called: the emulation's reports name it
#else
using emulation::Site;
#endif

// ---- The place of a thread ----

FASTRNN_DEVICE int thread_index() {
  FASTRNN_CUDA_FORM(return threadIdx.x;)
  FASTRNN_EMULATED(return emulation::thread_index();)
}
FASTRNN_DEVICE int block_index() {
  FASTRNN_CUDA_FORM(return blockIdx.x;)
  FASTRNN_EMULATED(return emulation::block_index();)
}
FASTRNN_DEVICE int block_threads() {
  FASTRNN_CUDA_FORM(return blockDim.x;)
  FASTRNN_EMULATED(return emulation::block_threads();)
}
FASTRNN_DEVICE int grid_blocks() {
  FASTRNN_CUDA_FORM(return gridDim.x;)
  FASTRNN_EMULATED(return emulation::grid_blocks();)
}
FASTRNN_DEVICE int lane_index() { return thread_index() % kWarp; }

/// The block's dynamic shared memory, 16-byte aligned.
FASTRNN_DEVICE char* shared_memory() {
  FASTRNN_CUDA_FORM(extern __shared__ __align__(16) char memory[]; return memory;)
  FASTRNN_EMULATED(return emulation::shared_memory();)
}

// ---- Barriers. All threads of the block (warp, cluster) come to the same one. ----

FASTRNN_DEVICE void sync_block([[maybe_unused]] Site site = Site()) {
  FASTRNN_CUDA_FORM(__syncthreads();)
  FASTRNN_EMULATED(emulation::sync_block(false, site);)
}
/// Whether any thread of the block brought true.
FASTRNN_DEVICE bool sync_block_or(bool value, [[maybe_unused]] Site site = Site()) {
  FASTRNN_CUDA_FORM(return __syncthreads_or(value) != 0;)
  FASTRNN_EMULATED(return emulation::sync_block(value, site);)
}
FASTRNN_DEVICE void sync_warp([[maybe_unused]] Site site = Site()) {
  FASTRNN_CUDA_FORM(__syncwarp();)
  FASTRNN_EMULATED(emulation::sync_warp(site);)
}

// ---- Between the lanes of a whole warp ----

FASTRNN_DEVICE float shuffle_xor(float value, int mask, [[maybe_unused]] Site site = Site()) {
  FASTRNN_CUDA_FORM(return __shfl_xor_sync(0xffffffffu, value, mask);)
#if !defined(__CUDACC__)
  unsigned bits;
  std::memcpy(&bits, &value, sizeof bits);
  bits = emulation::exchange_warp(bits, lane_index() ^ mask, site);
  std::memcpy(&value, &bits, sizeof bits);
  return value;
#endif
}
/// A bit for each lane that brought true.
FASTRNN_DEVICE unsigned ballot(bool value, [[maybe_unused]] Site site = Site()) {
  FASTRNN_CUDA_FORM(return __ballot_sync(0xffffffffu, value);)
  FASTRNN_EMULATED(return emulation::ballot(value, site);)
}

FASTRNN_DEVICE int count_bits(unsigned bits) {
  FASTRNN_CUDA_FORM(return __popc(bits);)
  FASTRNN_EMULATED(return __builtin_popcount(bits);)
}

// ---- Flags between blocks, at the scope of the device (PTX: st.release, ld.acquire) ----

/// A thread that acquires `value` sees what this thread wrote before, and what others wrote before a barrier that they
/// passed together with it.
FASTRNN_DEVICE void store_release(unsigned* flag, unsigned value) {
  FASTRNN_CUDA_FORM(asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(flag), "r"(value) : "memory");)
#if !defined(__CUDACC__)
  __atomic_store_n(flag, value, __ATOMIC_RELEASE);
  emulation::progress();
  emulation::point();
#endif
}
FASTRNN_DEVICE unsigned load_acquire(const unsigned* flag) {
#if defined(__CUDACC__)
  unsigned value;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(flag) : "memory");
#else
  emulation::point();
  const unsigned value = __atomic_load_n(flag, __ATOMIC_ACQUIRE);
#endif
  return value;
}
/// A clock that all blocks share; it may stand still for a microsecond.
FASTRNN_DEVICE unsigned long long nanoseconds() {
#if defined(__CUDACC__)
  unsigned long long now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
#else
  return emulation::nanoseconds();
#endif
}
/// Inside a loop that waits for a flag, whose first looks follow each other at once.
FASTRNN_DEVICE void pause([[maybe_unused]] unsigned looks = 64, [[maybe_unused]] Site site = Site()) {
  FASTRNN_CUDA_FORM(if (looks >= 64) __nanosleep(20);)
  FASTRNN_EMULATED(emulation::point_of_wait(site);)
}

// ---- Clusters (sm_90 and later) and the shared memory of their blocks ----

#if defined(__CUDACC__) && (!defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900)
#define FASTRNN_CLUSTERS 1
#elif defined(__CUDACC__)
#define FASTRNN_CLUSTERS 0
#else
#define FASTRNN_CLUSTERS 1
#endif

/// All threads of all blocks of the cluster; orders their accesses to each other's shared memory.
FASTRNN_DEVICE void sync_cluster([[maybe_unused]] Site site = Site()) {
#if defined(__CUDACC__) && FASTRNN_CLUSTERS
  asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
  FASTRNN_EMULATED(emulation::sync_cluster(site);)
}
FASTRNN_DEVICE int cluster_rank() {
#if defined(__CUDACC__)
  unsigned rank = 0;
#if FASTRNN_CLUSTERS
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#endif
  return int(rank);
#else
  return emulation::cluster_rank();
#endif
}
/// Stores into the shared memory of block `rank`, at the place that `local` has in this block's.
template <class T>
FASTRNN_DEVICE void store_cluster(T* local, int rank, T value, [[maybe_unused]] Site site = Site()) {
  static_assert(sizeof(T) == 2 || sizeof(T) == 4);
#if defined(__CUDACC__)
#if FASTRNN_CLUSTERS
  unsigned address = unsigned(__cvta_generic_to_shared(local)), remote;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(address), "r"(rank));
  if constexpr (sizeof(T) == 4) {
    unsigned bits;
    memcpy(&bits, &value, sizeof bits);
    asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(remote), "r"(bits) : "memory");
  } else {
    unsigned short bits;
    memcpy(&bits, &value, sizeof bits);
    asm volatile("st.shared::cluster.u16 [%0], %1;" ::"r"(remote), "h"(bits) : "memory");
  }
#endif
#else
  *static_cast<T*>(emulation::cluster_address(local, rank, site)) = value;
#endif
}

// ---- Counted stores into another block's shared memory (PTX: st.async, mbarrier; sm_90 and later) ----

/// Sixteen bytes, aligned to as many.
struct alignas(16) Piece {
  unsigned words[4];
};
/// In shared memory: counts the bytes that others store here. A phase of it ends when expect_bytes() has been called
/// and as many bytes have come, in whatever order; then the next one begins.
using Arrivals = unsigned long long;

/// By one thread, before a sync_cluster() that lets others store.
FASTRNN_DEVICE void init_arrivals(Arrivals* arrivals) {
#if defined(__CUDACC__)
#if FASTRNN_CLUSTERS
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(unsigned(__cvta_generic_to_shared(arrivals))) : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
#else
  emulation::init_arrivals(arrivals);
#endif
}
/// By one thread, once a phase.
FASTRNN_DEVICE void expect_bytes(Arrivals* arrivals, unsigned bytes) {
#if defined(__CUDACC__)
#if FASTRNN_CLUSTERS
  asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(
                   unsigned(__cvta_generic_to_shared(arrivals))),
               "r"(bytes)
               : "memory");
#endif
#else
  emulation::expect_bytes(arrivals, bytes);
#endif
}
/// Whether the phase of this parity (0 for the first one, 1, 0, ...) has ended; if so, what was stored in it is visible
/// to this thread. Looks for a while before it says no.
FASTRNN_DEVICE bool have_arrived(Arrivals* arrivals, unsigned parity) {
#if defined(__CUDACC__)
  unsigned ended = 1;
#if FASTRNN_CLUSTERS
  asm volatile(
      "{.reg .pred p;\n\tmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;\n\tselp.u32 %0, 1, 0, "
      "p;}"
      : "=r"(ended)
      : "r"(unsigned(__cvta_generic_to_shared(arrivals))), "r"(parity)
      : "memory");
#endif
  return ended != 0;
#else
  return emulation::have_arrived(arrivals, parity);
#endif
}
/// Stores a piece into the shared memory of block `rank`, at the place that `local` has in this block's, and counts it
/// in the arrivals that are there where `arrivals` are here.
FASTRNN_DEVICE void store_counted(Piece* local, int rank, Piece value, Arrivals* arrivals,
                                  [[maybe_unused]] Site site = Site()) {
#if defined(__CUDACC__)
#if FASTRNN_CLUSTERS
  unsigned remote, counter;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
               : "=r"(remote)
               : "r"(unsigned(__cvta_generic_to_shared(local))), "r"(rank));
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
               : "=r"(counter)
               : "r"(unsigned(__cvta_generic_to_shared(arrivals))), "r"(rank));
  asm volatile(
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.u32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(remote),
      "r"(value.words[0]), "r"(value.words[1]), "r"(value.words[2]), "r"(value.words[3]), "r"(counter)
      : "memory");
#endif
#else
  emulation::store_counted(local, rank, value.words, sizeof value, arrivals, site);
#endif
}
/// Ends the launch with an error, and the process's context on the device with it.
FASTRNN_DEVICE void trap([[maybe_unused]] Site site = Site()) {
  FASTRNN_CUDA_FORM(__trap();)
  FASTRNN_EMULATED(emulation::trap(site);)
}

// ---- Asynchronous copies from global to shared memory (PTX: cp.async) ----

/// Copies 4 bytes (through L1) or 16 (past L1, whose contents may be older than L2's). Visible to this thread after
/// wait_copies(), to the block after a barrier that follows it.
template <int Bytes>
FASTRNN_DEVICE void copy_async(void* shared, const void* global) {
  static_assert(Bytes == 4 || Bytes == 16);
#if defined(__CUDACC__)
  const unsigned to = unsigned(__cvta_generic_to_shared(shared));
  if constexpr (Bytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(global) : "memory");
#else
  emulation::copy_async(shared, global, Bytes);
#endif
}
/// Waits for all copies of this thread.
FASTRNN_DEVICE void wait_copies() {
  FASTRNN_CUDA_FORM(asm volatile("cp.async.wait_all;" :: : "memory");)
  FASTRNN_EMULATED(emulation::wait_copies();)
}

// ---- Registers ----

/// The value. What is computed of it is computed behind this place, not before a loop around it, where each result
/// would take a register for as long as the loop runs.
FASTRNN_DEVICE unsigned not_before(unsigned value) {
  FASTRNN_CUDA_FORM(asm volatile("" : "+r"(value));)
  return value;
}

// ---- Arithmetic ----

/// 1 / x, whose error is one unit of the last place at most, for the equations: what `/` becomes takes ten instructions
/// and a branch more. x is not subnormal.
FASTRNN_CELL float reciprocal(float x) {
#if defined(__CUDA_ARCH__)
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return 1.0f / x;
#endif
}
/// 2^x, whose error is two units of the last place at most; results below 2^-126 become zero.
FASTRNN_CELL float power_of_two(float x) {
#if defined(__CUDA_ARCH__)
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return exp2f(x);
#endif
}

// ---- 16-bit and tf32 numbers, rounded to nearest, ties to even ----

struct Bfloat16 {
  unsigned short bits;
};
struct Float16 {
  unsigned short bits;
};
struct Tf32 {
  unsigned bits;
};

template <class E>
FASTRNN_DEVICE E round_to(float value);

#if !defined(__CUDACC__)
namespace emulation {
inline unsigned bits_of(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline float float_of(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof bits);
  return value;
}
/// Drops `bits` bits of the mantissa.
inline unsigned round_mantissa(float value, int dropped) {
  const unsigned bits = bits_of(value);
  if (value != value) return bits | 0x400000;
  return (bits + (1u << (dropped - 1)) - 1 + (bits >> dropped & 1)) >> dropped << dropped;
}
unsigned short to_half(float value);
float from_half(unsigned short bits);
inline float from_bfloat16(unsigned short bits) { return float_of(unsigned(bits) << 16); }
}  // namespace emulation
#endif

template <>
FASTRNN_DEVICE float round_to<float>(float value) {
  return value;
}
template <>
FASTRNN_DEVICE Bfloat16 round_to<Bfloat16>(float value) {
  Bfloat16 out;
  FASTRNN_CUDA_FORM(asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(out.bits) : "f"(value));)
  FASTRNN_EMULATED(out.bits = (unsigned short)(emulation::round_mantissa(value, 16) >> 16);)
  return out;
}
template <>
FASTRNN_DEVICE Float16 round_to<Float16>(float value) {
  Float16 out;
  FASTRNN_CUDA_FORM(asm("cvt.rn.f16.f32 %0, %1;" : "=h"(out.bits) : "f"(value));)
  FASTRNN_EMULATED(out.bits = emulation::to_half(value);)
  return out;
}
/// The bits of a tf32, which mma takes from a 32-bit register.
FASTRNN_DEVICE unsigned round_to_tf32(float value) {
#if defined(__CUDACC__)
  unsigned bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));  // the one rounding that all targets have: ties away
  return bits;
#else
  if (value != value) return emulation::bits_of(value) | 0x400000;
  return (emulation::bits_of(value) + 0x1000u) & ~0x1fffu;
#endif
}
template <>
FASTRNN_DEVICE Tf32 round_to<Tf32>(float value) {
  return {round_to_tf32(value)};
}
FASTRNN_DEVICE float float_of_bits(unsigned bits) {
  FASTRNN_CUDA_FORM(return __uint_as_float(bits);)
  FASTRNN_EMULATED(return emulation::float_of(bits);)
}
FASTRNN_DEVICE float to_float(Bfloat16 value) { return float_of_bits(unsigned(value.bits) << 16); }
FASTRNN_DEVICE float to_float(Float16 value) {
  float out;
  FASTRNN_CUDA_FORM(asm("cvt.f32.f16 %0, %1;" : "=f"(out) : "h"(value.bits));)
  FASTRNN_EMULATED(out = emulation::from_half(value.bits);)
  return out;
}
template <class E>
FASTRNN_DEVICE unsigned pack(E low, E high) {
  return low.bits | unsigned(high.bits) << 16;
}

// ---- Tensor cores: d += a * b (PTX: mma.sync). a is 16 rows, row-major; b has 8 columns. ----

FASTRNN_DEVICE void mma_16x8x16(Bfloat16, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                                [[maybe_unused]] Site site = Site()) {
#if defined(__CUDACC__)
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  emulation::multiply_fragments<16>(
      d, a, b, [](unsigned word, int half) { return emulation::from_bfloat16((unsigned short)(word >> 16 * half)); },
      site);
#endif
}
FASTRNN_DEVICE void mma_16x8x16(Float16, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                                [[maybe_unused]] Site site = Site()) {
#if defined(__CUDACC__)
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  emulation::multiply_fragments<16>(
      d, a, b, [](unsigned word, int half) { return emulation::from_half((unsigned short)(word >> 16 * half)); }, site);
#endif
}
/// Operands are bits from round_to_tf32.
FASTRNN_DEVICE void mma_16x8x8_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                                    [[maybe_unused]] Site site = Site()) {
#if defined(__CUDACC__)
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  emulation::multiply_fragments<8>(
      d, a, b, [](unsigned word, int) { return emulation::float_of(word & ~0x1fffu); }, site);
#endif
}

}  // namespace fastrnn::cuda
