#include "fibre.h"

#include <sys/mman.h>

#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(FASTRNN_TSAN)
extern "C" {
void* __tsan_get_current_fiber(void);
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
}
#endif

// Saves the registers that a call preserves, changes stacks, and returns on the other one.
extern "C" void fastrnn_switch_stack(void** save, void* load);
asm(R"(
.text
.globl fastrnn_switch_stack
.type fastrnn_switch_stack, @function
fastrnn_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size fastrnn_switch_stack, .-fastrnn_switch_stack
)");

namespace fastrnn::cuda::emulation {

namespace {

constexpr std::size_t kPage = 4096, kStack = 256 << 10;  // sanitizers make frames large; untouched pages cost nothing

void* scheduler_stack;
[[maybe_unused]] void* scheduler_fake_stack;
[[maybe_unused]] const void* scheduler_bottom;
[[maybe_unused]] std::size_t scheduler_size;
[[maybe_unused]] void* scheduler_thread;

}  // namespace

Fibre::Fibre() {
  void* memory =
      mmap(nullptr, kPage + kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<char*>(memory);
  mprotect(memory_, kPage, PROT_NONE);  // an overflow is a fault, not a wrong result
}

Fibre::~Fibre() {
#if defined(FASTRNN_TSAN)
  if (thread_ != nullptr) __tsan_destroy_fiber(thread_);
#endif
  munmap(memory_, kPage + kStack);
}

void Fibre::reset(void (*entry)()) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(memory_ + kPage, kStack);  // frames that a failed launch has left
#endif
  void** top = reinterpret_cast<void**>(memory_ + kPage + kStack) - 2;
  *top = reinterpret_cast<void*>(entry);  // above it, the place of a return address: entry never returns
  top[1] = nullptr;
  stack_ = top - 6;
  for (int i = 0; i < 6; ++i) top[-1 - i] = nullptr;
  fake_stack_ = nullptr;
#if defined(FASTRNN_TSAN)
  if (thread_ != nullptr) __tsan_destroy_fiber(thread_);
  thread_ = __tsan_create_fiber(0);
#endif
}

void Fibre::enter() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&scheduler_fake_stack, memory_ + kPage, kStack);
#endif
#if defined(FASTRNN_TSAN)
  scheduler_thread = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(thread_, 1);  // 1: a switch orders nothing, only barriers and flags do
#endif
  fastrnn_switch_stack(&scheduler_stack, stack_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(scheduler_fake_stack, nullptr, nullptr);
#endif
}

void Fibre::entered() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack_, &scheduler_bottom, &scheduler_size);
#endif
}

void Fibre::leave([[maybe_unused]] bool last) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(last ? nullptr : &fake_stack_, scheduler_bottom, scheduler_size);
#endif
#if defined(FASTRNN_TSAN)
  __tsan_switch_to_fiber(scheduler_thread, 1);
#endif
  fastrnn_switch_stack(&stack_, scheduler_stack);
  entered();
}

}  // namespace fastrnn::cuda::emulation
