// A BufferPool that NumPy's arrays come from, too, by the memory handlers of NEP 49.
#include <cstdint>
#include <cstring>

#include "fastrnn/buffers.hpp"
#include "python/bindings.h"

namespace fastrnn::python {

namespace {

/// Before every array stands the size that was asked for; the array keeps the alignment of its block.
constexpr std::size_t kHead = 64;

std::size_t& size_of(void* array) {
  return *reinterpret_cast<std::size_t*>(static_cast<char*>(array) - sizeof(std::size_t));
}

void* take_array(void* pool, std::size_t size) noexcept {
  void* block = nullptr;
  try {
    block = static_cast<BufferPool*>(pool)->take(size + kHead);
  } catch (const std::exception&) {
  }
  if (block == nullptr) return nullptr;
  void* const array = static_cast<char*>(block) + kHead;
  size_of(array) = size;
  return array;
}

void give_array(void* pool, void* array, std::size_t) noexcept {
  if (array == nullptr) return;
  void* const block = static_cast<char*>(array) - kHead;
  static_cast<BufferPool*>(pool)->give(block, size_of(array) + kHead);
}

void* take_zeros(void* pool, std::size_t count, std::size_t each) noexcept {
  if (each != 0 && count > SIZE_MAX / 2 / each) return nullptr;
  void* const array = take_array(pool, count * each);
  if (array != nullptr) std::memset(array, 0, count * each);
  return array;
}

void* move_array(void* pool, void* array, std::size_t size) noexcept {
  void* const moved = take_array(pool, size);
  if (moved == nullptr || array == nullptr) return moved;
  std::memcpy(moved, array, std::min(size, size_of(array)));
  give_array(pool, array, 0);
  return moved;
}

/// PyDataMem_Handler of numpy/ndarraytypes.h, which needs no building against NumPy: every version from 1.22 on has it.
struct MemoryHandler {
  char name[127] = "fastrnn";
  std::uint8_t version = 1;
  void* context;
  void* (*take)(void*, std::size_t) = &take_array;
  void* (*take_zeros)(void*, std::size_t, std::size_t) = &python::take_zeros;
  void* (*move)(void*, void*, std::size_t) = &move_array;
  void (*give)(void*, void*, std::size_t) = &give_array;
};

/// What the capsule owns that every array of the pool holds.
struct PoolHandler {
  MemoryHandler handler;
  BufferPool pool;
};

py::object set_handler(const py::object& handler) {
  constexpr int kSetHandler = 304;  // PyDataMem_SetHandler in NumPy's table of functions
  static void* const* const functions = static_cast<void**>(
      PyCapsule_GetPointer(py::detail::import_numpy_core_submodule("multiarray").attr("_ARRAY_API").ptr(), nullptr));
  if (functions == nullptr) throw py::error_already_set();
  const auto set = reinterpret_cast<PyObject* (*)(PyObject*)>(functions[kSetHandler]);
  const py::object before = py::reinterpret_steal<py::object>(set(handler.ptr()));
  if (!before) throw py::error_already_set();
  return before;
}

py::object capsule_of(const BufferPool& pool) {
  auto owned = std::make_unique<PoolHandler>();
  owned->pool = pool;
  owned->handler.context = &owned->pool;
  const py::object capsule =
      py::reinterpret_steal<py::object>(PyCapsule_New(&owned->handler, "mem_handler", [](PyObject* self) {
        delete reinterpret_cast<PoolHandler*>(PyCapsule_GetPointer(self, "mem_handler"));
      }));
  if (!capsule) throw py::error_already_set();
  owned.release();  // the capsule has it. NOLINT(bugprone-unused-return-value)
  return capsule;
}

/// A context: within it, on its thread, arrays and the library's own memory come from a pool. One within another is
/// none.
class ArrayPool {
 public:
  void enter() {
    if (pool_) throw std::runtime_error("BufferPool: expected to be entered once");
    BufferPool before = use_buffers({});
    const bool within = bool(before);
    use_buffers(std::move(before));
    if (within) return;
    const BufferPool pool = BufferPool::make();
    handler_before_ = set_handler(capsule_of(pool));
    use_buffers(pool);
    pool_ = pool;
  }
  void exit() {
    if (!pool_) return;
    use_buffers({});
    set_handler(handler_before_);
    handler_before_ = py::object();
    pool_.close();
    pool_ = {};
  }

 private:
  BufferPool pool_;
  py::object handler_before_;
};

}  // namespace

void bind_buffers(py::module_& module) {
  bind_class<ArrayPool>(module, "BufferPool",
                        R"doc(A context for loops: on its thread, the memory of what is freed goes to what is made next.

Of NumPy's arrays, too. Arrays that outlive it stay as they are; what nobody uses is given back to the system at its end.)doc")
      .def(py::init<>())
      .def("__enter__",
           [](py::object self) {
             self.cast<ArrayPool&>().enter();
             return self;
           })
      .def("__exit__", [](ArrayPool& self, const py::args&) { self.exit(); });
}

}  // namespace fastrnn::python
