// The C structures of DLPack (dmlc/dlpack, versions 0.x and 1.x), as arrays are exchanged by them.
#pragma once

#include <cstdint>

namespace fastrnn::python::dlpack {

enum DeviceType : std::int32_t { kCpu = 1, kCuda = 2, kCudaManaged = 13 };

enum TypeCode : std::uint8_t { kInt = 0, kUnsigned = 1, kFloat = 2, kBfloat = 4, kComplex = 5, kBool = 6 };

struct Device {
  std::int32_t type;
  std::int32_t ordinal;
};

struct DataType {
  std::uint8_t code;
  std::uint8_t bits;
  std::uint16_t lanes;
};

struct Tensor {
  void* data;
  Device device;
  std::int32_t rank;
  DataType type;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null: contiguous
  std::uint64_t byte_offset;
};

/// The contents of a capsule named "dltensor". The deleter, if there is one, frees the tensor and this structure.
struct Managed {
  static constexpr const char *kName = "dltensor", *kUsed = "used_dltensor";
  Tensor tensor;
  void* owner;
  void (*deleter)(Managed*);
};

struct Version {
  std::uint32_t major, minor;
};
/// The version written here. With another major version, only the fields `version` and `deleter` may be read.
constexpr Version kVersion = {1, 0};

/// The contents of a capsule named "dltensor_versioned".
struct ManagedVersioned {
  static constexpr const char *kName = "dltensor_versioned", *kUsed = "used_dltensor_versioned";
  Version version;
  void* owner;
  void (*deleter)(ManagedVersioned*);
  std::uint64_t flags;  // 1: read-only, 2: a copy
  Tensor tensor;
};

/// What a capsule named "dlpack_exchange_api" refers to, which a type has as its `__dlpack_c_exchange_api__`
/// (DLPack 1.3): the functions by which objects of that type are read and made without Python. They return 0, or else
/// set an error of Python; none synchronises a stream. `object` is a PyObject.
struct Exchange {
  static constexpr const char* kName = "dlpack_exchange_api";
  Version version;
  const Exchange* previous;  // a table of an older major version, or null
  int (*allocate)(Tensor*, ManagedVersioned**, void*, void (*)(void*, const char*, const char*));
  int (*share)(void* object, ManagedVersioned** shared);
  int (*adopt)(ManagedVersioned* tensor, void** object);  // takes the tensor
  int (*look)(void* object, Tensor* seen);                // borrows from the object; the function may be null
};

}  // namespace fastrnn::python::dlpack
