#include "core/base/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "fastrnn/fastrnn.hpp"

namespace fastrnn {

namespace {

std::string system_message() { return std::generic_category().message(errno); }

}  // namespace

void MemorySource::read(std::uint64_t offset, std::size_t count, void* to) const {
  if (count > 0) std::memcpy(to, data_ + offset, count);
}

// Without O_NONBLOCK a pipe would wait for its writer.
FileSource::FileSource(const std::string& path) : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (descriptor_ < 0) throw Error("expected a file that can be read, got: " + system_message());
  struct stat status;
  const bool known = fstat(descriptor_, &status) == 0;
  if (known && S_ISREG(status.st_mode)) {
    size_ = std::uint64_t(status.st_size);
    return;
  }
  close(descriptor_);
  throw Error("expected a regular file, got a " + std::string(S_ISDIR(status.st_mode) ? "folder" : "device or pipe"));
}
FileSource::~FileSource() { close(descriptor_); }

void FileSource::read(std::uint64_t offset, std::size_t count, void* to) const {
  char* out = static_cast<char*>(to);
  while (count > 0) {
    const ssize_t n = pread(descriptor_, out, count, off_t(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error("expected to read byte " + std::to_string(offset) + ", got: " + system_message());
    if (n == 0) throw Error("expected the file to stay as it is, but it became shorter while it was read");
    out += n;
    offset += std::uint64_t(n);
    count -= std::size_t(n);
  }
}

}  // namespace fastrnn
