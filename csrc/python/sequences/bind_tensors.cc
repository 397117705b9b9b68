// Calls of a stack on tensors of the CPU that C can read and make (dlpack::Exchange), as those of PyTorch. A call that
// is not usual is left to Python, which goes by way of NumPy and says what is wrong.
#include <pthread.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <unordered_map>

#include "fastrnn/buffers.hpp"
#include "python/arrays/dlpack.h"
#include "python/interpreter/signals.h"
#include "python/sequences/sequences.h"
#include "python/sequences/stacks.h"

namespace fastrnn::python {

namespace {

using dlpack::Exchange;
using Extents = std::array<std::int64_t, 3>;

struct Kept;

/// A result: its memory, what DLPack says of it, and how many hold it.
struct Block {
  dlpack::ManagedVersioned managed{};
  Extents shape{}, strides{};
  std::size_t bytes = 0;  // with this head
  std::atomic<int> owners = 1;
  std::unique_ptr<Kept> kept;

  void* data() { return managed.tensor.data; }
  void release() noexcept;
};
constexpr std::size_t kBlockHead = (sizeof(Block) + 63) / 64 * 64;

struct Release {
  void operator()(Block* block) const noexcept { block->release(); }
};
using OwnedBlock = std::unique_ptr<Block, Release>;

OwnedBlock new_block(const dlpack::DataType& type, int rank, const Extents& shape) {
  Extents strides{};
  std::int64_t count = 1;
  for (int axis = rank; axis-- > 0;) {
    strides[axis] = count;
    if (__builtin_mul_overflow(count, shape[axis], &count) || count > PTRDIFF_MAX / 16) throw std::bad_alloc();
  }
  const std::size_t bytes = (kBlockHead + std::size_t(count) * type.bits / 8 + 63) / 64 * 64;
  void* const memory = BufferPool().take(bytes);
  OwnedBlock block(new (memory) Block);
  block->shape = shape;
  block->strides = strides;
  block->bytes = bytes;
  block->managed.version = dlpack::kVersion;
  block->managed.owner = block.get();
  block->managed.deleter = [](dlpack::ManagedVersioned* used) { static_cast<Block*>(used->owner)->release(); };
  block->managed.tensor = {static_cast<char*>(memory) + kBlockHead,
                           {dlpack::kCpu, 0},
                           rank,
                           type,
                           block->shape.data(),
                           block->strides.data(),
                           0};
  return block;
}

template <class T>
constexpr dlpack::DataType kType = {dlpack::kFloat, 8 * sizeof(T), 1};

template <class T>
OwnedBlock new_block(const Extents& shape) {
  return new_block(kType<T>, 3, shape);
}

/// The block as a new object of the library.
py::object adopt(const Exchange& library, OwnedBlock block) {
  void* object = nullptr;
  if (library.adopt(&block.release()->managed, &object) != 0) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(static_cast<PyObject*>(object));
}

/// Packed layers as calls want them.
struct LayersOf {
  const Exchange& library;
  std::vector<std::vector<PackedWeights>> layers;
  std::vector<std::string> names;  // of the parameters of a layer, in the order of the caller's
  std::variant<Stack<float>, Stack<double>> stack{};
  CallSizes sizes{};
  std::size_t work = 0;  // bytes of packed weights

  void finish() {
    with_type(layers[0][0].dtype(), [&](auto* type) {
      using T = std::remove_pointer_t<decltype(type)>;
      Stack<T> made;
      made.directions = int(layers[0].size());
      for (const auto& row : layers)
        for (const PackedWeights& one : row) work += made.weights.emplace_back(one.get<T>())->bytes();
      sizes = CallSizes::of_stack(made);
      stack = std::move(made);
    });
  }
};

/// What a forward call keeps for the backward pass. It goes with the tensor `reserve` of that call, on any thread and
/// without the GIL, so nothing in it is Python's.
struct Kept {
  std::variant<std::unique_ptr<StackSaved<float>>, std::unique_ptr<StackSaved<double>>> saved;
  std::shared_ptr<const LayersOf> layers;
  dlpack::ManagedVersioned* x = nullptr;
  OwnedBlock y;
  bool batch_first = false;

  ~Kept() {
    if (x != nullptr) x->deleter(x);
  }
};

/// All that is kept, by the address of `reserve`'s memory: a copy of that tensor is none of them.
class Register {
 public:
  Register() {
    pthread_atfork([] { the().mutex_.lock(); }, [] { the().mutex_.unlock(); }, [] { the().mutex_.unlock(); });
  }
  static Register& the() {
    static Register* const one = new Register;  // never destroyed: tensors may be freed at exit
    return *one;
  }
  void add(const void* address, Kept* kept) {
    const std::lock_guard<std::mutex> lock(mutex_);
    kept_.emplace(address, kept);
  }
  void remove(const void* address) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    kept_.erase(address);
  }
  Kept* find(const void* address) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = kept_.find(address);
    return found == kept_.end() ? nullptr : found->second;
  }
  std::size_t size() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return kept_.size();
  }

 private:
  std::mutex mutex_;
  std::unordered_map<const void*, Kept*> kept_;
};

void Block::release() noexcept {
  if (owners.fetch_sub(1) > 1) return;
  if (kept != nullptr) Register::the().remove(data());
  const std::size_t size = bytes;
  this->~Block();
  BufferPool().give(this, size);
}

/// The object's memory, if it is a tensor on the CPU; its sign is not left to be applied, as PyTorch does for an
/// imaginary part of a conjugate.
bool look(const Exchange& library, PyObject* object, dlpack::Tensor& seen) {
  static PyObject* const is_neg = PyUnicode_InternFromString("is_neg");
  PyObject* negative = nullptr;
  if (library.look(object, &seen) == 0) negative = PyObject_CallMethodNoArgs(object, is_neg);
  if (negative == nullptr) PyErr_Clear();
  Py_XDECREF(negative);
  seen.data = static_cast<char*>(seen.data) + seen.byte_offset;
  return negative == Py_False && seen.device.type == dlpack::kCpu && seen.data != nullptr;
}

bool same_type(const dlpack::DataType& a, const dlpack::DataType& b) {
  return a.code == b.code && a.bits == b.bits && a.lanes == b.lanes;
}

/// Three axes of T, none of them empty, with the last one's elements side by side.
template <class T>
bool look_at_rows(const Exchange& library, PyObject* object, dlpack::Tensor& seen) {
  return look(library, object, seen) && same_type(seen.type, kType<T>) && seen.rank == 3 &&
         std::all_of(seen.shape, seen.shape + 3, [](std::int64_t n) { return n > 0; }) &&
         (seen.strides[2] == 1 || seen.shape[2] == 1) && reinterpret_cast<std::uintptr_t>(seen.data) % alignof(T) == 0;
}

template <class T>
Sequence<T> sequence(void* data, const std::int64_t* strides, bool batch_first) {
  const int time = batch_first ? 1 : 0;
  return {static_cast<T*>(data), strides[time], strides[1 - time]};
}

/// A contiguous tensor of this shape, or None, which is null. False for any other.
template <class T>
bool look_at_state(const Exchange& library, PyObject* object, const Extents& shape, const T*& data) {
  data = nullptr;
  if (object == Py_None) return true;
  dlpack::Tensor seen{};
  if (!look_at_rows<T>(library, object, seen) || !std::equal(shape.begin(), shape.end(), seen.shape)) return false;
  if ((shape[1] > 1 && seen.strides[1] != shape[2]) || (shape[0] > 1 && seen.strides[0] != shape[1] * shape[2]))
    return false;
  data = static_cast<const T*>(seen.data);
  return true;
}

/// Packed layers, and the tensors that they were packed from: copies that nobody writes to.
struct TensorStack {
  std::shared_ptr<const LayersOf> layers;
  py::list copies;
  std::vector<dlpack::Tensor> known;

  /// Whether the tensors are, bit for bit, what was packed.
  bool holds(PyObject* weights) const {
    if (!PyTuple_CheckExact(weights) || PyTuple_GET_SIZE(weights) != Py_ssize_t(known.size())) return false;
    for (std::size_t k = 0; k < known.size(); ++k) {
      const dlpack::Tensor& mine = known[k];
      dlpack::Tensor seen{};
      if (!look(layers->library, PyTuple_GET_ITEM(weights, Py_ssize_t(k)), seen) || !same_type(seen.type, mine.type) ||
          seen.rank != mine.rank || !std::equal(seen.shape, seen.shape + seen.rank, mine.shape) ||
          !std::equal(seen.strides, seen.strides + seen.rank, mine.strides))
        return false;
      std::size_t bytes = mine.type.bits / 8;
      for (int axis = 0; axis < mine.rank; ++axis) bytes *= std::size_t(mine.shape[axis]);
      if (std::memcmp(seen.data, mine.data, bytes) != 0) return false;
    }
    return true;
  }
};

template <class T>
std::optional<py::object> forward_of(const TensorStack& self, PyObject* x, PyObject* h0, PyObject* c0,
                                     PyObject* weights, bool batch_first, int threads, bool keep) {
  const Exchange& library = self.layers->library;
  const CallSizes& sizes = self.layers->sizes;
  const int time = batch_first ? 1 : 0;
  dlpack::Tensor seen{};
  if (!look_at_rows<T>(library, x, seen) || seen.shape[2] != sizes.inputs) return std::nullopt;
  ForwardArguments<T> arguments;
  arguments.steps = seen.shape[time];
  arguments.batch = seen.shape[1 - time];
  arguments.threads = threads;
  arguments.x = sequence<const T>(seen.data, seen.strides, batch_first);
  const Extents h_shape = {sizes.count, arguments.batch, sizes.own},
                c_shape = {sizes.count, arguments.batch, sizes.hidden};
  if (!look_at_state(library, h0, h_shape, arguments.h0)) return std::nullopt;
  if (sizes.states == 0 ? c0 != Py_None : !look_at_state(library, c0, c_shape, arguments.c0)) return std::nullopt;
  if (!self.holds(weights)) return std::nullopt;

  OwnedBlock y = new_block<T>({seen.shape[0], seen.shape[1], sizes.merged}), h_n = new_block<T>(h_shape), c_n;
  arguments.y = sequence<T>(y->data(), y->strides.data(), batch_first);
  arguments.h_n = static_cast<T*>(h_n->data());
  if (sizes.states > 0) {
    c_n = new_block<T>(c_shape);
    arguments.c_n = static_cast<T*>(c_n->data());
  }
  const Stack<T>& stack = std::get<Stack<T>>(self.layers->stack);
  std::unique_ptr<StackSaved<T>> saved;
  run_by_length(self.layers->work / sizeof(float), arguments.steps * arguments.batch, [&] {
    if (keep)
      saved = std::make_unique<StackSaved<T>>(stack, arguments);
    else if (stack.weights.size() == 1)
      forward(*stack.weights[0], arguments);  // the same, without a plan for several
    else
      forward(stack, arguments);
  });
  py::object reserve = py::none();
  if (keep) {
    OwnedBlock block = new_block({dlpack::kUnsigned, 8, 1}, 1, {1});
    *static_cast<unsigned char*>(block->data()) = 0;
    block->kept = std::make_unique<Kept>();
    Kept& kept = *block->kept;
    if (library.share(x, &kept.x) != 0) throw py::error_already_set();
    kept.saved = std::move(saved);
    kept.layers = self.layers;
    kept.batch_first = batch_first;
    y->owners.fetch_add(1);
    kept.y.reset(y.get());
    Register::the().add(block->data(), &kept);
    reserve = adopt(library, std::move(block));
  }
  py::object c_last = py::none();
  if (c_n != nullptr) c_last = adopt(library, std::move(c_n));
  return py::make_tuple(adopt(library, std::move(y)), adopt(library, std::move(h_n)), c_last, reserve);
}

template <class T>
std::optional<py::object> backward_of(const Kept& kept, const StackSaved<T>& saved, PyObject* dy, PyObject* dh_n,
                                      PyObject* dc_n, bool need_dx, bool need_states, int threads) {
  const LayersOf& self = *kept.layers;
  const Exchange& library = self.library;
  const CallSizes& sizes = self.sizes;
  const dlpack::Tensor& y = kept.y->managed.tensor;
  const Extents h_shape = {sizes.count, saved.batch(), sizes.own}, c_shape = {sizes.count, saved.batch(), sizes.hidden};
  StackBackwardArguments<T> arguments;
  arguments.threads = threads;
  if (dy != Py_None) {
    dlpack::Tensor seen{};
    if (!look_at_rows<T>(library, dy, seen) || !std::equal(y.shape, y.shape + 3, seen.shape)) return std::nullopt;
    arguments.dy = sequence<const T>(seen.data, seen.strides, kept.batch_first);
  }
  if (!look_at_state(library, dh_n, h_shape, arguments.dh_n) || !look_at_state(library, dc_n, c_shape, arguments.dc_n))
    return std::nullopt;

  OwnedBlock dx, dh0 = new_block<T>(h_shape), dc0;
  if (need_dx) {
    dx = new_block<T>({y.shape[0], y.shape[1], sizes.inputs});
    arguments.dx = sequence<T>(dx->data(), dx->strides.data(), kept.batch_first);
  }
  arguments.dh0 = static_cast<T*>(dh0->data());
  if (sizes.states > 0) {
    dc0 = new_block<T>(c_shape);
    arguments.dc0 = static_cast<T*>(dc0->data());
  }
  std::vector<OwnedBlock> gradients(std::size_t(sizes.count) * self.names.size());
  std::size_t first = 0;
  for (const auto& row : self.layers)
    for (const PackedWeights& one : row) {
      place_gradients(one.parameters, arguments.parameters.emplace_back(),
                      [&](const char* name, const std::vector<Index>& shape) {
                        Extents extents{};
                        std::copy(shape.begin(), shape.end(), extents.begin());
                        OwnedBlock block = new_block(kType<T>, int(shape.size()), extents);
                        T* const data = static_cast<T*>(block->data());
                        const auto at = std::find(self.names.begin(), self.names.end(), name) - self.names.begin();
                        gradients.at(first + std::size_t(at)) = std::move(block);
                        return data;
                      });
      first += self.names.size();
    }
  run_by_length(self.work / sizeof(float), saved.steps() * saved.batch(), [&] { backward(saved, arguments); });
  const auto given = [&](OwnedBlock& block, bool needed) {
    return needed && block != nullptr ? adopt(library, std::move(block)) : py::object(py::none());
  };
  py::list weights(gradients.size());
  for (std::size_t k = 0; k < gradients.size(); ++k) weights[k] = given(gradients[k], true);
  return py::make_tuple(given(dx, true), given(dh0, need_states), given(dc0, need_states), weights);
}

PyTypeObject* stack_type = nullptr;

/// Calls f, which returns an object, or nothing for NotImplemented. As Python's functions do, returns null with an
/// error set.
template <class F>
PyObject* guarded(const F& f) {
  try {
    if (std::optional<py::object> found = f()) return found->release().ptr();
  } catch (py::error_already_set& error) {
    error.restore();
    return nullptr;
  } catch (const std::exception&) {  // Python's way fails likewise, and says why
  }
  return Py_NewRef(Py_NotImplemented);
}

/// The arguments of tensor_forward in _core.pyi.
PyObject* tensor_forward(PyObject*, PyObject* const* given, Py_ssize_t count) {
  enum { kStack, kX, kH0, kC0, kWeights, kBatchFirst, kThreads, kKeep, kCount };
  return guarded([&]() -> std::optional<py::object> {
    if (count != kCount || Py_TYPE(given[kStack]) != stack_type) return std::nullopt;
    const auto* const self = object_in<TensorStack>(given[kStack]);
    if (self == nullptr) return std::nullopt;
    const int threads = int(integer("threads", given[kThreads], 1, kMostThreads));
    return with_type(self->layers->layers[0][0].dtype(), [&](auto* type) {
      return forward_of<std::remove_pointer_t<decltype(type)>>(*self, given[kX], given[kH0], given[kC0],
                                                               given[kWeights], given[kBatchFirst] == Py_True, threads,
                                                               given[kKeep] == Py_True);
    });
  });
}

/// The arguments of tensor_backward.
PyObject* tensor_backward(PyObject*, PyObject* const* given, Py_ssize_t count) {
  enum { kAddress, kDy, kDhN, kDcN, kNeedDx, kNeedStates, kThreads, kCount };
  return guarded([&]() -> std::optional<py::object> {
    if (count != kCount || !PyLong_CheckExact(given[kAddress])) return std::nullopt;
    const void* const address = PyLong_AsVoidPtr(given[kAddress]);
    if (PyErr_Occurred() != nullptr) {  // a number too large for an address
      PyErr_Clear();
      return std::nullopt;
    }
    const Kept* const kept = Register::the().find(address);
    if (kept == nullptr) return py::none();
    const int threads = int(integer("threads", given[kThreads], 1, kMostThreads));
    return std::visit(
        [&](const auto& saved) {
          return backward_of(*kept, *saved, given[kDy], given[kDhN], given[kDcN], given[kNeedDx] == Py_True,
                             given[kNeedStates] == Py_True, threads);
        },
        kept->saved);
  });
}

void add_function(py::module_& module, PyMethodDef& method) {
  PyObject* const made = PyCFunction_New(&method, nullptr);
  if (made == nullptr) throw py::error_already_set();
  module.attr(method.ml_name) = py::reinterpret_steal<py::object>(made);
}

/// The table of functions of a type's objects; null where it has none that we know.
const Exchange* exchange_of(py::handle type) {
  const py::object capsule = py::getattr(type, "__dlpack_c_exchange_api__", py::none());
  if (PyCapsule_IsValid(capsule.ptr(), Exchange::kName) == 0) return nullptr;
  const auto* table = static_cast<const Exchange*>(PyCapsule_GetPointer(capsule.ptr(), Exchange::kName));
  while (table != nullptr && table->version.major != dlpack::kVersion.major) table = table->previous;
  return table != nullptr && table->look != nullptr ? table : nullptr;
}

}  // namespace

void bind_tensors(py::module_& module) {
  using namespace py::literals;
  py::class_<TensorStack> type = bind_class<TensorStack>(
      module, "TensorStack", "Packed layers, and the tensors that they were packed from, for calls on tensors.");
  stack_type = reinterpret_cast<PyTypeObject*>(type.ptr());
  module.def(
      "tensor_stack",
      [](py::handle given, py::list copies, std::vector<std::string> names) -> py::object {
        const Exchange* const library = copies.empty() ? nullptr : exchange_of(py::type::handle_of(copies[0]));
        if (library == nullptr) return py::none();
        auto layers = std::make_shared<LayersOf>(
            LayersOf{*library, layer_list<PackedWeights>(given, [](const auto&...) {}), std::move(names)});
        layers->finish();
        auto stack = std::make_unique<TensorStack>(TensorStack{std::move(layers), std::move(copies), {}});
        for (const py::handle copy : stack->copies)
          if (!look(*library, copy.ptr(), stack->known.emplace_back())) return py::none();
        return py::cast(std::move(stack));
      },
      "layers"_a, "copies"_a, "names"_a);
  module.def("tensor_caches", [] { return Register::the().size(); });
  static PyMethodDef forward = {"tensor_forward", fast_call(tensor_forward), METH_FASTCALL, nullptr};
  static PyMethodDef backward = {"tensor_backward", fast_call(tensor_backward), METH_FASTCALL, nullptr};
  add_function(module, forward);
  add_function(module, backward);
}

}  // namespace fastrnn::python
