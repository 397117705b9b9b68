// What this build is.
#include "fastrnn/fastrnn.hpp"

namespace fastrnn {

const char* version() noexcept { return FASTRNN_VERSION_STRING; }
int abi_version() noexcept { return FASTRNN_ABI_VERSION; }
const char* compiler() noexcept { return FASTRNN_COMPILER; }
const char* compiler_flags() noexcept { return FASTRNN_FLAGS; }

}  // namespace fastrnn
