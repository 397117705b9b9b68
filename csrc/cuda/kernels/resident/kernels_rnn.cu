#include "cuda/kernels/resident/instantiate.h"

FASTRNN_KERNELS(rnn, Rnn)
