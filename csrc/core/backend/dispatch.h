// Which instruction set runs. The only CPUID and the only environment look-up of the project.
#pragma once

#include "core/backend/kernels.h"

namespace fastrnn {

const Backend& current_backend();

/// The name of the index-th of available_isas(), or null.
const char* available_isa(std::size_t index);

}  // namespace fastrnn
