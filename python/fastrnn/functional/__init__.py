"""The cells as functions on NumPy arrays: forward, backward, single steps and packed weights.

Shapes, everywhere: T time steps, B batch, I input size, H hidden size, P width of h and y (H, or less with an LSTM's
projection), G gates (RNN and IndRNN 1, MGU 2, GRU 3, LSTM and sLSTM 4).

- ``x`` (T, B, I), or (B, T, I) with ``batch_first=True``; ``y`` alike with P last
- ``h0, h_n`` (1, B, P); ``c0, c_n`` and the sLSTM's n and m (1, B, H)
- ``w_ih`` (G*H, I), ``w_hh`` (G*H, P), ``b_ih, b_hh`` (G*H,) or None (zero): PyTorch's parameters.
  Gate order: LSTM i, f, g, o; GRU r, z, n; MGU f, n; sLSTM i, f, z, o
- ``lengths`` (B,), integers in 0..T: row b runs only its first ``lengths[b]`` steps, ``y`` beyond them is zero and
  ``h_n`` is the state at the row's own end (``h0`` for a length of 0)
- ``threads``: how many may work on this call; None is :func:`fastrnn.set_num_threads`'s number, at first 1. Results do
  not depend on it, and calls of less than about 100 us use one
- ``reverse=True``: every row runs from its last step to its first; ``y`` stays in time order

All arrays are float32, or all are float64. Time and batch axes may have any strides; an array whose last axis is not
contiguous is copied, once. Anything that NumPy can view is taken as an array without a copy: tensors of PyTorch on the
CPU and whatever else has ``__array__``, a buffer or DLPack; one that requires a gradient is refused, as none would be
computed. Integers, bool and float16 have no dtype of the call's, nor have lists: they are converted, in a copy, to the
dtype of the weights, or where all are such to float32. ``out`` must be a NumPy array. Results are NumPy arrays.
TypeError for a wrong type or dtype or an unknown keyword, ValueError for a wrong shape or
value, both naming the argument, what was expected and what came. T, B and I may be 0. The GIL is released during the
computation; in the main thread it is taken back at most every 50 ms to look for signals, so that Ctrl-C ends a call on
the CPU that is still running. What was in ``out`` is lost then; all else is as before the call.

Packed weights have a dtype (the ``dtype`` of ``pack_*``). None keeps that of ``w_ih``, which all parameters must then
have; another is converted to. x, y and the states are float64 for "float64" and float32 for all others. Sums, gates,
biases and the LSTM's c stay float32, whatever the weights; docs/accuracy.md has the errors on real models.

- "bfloat16": weights, x and h are rounded to bfloat16
- "bfloat16_weights": the weights alone are
- "int8": weights become integers in -127..127 with a scale per output channel (for w_ih, w_hh and full peepholes
  each), x and h with a scale per row that is found at every step

With ``fast_activations`` sigmoid is within 2.9e-5 and tanh within 6.5e-5, relative (float32 state only).
Training takes float32 and float64 with exact activations only.

Options of the weights: taken by ``pack_<cell>``, ``<cell>_cell`` and ``<cell>_forward``, but not beside PackedWeights,
which have them. None is the default of each.

- ``activation`` ("tanh"): f of RNN and IndRNN, the candidate's of the others; ``recurrent_activation`` ("sigmoid"): the
  gates' of LSTM, GRU, MGU; ``output_activation``: the LSTM's ``h' = o*f(c')``, by default the same as ``activation``.
  A name, or (name, alpha) or (name, alpha, beta), with ONNX's formulas and defaults: tanh, sigmoid, relu, identity
  (linear), leaky_relu (0.01), elu (1), selu, softsign, softplus, hard_sigmoid (0.2, 0.5), scaled_tanh (1, 1),
  thresholded_relu (1), affine (1, 0), exponential
- ``clip``: clamps every pre-activation to +-clip before its activation (ONNX); not the sLSTM's
- ``cell_clip``: clamps the LSTM's c' to +-cell_clip (TensorFlow). ``forget_bias``: added to its forget gate (0.0)
- ``w_hr`` (P, H) projects the LSTM's h (Sak et al. 2014), ``proj_clip`` clamps what comes out
- ``ln_ih, ln_hh`` (G*H,), ``norm_eps`` (1e-5): gains of layer normalisation (Ba et al. 2016). The biases stay the
  biases, LN(v) = (v - mean)/sqrt(variance + eps): ``LN(W x)*ln_ih + b_ih + LN(R h)*ln_hh + b_hh``, over all 4*H of an
  LSTM; r and z together and n alone of a GRU; ``LN(W x + R h)*ln_hh + b_ih + b_hh``, without ln_ih, for an RNN.
  ``ln_c`` (2, H): gain and bias of one more in the LSTM, ``h' = o*f(LN(c')*ln_c[0] + ln_c[1])``
- ``zoneout_h``, ``zoneout_c``: rates of Zoneout (Krueger et al. 2016): each unit of h (all cells but sLSTM) and c
  (LSTM) keeps its old value with that probability in training, and is the mean of old and new in inference
- ``weight_dropout``: rate of DropConnect on w_hh (Merity et al. 2018), all cells but IndRNN; drawn when the weights are
  packed, by ``<cell>_forward`` in training only. ``seed`` decides what is dropped

Options of a run: taken by ``<cell>_forward``, packed weights or not.

- ``mask`` (T, B) of bool, or (B, T) with ``batch_first``: a step where it is False leaves the state as it is, and ``y``
  repeats the last valid one before it in running order (zero if there is none), or is zero with
  ``zero_output_for_mask=True``
- ``reset_mask``, in the same shape: True where a new sequence begins, with a state of zero before it. With ``reverse``
  the state is zero when step t-1 is entered from there: the boundary is the same
- ``batch_sizes`` (T,), falling integers >= 1: x is PyTorch's packed data (N, I), N their sum, and so are y, dy (N, P);
  B is ``batch_sizes[0]``
- ``dropout`` (Gal & Ghahramani 2016): rate of a mask on x, one for all steps; ``recurrent_dropout``: the same on h
  where it meets w_hh; ``candidate_dropout`` (Semeniuta et al. 2016; LSTM, GRU, MGU): a mask on the candidate, a new one
  each step. In training only; what is kept is divided by 1 - rate
- ``seed``: an integer in 0..2**64-1 for all masks of the call, None for a fresh one. The masks are Philox4x32-10
  (Salmon et al. 2011) of the seed and the place in the batch, the same on every machine and for any number of threads
- ``checkpoint_every=k``: keep the state every k steps for the backward pass, and compute what is between again
- ``truncate=k``: no gradient flows back from a row's step number k, 2*k, ... to the one before; the first in running
  order is 0, and steps that do not run (masked, beyond the row's length) have no number
- ``device``: "cpu", or "cuda" ("cuda:N") for a GPU: every cell, float32 arrays, and all options but ``threads``
  and, in training, ``checkpoint_every``. CudaError, with the reason, where that GPU is not there.
  ``device_dtype``: of the weights there, "float32", "tf32", "bfloat16" or "float16"; :func:`pack_cuda` sends them once.
  ``stream``: where the arrays themselves are on a GPU (PyTorch's, CuPy's, JAX's, ...: then ``device`` need not be
  given, and the results are of the same library), a stream of theirs in place of their current one, see
  docs/cuda-arrays.md;
  ``device_tier``: one of :func:`fastrnn.plan`, in place of the fastest. These kernels have run in emulation only
"""

from __future__ import annotations

from .._core import Cache, PackedWeights
from ._gru import GRUGrads, GRUOutput, gru_backward, gru_cell, gru_forward, pack_gru
from ._indrnn import IndRNNGrads, IndRNNOutput, indrnn_backward, indrnn_cell, indrnn_forward, pack_indrnn
from ._lstm import LSTMGrads, LSTMOutput, LSTMState, lstm_backward, lstm_cell, lstm_forward, pack_lstm
from ._mgu import MGUGrads, MGUOutput, mgu_backward, mgu_cell, mgu_forward, pack_mgu
from ._options import Activation, ActivationName, DtypeName, ForgetGate, PeepholeOutput, Reset
from ._rnn import RNNGrads, RNNOutput, pack_rnn, rnn_backward, rnn_cell, rnn_forward
from ._slstm import SLSTMGrads, SLSTMOutput, SLSTMState, pack_slstm, slstm_backward, slstm_cell, slstm_forward
from .gpu.pack import pack_cuda

__all__ = [
    "Activation", "ActivationName", "Cache", "DtypeName", "ForgetGate", "GRUGrads", "GRUOutput", "IndRNNGrads",
    "IndRNNOutput", "LSTMGrads", "LSTMOutput", "LSTMState", "MGUGrads", "MGUOutput", "PackedWeights", "PeepholeOutput",
    "RNNGrads", "RNNOutput", "Reset", "SLSTMGrads", "SLSTMOutput", "SLSTMState", "gru_backward", "gru_cell",
    "gru_forward", "indrnn_backward", "indrnn_cell", "indrnn_forward", "lstm_backward", "lstm_cell", "lstm_forward",
    "mgu_backward", "mgu_cell", "mgu_forward", "pack_cuda", "pack_gru", "pack_indrnn", "pack_lstm", "pack_mgu",
    "pack_rnn", "pack_slstm", "rnn_backward", "rnn_cell", "rnn_forward", "slstm_backward", "slstm_cell",
    "slstm_forward",
]  # fmt: skip
