#include "cuda/kernels/resident/instantiate.h"

FASTRNN_KERNELS(gru_after, GruAfter)
