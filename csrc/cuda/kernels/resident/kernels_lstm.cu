#include "cuda/kernels/resident/instantiate.h"

FASTRNN_KERNELS(lstm, Lstm)
