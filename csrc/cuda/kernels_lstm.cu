#include "cuda/instantiate.h"

FASTRNN_KERNELS(lstm, Lstm)
