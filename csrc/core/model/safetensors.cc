#include "core/model/safetensors.h"

#include <cfloat>
#include <cmath>
#include <cstring>

namespace fastrnn {

namespace {

/// The format's dtypes. Those of less than a byte are left out: fastrnn never writes them.
struct Dtype {
  std::string_view name;
  Index bytes;
};
constexpr Dtype kDtypes[] = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"F8_E8M0", 1},
                             {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},     {"U32", 4},
                             {"F32", 4},  {"I64", 8}, {"U64", 8}, {"F64", 8},     {"C64", 8}};

Index bytes_of(std::string_view name) {
  for (const Dtype& dtype : kDtypes)
    if (dtype.name == name) return dtype.bytes;
  return 0;
}

std::uint64_t little_endian(const unsigned char* from, int bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value |= std::uint64_t(from[i]) << 8 * i;
  return value;
}

template <class T, class Bits>
T from_bits(Bits bits) {
  static_assert(sizeof(T) == sizeof(Bits));
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

/// IEEE 754 binary16: a sign, 5 bits of exponent, 10 of mantissa.
double half(std::uint64_t bits) {
  const int exponent = int(bits >> 10 & 0x1f), mantissa = int(bits & 0x3ff);
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == 0x1f) return mantissa != 0 ? NAN : sign * INFINITY;
  return sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(mantissa + 0x400, exponent - 25));
}

double number(std::string_view dtype, const unsigned char* from) {
  if (dtype == "F32") return from_bits<float>(std::uint32_t(little_endian(from, 4)));
  if (dtype == "F64") return from_bits<double>(little_endian(from, 8));
  if (dtype == "BF16") return from_bits<float>(std::uint32_t(little_endian(from, 2) << 16));
  return half(little_endian(from, 2));
}

}  // namespace

std::string Tensor::shape_text() const {
  std::string text = "(";
  for (int i = 0; i < axes; ++i) text += std::to_string(shape[i]) + (i + 1 < axes ? ", " : axes == 1 ? "," : "");
  return text + ")";
}

SafetensorsFile::SafetensorsFile(const ByteSource& source) : source_(source) {
  constexpr std::uint64_t prefix = 8;
  if (source.size() < prefix)
    throw Error("expected a safetensors file, of 8 bytes or more, got " + std::to_string(source.size()));
  unsigned char length_bytes[prefix];
  source.read(0, prefix, length_bytes);
  const std::uint64_t length = little_endian(length_bytes, prefix);
  if (length > source.size() - prefix)
    throw Error("header: expected at most the " + std::to_string(source.size() - prefix) +
                " bytes that follow, got a length of " + std::to_string(length) +
                " (the file is cut short, or no safetensors file: 'fastrnn convert' makes one of other formats)");
  if (length > kMostHeader)
    throw Error("header: expected at most " + std::to_string(kMostHeader) + " bytes, got " + std::to_string(length));
  header_.resize(std::size_t(length));
  source.read(prefix, header_.size(), header_.data());
  if (header_.empty() || header_[0] != '{') throw Error("header: expected '{' at its beginning");
  JsonReader json(header_.data(), header_.size(), "header");
  json.object([&](std::string_view name) {
    if (name == "__metadata__")
      read_metadata(json);
    else
      tensors_.push_back(read_tensor(json, name, prefix + length));
  });
  json.end();
  check_places(prefix + length);
  std::sort(tensors_.begin(), tensors_.end(), [](const Tensor& a, const Tensor& b) { return a.name < b.name; });
}

void SafetensorsFile::read_metadata(JsonReader& json) {
  json.object([&](std::string_view key) { metadata_.emplace_back(key, json.string()); });
}

Tensor SafetensorsFile::read_tensor(JsonReader& json, std::string_view name, std::uint64_t data) const {
  Tensor tensor;
  tensor.name = name;
  const std::uint64_t available = source_.size() - data;
  bool has_shape = false, has_offsets = false;
  json.object([&](std::string_view key) {
    if (key == "dtype") {
      tensor.dtype = json.string();
    } else if (key == "shape") {
      has_shape = true;
      json.array([&](std::size_t i) {
        if (i >= Tensor::kMostAxes) json.fail("at most 8 axes", "more");
        tensor.shape[tensor.axes++] = json.integer();
      });
    } else if (key == "data_offsets") {
      has_offsets = true;
      std::size_t count = 0;
      json.array([&](std::size_t i) {
        if (i >= 2) json.fail("two offsets", "more");
        const std::uint64_t offset = std::uint64_t(json.integer());
        if (offset > available)
          json.fail("an offset within the " + std::to_string(available) + " bytes of data", std::to_string(offset));
        (i == 0 ? tensor.begin : tensor.end) = data + offset;
        count = i + 1;
      });
      if (count != 2) json.fail("two offsets", std::to_string(count));
    } else {
      json.fail("dtype, shape or data_offsets", quoted(key));
    }
  });
  const std::string what = "array " + quoted(name) + ": expected ";
  if (tensor.dtype.data() == nullptr || !has_shape || !has_offsets) throw Error(what + "dtype, shape and data_offsets");
  const Index bytes = bytes_of(tensor.dtype);
  if (bytes == 0) throw Error(what + "a dtype of safetensors, got " + quoted(tensor.dtype));
  for (int i = 0; i < tensor.axes; ++i) {
    if (tensor.shape[i] > 0 && tensor.elements > PTRDIFF_MAX / bytes / tensor.shape[i])
      throw Error(what + "a shape that fits the file, got " + tensor.shape_text());
    tensor.elements *= tensor.shape[i];
  }
  if (tensor.end < tensor.begin || tensor.end - tensor.begin != std::uint64_t(tensor.elements * bytes))
    throw Error(what + std::to_string(tensor.elements * bytes) + " bytes for shape " + tensor.shape_text() + " of " +
                std::string(tensor.dtype) + ", got offsets " + std::to_string(tensor.begin - data) + " to " +
                std::to_string(tensor.end - data));
  return tensor;
}

void SafetensorsFile::check_places(std::uint64_t data) {
  std::sort(tensors_.begin(), tensors_.end(),
            [](const Tensor& a, const Tensor& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::uint64_t expected = data;
  for (const Tensor& tensor : tensors_) {
    if (tensor.begin != expected)
      throw Error("array " + quoted(tensor.name) + ": expected to begin at offset " + std::to_string(expected - data) +
                  ", where the array before it ends, got " + std::to_string(tensor.begin - data));
    expected = tensor.end;
  }
  if (expected != source_.size())
    throw Error("expected the arrays to fill the file, got " + std::to_string(source_.size() - expected) +
                " bytes that belong to none");
}

std::string_view SafetensorsFile::metadata(std::string_view key) const {
  for (const auto& [name, value] : metadata_)
    if (name == key) return value;
  return {};
}

Tensor* SafetensorsFile::find(std::string_view name) {
  const auto place = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                      [](const Tensor& tensor, std::string_view key) { return tensor.name < key; });
  return place != tensors_.end() && place->name == name ? &*place : nullptr;
}

std::vector<float> SafetensorsFile::floats(const Tensor& tensor) const {
  const std::string_view dtype = tensor.dtype;
  if (dtype != "F32" && dtype != "F64" && dtype != "F16" && dtype != "BF16")
    throw Error("array " + quoted(tensor.name) + ": expected F32, F64, F16 or BF16, got " + std::string(dtype));
  const Index bytes = bytes_of(dtype), chunk = std::min<Index>(tensor.elements, 8192);
  std::vector<unsigned char> raw(std::size_t(chunk * bytes));
  std::vector<float> values(std::size_t(tensor.elements));
  for (Index first = 0; first < tensor.elements; first += chunk) {
    const Index n = std::min(chunk, tensor.elements - first);
    source_.read(tensor.begin + std::uint64_t(first * bytes), std::size_t(n * bytes), raw.data());
    for (Index i = 0; i < n; ++i) {
      const double value = number(dtype, raw.data() + i * bytes);
      if (!(std::abs(value) <= FLT_MAX))
        throw Error("array " + quoted(tensor.name) + ": expected finite numbers in the range of float, got " +
                    std::to_string(value) + " at element " + std::to_string(first + i));
      values[std::size_t(first + i)] = float(value);
    }
  }
  return values;
}

}  // namespace fastrnn
