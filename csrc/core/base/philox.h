// The Philox4x32-10 generator, for host and device; random.h has its source and what it is used for.
#pragma once

#include <cstdint>

#include "cells/cell.h"

namespace fastrnn {

struct PhiloxCounter {
  std::uint32_t v[4];
};
struct PhiloxKey {
  std::uint32_t v[2];
};

/// The ten rounds. Known answer of the authors' Random123: zeros give 6627e8d5 e169c58d bc57ac4c 9b00dbd8.
FASTRNN_CELL PhiloxCounter philox4x32(PhiloxCounter c, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t first = std::uint64_t(0xd2511f53) * c.v[0];
    const std::uint64_t second = std::uint64_t(0xcd9e8d57) * c.v[2];
    c = {{std::uint32_t(second >> 32) ^ c.v[1] ^ key.v[0], std::uint32_t(second),
          std::uint32_t(first >> 32) ^ c.v[3] ^ key.v[1], std::uint32_t(first)}};
    key = {{key.v[0] + 0x9e3779b9, key.v[1] + 0xbb67ae85}};
  }
  return c;
}

}  // namespace fastrnn
