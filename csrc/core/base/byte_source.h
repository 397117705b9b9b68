// Where a model's bytes come from: a file or memory. What is read is copied; a mapped file could be cut short by
// another process, and reading it would then kill this one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace fastrnn {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual std::uint64_t size() const = 0;
  /// Copies `count` bytes from `offset` on, which the caller keeps within size(). Throws Error if they cannot be read.
  virtual void read(std::uint64_t offset, std::size_t count, void* to) const = 0;
};

class MemorySource final : public ByteSource {
 public:
  MemorySource(const void* data, std::size_t bytes) : data_(static_cast<const char*>(data)), bytes_(bytes) {}
  std::uint64_t size() const override { return bytes_; }
  void read(std::uint64_t offset, std::size_t count, void* to) const override;

 private:
  const char* data_;
  std::size_t bytes_;
};

/// A regular file; anything else is refused.
class FileSource final : public ByteSource {
 public:
  explicit FileSource(const std::string& path);
  ~FileSource() override;
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;
  std::uint64_t size() const override { return size_; }
  void read(std::uint64_t offset, std::size_t count, void* to) const override;

 private:
  int descriptor_;
  std::uint64_t size_ = 0;
};

}  // namespace fastrnn
