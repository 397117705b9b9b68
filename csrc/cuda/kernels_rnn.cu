#include "cuda/instantiate.h"

FASTRNN_KERNELS(rnn, Rnn)
