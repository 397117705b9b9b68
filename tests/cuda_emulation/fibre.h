// A fibre: a stack of its own, entered and left by hand. x86-64 alone (System V).
#pragma once

#include <cstddef>

namespace fastrnn::cuda::emulation {

class Fibre {
 public:
  Fibre();
  ~Fibre();
  Fibre(const Fibre&) = delete;
  Fibre& operator=(const Fibre&) = delete;

  /// The next enter() begins `entry`, which must leave() and never return.
  void reset(void (*entry)());
  /// From the scheduler: runs the fibre until it leaves.
  void enter();
  /// From the fibre: back to the scheduler. `last` if it will not be entered again.
  void leave(bool last);
  /// First of all in a fresh fibre.
  void entered();

 private:
  char* memory_;
  void* stack_ = nullptr;
  void* fake_stack_ = nullptr;  // AddressSanitizer's
  void* thread_ = nullptr;      // ThreadSanitizer's
};

}  // namespace fastrnn::cuda::emulation
