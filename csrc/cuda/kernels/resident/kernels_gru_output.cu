#include "cuda/kernels/resident/instantiate.h"

FASTRNN_KERNELS(gru_output, GruOutput)
