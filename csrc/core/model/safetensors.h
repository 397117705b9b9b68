// The safetensors format (https://github.com/huggingface/safetensors, "Format"): eight bytes with the length of the
// header, little-endian; the header, JSON; the arrays. Nothing in a file is believed before it has been checked.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/byte_source.h"
#include "core/base/json.h"

namespace fastrnn {

struct Tensor {
  static constexpr int kMostAxes = 8;
  std::string_view name, dtype;
  Index shape[kMostAxes];
  int axes = 0;
  Index elements = 1;
  std::uint64_t begin = 0, end = 0;  // its bytes in the file
  bool used = false;                 // a layer has taken it: layers cannot take more memory than the file has

  std::string shape_text() const;
};

class SafetensorsFile {
 public:
  /// Longer headers are refused (the format allows 100 MB): a thousand layers take less than one.
  static constexpr std::uint64_t kMostHeader = 16 << 20;

  /// Reads the header and checks every array's place: inside the file, neither overlapping nor with holes between.
  explicit SafetensorsFile(const ByteSource& source);

  /// The entry of the file's metadata with this key; empty, with null data, where there is none.
  std::string_view metadata(std::string_view key) const;
  Tensor* find(std::string_view name);
  /// F64, F32, F16 or BF16, all finite in float; throws Error by name for anything else.
  std::vector<float> floats(const Tensor& tensor) const;

 private:
  void read_metadata(JsonReader& json);
  Tensor read_tensor(JsonReader& json, std::string_view name, std::uint64_t data) const;
  void check_places(std::uint64_t data);

  const ByteSource& source_;
  std::string header_;
  std::vector<std::pair<std::string_view, std::string_view>> metadata_;
  std::vector<Tensor> tensors_;  // by name
};

}  // namespace fastrnn
