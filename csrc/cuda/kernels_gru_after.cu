#include "cuda/instantiate.h"

FASTRNN_KERNELS(gru_after, GruAfter)
