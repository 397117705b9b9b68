// The primitives of csrc/cuda/kernels/primitives.h in the emulation, and what the emulation must notice.
#include "cuda/kernels/primitives.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "cuda/kernels/resident/formats.h"
#include "cuda/kernels/value.h"

namespace {

using namespace fastrnn::cuda;
namespace emulation = fastrnn::cuda::emulation;

int failures = 0;

void check(bool ok, const std::string& what) {
  if (ok) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

emulation::Launch launch(int blocks, int threads, std::size_t shared = 0) {
  emulation::Launch l;
  l.blocks = blocks;
  l.threads = threads;
  l.shared = shared;
  return l;
}

template <class Work>
void in_all_orders(const Work& work) {
  for (unsigned seed = 0; seed < 12; ++seed) {
    const emulation::Order order = seed == 0   ? emulation::Order::ascending
                                   : seed == 1 ? emulation::Order::descending
                                               : emulation::Order::random;
    emulation::set_schedule({order, seed});
    work();
  }
  emulation::set_schedule({});
}

/// The message of the error that a launch ends with.
template <class Thread>
std::string error_of(const emulation::Launch& l, const Thread& thread) {
  try {
    emulation::run(l, thread);
  } catch (const emulation::Error& e) {
    return e.what();
  }
  return "";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// ---- Fragments, by the formulas of the PTX ISA, section "Matrix Fragments for mma.m16n8k16 with floating point type"
// ----
//
// groupID = %laneid >> 2, threadID_in_group = %laneid % 4
// A: row = groupID for ai where 0 <= i < 2 || 4 <= i < 6, groupID + 8 otherwise
//    col = threadID_in_group * 2 + (i & 1) for ai where i < 4, and + 8 where i >= 4
// B: row = threadID_in_group * 2 + (i & 1) for bi where i < 2, and + 8 where i >= 2; col = groupID
// C: row = groupID for ci where i < 2, groupID + 8 where i >= 2; col = threadID_in_group * 2 + (i & 1)

template <class E>
void check_fragments16(const char* name, double (*decode)(unsigned short)) {
  std::mt19937 generator(5);
  std::normal_distribution<float> normal;
  E a[16][16], b[16][8];
  float c[16][8];
  for (auto& row : a)
    for (E& e : row) e = round_to<E>(normal(generator));
  for (auto& row : b)
    for (E& e : row) e = round_to<E>(normal(generator));
  for (auto& row : c)
    for (float& e : row) e = normal(generator);
  double worst = 0;
  in_all_orders([&] {
    emulation::run(launch(1, 32), [&] {
      const int group_id = lane_index() >> 2, thread_in_group = lane_index() % 4;
      E ai[8], bi[4];
      for (int i = 0; i < 8; ++i)
        ai[i] = a[(0 <= i && i < 2) || (4 <= i && i < 6) ? group_id : group_id + 8]
                 [thread_in_group * 2 + (i & 1) + (i < 4 ? 0 : 8)];
      for (int i = 0; i < 4; ++i) bi[i] = b[thread_in_group * 2 + (i & 1) + (i < 2 ? 0 : 8)][group_id];
      const unsigned left[4] = {pack(ai[0], ai[1]), pack(ai[2], ai[3]), pack(ai[4], ai[5]), pack(ai[6], ai[7])};
      const unsigned right[2] = {pack(bi[0], bi[1]), pack(bi[2], bi[3])};
      float d[4];
      for (int i = 0; i < 4; ++i) d[i] = c[i < 2 ? group_id : group_id + 8][thread_in_group * 2 + (i & 1)];
      mma_16x8x16(E{}, d, left, right);
      for (int i = 0; i < 4; ++i) {
        const int row = i < 2 ? group_id : group_id + 8, column = thread_in_group * 2 + (i & 1);
        double want = c[row][column];
        for (int k = 0; k < 16; ++k) want += decode(a[row][k].bits) * decode(b[k][column].bits);
        worst = std::max(worst, std::abs(d[i] - want));
      }
    });
  });
  check(worst < 1e-5, std::string(name) + " fragments: " + std::to_string(worst));
}

// "Matrix Fragments for mma.m16n8k8", .tf32:
// A: row = groupID for a0 and a2, groupID + 8 for a1 and a3; col = threadID_in_group for a0 and a1, + 4 for a2 and a3
// B: row = threadID_in_group for b0, + 4 for b1; col = groupID.   C: as above

void check_fragments_tf32() {
  std::mt19937 generator(6);
  std::normal_distribution<float> normal;
  float a[16][8], b[8][8];
  const auto rounded = [](float v) { return emulation::float_of(round_to_tf32(v)); };
  for (auto& row : a)
    for (float& e : row) e = rounded(normal(generator));
  for (auto& row : b)
    for (float& e : row) e = rounded(normal(generator));
  double worst = 0;
  emulation::run(launch(1, 32), [&] {
    const int group_id = lane_index() >> 2, thread_in_group = lane_index() % 4;
    unsigned left[4], right[2];
    for (int i = 0; i < 4; ++i)
      left[i] = round_to_tf32(a[i == 0 || i == 2 ? group_id : group_id + 8][thread_in_group + (i < 2 ? 0 : 4)]);
    for (int i = 0; i < 2; ++i) right[i] = round_to_tf32(b[thread_in_group + 4 * i][group_id]);
    float d[4] = {};
    mma_16x8x8_tf32(d, left, right);
    for (int i = 0; i < 4; ++i) {
      const int row = i < 2 ? group_id : group_id + 8, column = thread_in_group * 2 + (i & 1);
      double want = 0;
      for (int k = 0; k < 8; ++k) want += double(a[row][k]) * b[k][column];
      worst = std::max(worst, std::abs(d[i] - want));
    }
  });
  check(worst < 1e-5, "tf32 fragments: " + std::to_string(worst));
}

double bfloat16_value(unsigned short bits) { return emulation::from_bfloat16(bits); }
/// binary16 from its definition: (-1)^s * 2^(e-15) * 1.m, or 2^-14 * 0.m.
double float16_value(unsigned short bits) {
  const int e = bits >> 10 & 31;
  const double m = (bits & 1023) / 1024.0;
  return (bits >> 15 ? -1 : 1) * (e == 0 ? std::pow(2, -14) * m : std::pow(2, e - 15) * (1 + m));
}

void check_rounding() {
  for (unsigned bits = 0; bits < 0x7bff; ++bits) {  // every positive half, and the middle to the next
    const float here = float(float16_value((unsigned short)bits)),
                next = float(float16_value((unsigned short)(bits + 1)));
    const unsigned even = bits % 2 == 0 ? bits : bits + 1;
    check(round_to<Float16>(here).bits == bits && round_to<Float16>((here + next) / 2).bits == even &&
              emulation::from_half((unsigned short)bits) == here,
          "half " + std::to_string(bits));
    check(round_to<Float16>(-here).bits == (bits | 0x8000), "half -" + std::to_string(bits));
  }
  check(round_to<Float16>(65519.0f).bits == 0x7bff && round_to<Float16>(65520.0f).bits == 0x7c00, "largest half");
  check(round_to<Bfloat16>(1.0f).bits == 0x3f80 && round_to<Bfloat16>(1.00390625f).bits == 0x3f80 &&
            round_to<Bfloat16>(1.01171875f).bits == 0x3f82 && round_to<Bfloat16>(-1.005f).bits == 0xbf81,
        "bfloat16");
  check(round_to<Bfloat16>(NAN).bits == 0x7fc0 && std::isnan(emulation::from_half(round_to<Float16>(NAN).bits)), "NaN");
  check(round_to_tf32(1.0f + 0.00048828125f) == emulation::bits_of(1.0009765625f), "tf32 rounds ties away");
}

void check_warp() {
  in_all_orders([] {
    emulation::run(launch(2, 64), [] {
      const int lane = lane_index();
      check(shuffle_xor(float(lane), 5) == float(lane ^ 5), "shuffle");
      check(ballot(lane % 3 == 0) == 0x49249249u, "ballot");
      float v[32];
      for (int i = 0; i < 32; ++i) v[i] = float(i * 100 + lane);
      reduce_scatter(v);
      check(v[0] == float(lane * 100 * 32 + 496), "reduce_scatter");
      sync_warp();
    });
  });
}

void check_memory() {
  in_all_orders([] {
    alignas(16) static float source[4] = {1, 2, 3, 4};
    emulation::run(launch(1, 32, 32 * 16), [] {
      auto* mine = reinterpret_cast<float*>(shared_memory()) + thread_index() * 4;
      check(std::isnan(mine[0]), "shared memory begins as NaN");
      copy_async<16>(mine, source);
      check(std::isnan(mine[3]), "a copy has not landed before the wait");
      wait_copies();
      sync_block();
      check(reinterpret_cast<float*>(shared_memory())[(thread_index() * 4 + 7) % 128] == 4, "a copy has landed");
    });
    unsigned flag = 0;
    int data = 0;
    emulation::Launch l = launch(2, 32);
    l.cooperative = true;
    emulation::run(l, [&] {
      if (block_index() == 0) {
        sync_block();
        if (thread_index() == 31) {
          data = 7;
          store_release(&flag, 1);
        }
      } else {
        while (load_acquire(&flag) == 0) pause();
        check(data == 7, "what was released is seen");
      }
    });
    l = launch(4, 32, 4 * sizeof(int));
    l.cluster = 4;
    emulation::run(l, [] {
      auto* shared = reinterpret_cast<int*>(shared_memory());
      if (thread_index() < 4)
        store_cluster(shared + cluster_rank(), thread_index(), 10 * cluster_rank() + thread_index());
      sync_cluster();
      for (int rank = 0; rank < 4; ++rank) check(shared[rank] == 10 * rank + cluster_rank(), "a peer's store is seen");
      sync_cluster();
    });
    bool any[2];
    emulation::run(launch(1, 64), [&] {
      any[0] = sync_block_or(thread_index() == 40);
      any[1] = sync_block_or(false);
    });
    check(any[0] && !any[1], "or over a block");
  });
}

/// What must end in an error, with its place.
void check_errors() {
  in_all_orders([] {
    std::string error = error_of(launch(2, 64), [] {
      if (block_index() == 0 || thread_index() != 33) sync_block();
    });
    check(contains(error, "deadlock") && contains(error, "block 1, thread 0 at ") && contains(error, "test_device.cc:"),
          "a thread that misses a barrier: " + error);
    error = error_of(launch(1, 64), [] {
      if (thread_index() < 32)
        sync_block();
      else
        sync_block();
    });
    check(contains(error, "__syncthreads is divergent"), "a divergent barrier: " + error);
    error = error_of(launch(1, 32), [] {
      if (lane_index() > 2) shuffle_xor(1.0f, 1);
    });
    check(contains(error, "deadlock") && contains(error, "in warp"), "a lane that misses a shuffle: " + error);
    error = error_of(launch(2, 32), [] {
      if (block_index() == 0) sync_cluster();
    });
    check(error.empty(), "clusters of one block: " + error);
  });
  unsigned never = 0;
  emulation::Launch l = launch(2, 32);
  l.cooperative = true;
  const std::string error = error_of(l, [&] {
    while (load_acquire(&never) == 0) pause();
  });
  check(contains(error, "deadlock") && contains(error, "spins"), "a flag that never comes: " + error);
}

void check_refusals() {
  emulation::Device device;
  device.processors = 4;
  emulation::set_device(device);
  const auto nothing = [] {};
  emulation::Launch l = launch(5, 256);
  l.cooperative = true;
  check(contains(error_of(l, nothing), "a cooperative grid of 5 blocks where 4 fit"), "a grid too large by registers");
  l.cooperative = false;
  check(error_of(l, nothing).empty(), "a plain grid may be larger");
  device.registers = 64;
  emulation::set_device(device);
  l.cooperative = true;
  check(error_of(l, nothing).empty(), "with fewer registers it fits");
  l.shared = 120 << 10;
  check(contains(error_of(l, nothing), "where 4 fit"), "a grid too large by shared memory");
  l.shared = 228 << 10;
  check(contains(error_of(l, nothing), "bytes of shared memory"), "too much shared memory");
  l = launch(16, 32);
  l.cluster = 16;
  check(contains(error_of(l, nothing), "clusters of 16"), "a cluster too large");
  emulation::set_device({});
}

/// With the host's own power and reciprocal: value.h says by how much those of a GPU may be off.
void check_tanh() {
  double worst = 0;
  for (int i = 1; i < 200'000; ++i) {
    const float x = float(i) * 1e-4f, y = tanh_of(x);
    const double right = std::tanh(double(x)), unit = std::nextafterf(float(right), 2.0f) - float(right);
    worst = std::max(worst, std::fabs(y - right) / unit);
    if (tanh_of(-x) != -y) worst = INFINITY;
  }
  check(worst < 1.5, "tanh is off by " + std::to_string(worst) + " units of the last place");
  check(tanh_of(INFINITY) == 1 && tanh_of(-INFINITY) == -1 && std::isnan(tanh_of(NAN)), "tanh of infinities and NaN");
  check(tanh_of(1e-30f) == 1e-30f && tanh_of(0.0f) == 0, "tanh of small numbers");
}

}  // namespace

int main() {
  check_fragments16<Bfloat16>("bfloat16", bfloat16_value);
  check_fragments16<Float16>("float16", float16_value);
  check_fragments_tf32();
  check_rounding();
  check_tanh();
  check_warp();
  check_memory();
  check_errors();
  check_refusals();
  std::printf("device: %d failed\n", failures);
  return failures != 0;
}
