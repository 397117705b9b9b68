// How what builds a model refuses a layer.
#pragma once

#include <string>

#include "fastrnn/fastrnn.hpp"

namespace fastrnn {

[[noreturn]] inline void refuse(const std::string& what, const std::string& expected, const std::string& got) {
  throw Error(what + ": expected " + expected + ", got " + got);
}

inline std::string plural(std::size_t n, const char* word) {
  return std::to_string(n) + " " + word + (n == 1 ? "" : "s");
}

}  // namespace fastrnn
