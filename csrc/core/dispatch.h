// Which instruction set runs. The only CPUID and the only environment look-up of the project.
#pragma once

#include "core/kernels.h"

namespace fastrnn {

const Backend& current_backend();

}  // namespace fastrnn
