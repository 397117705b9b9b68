// A kernel for each primitive that only nvcc compiles: primitives_ptx.py reads their PTX. A name is that of the
// primitive; parameters come in the order in which the primitive has them, and results go where `out` points.
#include "cuda/kernels/primitives.h"

using namespace fastrnn::cuda;

#define PROBE extern "C" __global__ void

template <int Words>
struct Fragments {
  float d[4];
  unsigned a[Words], b[Words / 2];
};
struct Floats {
  float v[4];
};

PROBE probe_sync_block() { sync_block(); }
PROBE probe_sync_block_or(int value, int* out) { *out = sync_block_or(value != 0); }
PROBE probe_sync_warp() { sync_warp(); }
PROBE probe_shuffle_xor(float value, int mask, float* out) { *out = shuffle_xor(value, mask); }
PROBE probe_ballot(int value, unsigned* out) { *out = fastrnn::cuda::ballot(value != 0); }
PROBE probe_count_bits(unsigned bits, int* out) { *out = count_bits(bits); }
PROBE probe_store_release(unsigned* flag, unsigned value) { store_release(flag, value); }
PROBE probe_load_acquire(const unsigned* flag, unsigned* out) { *out = load_acquire(flag); }
PROBE probe_nanoseconds(unsigned long long* out) { *out = nanoseconds(); }
PROBE probe_sync_cluster() { sync_cluster(); }
PROBE probe_cluster_rank(int* out) { *out = cluster_rank(); }
PROBE probe_not_before(unsigned value, unsigned* out) { *out = not_before(value); }
PROBE probe_store_cluster_2(int rank, unsigned short value) {
  store_cluster(reinterpret_cast<unsigned short*>(shared_memory()), rank, value);
}
PROBE probe_store_cluster_4(int rank, unsigned value) {
  store_cluster(reinterpret_cast<unsigned*>(shared_memory()), rank, value);
}
PROBE probe_init_arrivals() { init_arrivals(reinterpret_cast<Arrivals*>(shared_memory())); }
PROBE probe_expect_bytes(unsigned bytes) { expect_bytes(reinterpret_cast<Arrivals*>(shared_memory()), bytes); }
PROBE probe_have_arrived(unsigned parity, unsigned* out) {
  *out = have_arrived(reinterpret_cast<Arrivals*>(shared_memory()), parity);
}
PROBE probe_store_counted(int rank, Piece value) {
  store_counted(reinterpret_cast<Piece*>(shared_memory()), rank, value,
                reinterpret_cast<Arrivals*>(shared_memory()) + 1);
}
PROBE probe_copy_async_4(const void* global) { copy_async<4>(shared_memory(), global); }
PROBE probe_copy_async_16(const void* global) { copy_async<16>(shared_memory(), global); }
PROBE probe_wait_copies() { wait_copies(); }
PROBE probe_reciprocal(float x, float* out) { *out = reciprocal(x); }
PROBE probe_power_of_two(float x, float* out) { *out = power_of_two(x); }
PROBE probe_round_to_bfloat16(float value, unsigned short* out) { *out = round_to<Bfloat16>(value).bits; }
PROBE probe_round_to_float16(float value, unsigned short* out) { *out = round_to<Float16>(value).bits; }
PROBE probe_round_to_tf32(float value, unsigned* out) { *out = round_to_tf32(value); }
PROBE probe_to_float(unsigned short bits, float* out) { *out = to_float(Float16{bits}); }
PROBE probe_mma_bfloat16(Fragments<4> f, Floats* out) {
  mma_16x8x16(Bfloat16{}, f.d, f.a, f.b);
  *out = {{f.d[0], f.d[1], f.d[2], f.d[3]}};
}
PROBE probe_mma_float16(Fragments<4> f, Floats* out) {
  mma_16x8x16(Float16{}, f.d, f.a, f.b);
  *out = {{f.d[0], f.d[1], f.d[2], f.d[3]}};
}
PROBE probe_mma_tf32(Fragments<4> f, Floats* out) {
  mma_16x8x8_tf32(f.d, f.a, f.b);
  *out = {{f.d[0], f.d[1], f.d[2], f.d[3]}};
}
