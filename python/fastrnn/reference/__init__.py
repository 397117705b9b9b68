"""The equations in plain NumPy: every cell of fastrnn, forward and backward, written to be read beside the papers.

It imports NumPy alone and computes in float64 (or the ``dtype`` asked), one time step after the other. The fast
functions of :mod:`fastrnn` are tested against it; it is itself tested by finite differences. Signatures are those of
the fast functions, without ``out``, ``threads`` and packed weights. Errors are NumPy's own, but for unknown options
and values of options.

Shapes: T time steps, B batch, I input size, H hidden size, P width of h and y (H, or the rows of w_hr), G gates (RNN,
IndRNN 1, MGU 2, GRU 3, LSTM, sLSTM 4). ``x`` (T,B,I), ``y`` (T,B,P), ``h0 h_n`` (1,B,P), all other states (1,B,H),
``w_ih`` (G*H,I), ``w_hh`` (G*H,P) or for the IndRNN (H,), ``b_ih b_hh`` (G*H,), ``w_peep`` (3,H) or (3,H,H), ``w_hr``
(P,H), ``ln_ih ln_hh`` (G*H,), ``ln_c`` (2,H). Gates stand in the order i, f, g, o (LSTM), r, z, n (GRU), f, n (MGU),
i, f, z, o (sLSTM), peepholes i, f, o.

Files, in the order to read them: activations, products (with layer normalisation); a file for each cell: rnn, indrnn,
lstm, gru, mgu, slstm, with one step forward, one step backward, and its functions; sequence, the time loop which all of
them share; random, the masks; run, what the functions share; windows, convolution and pooling over time.
A backward step takes d loss/d(new state) and returns d loss/d(x), d loss/d(old state) and d loss/d(parameters); in it,
``dv`` stands for d loss/dv and ``a`` is what goes into an activation.

Elman (1990) Finding structure in time.  Hochreiter & Schmidhuber (1997) Long short-term memory.
Gers, Schmidhuber & Cummins (2000) Learning to forget.  Gers & Schmidhuber (2000) Recurrent nets that time and count.
Graves (2013) Generating sequences with recurrent neural networks.
Cho et al. (2014) Learning phrase representations using RNN encoder-decoder.
Sak, Senior & Beaufays (2014) Long short-term memory based recurrent neural network architectures.
Zhou, Wu, Zhang & Zhou (2016) Minimal gated unit for recurrent neural networks.
Ba, Kiros & Hinton (2016) Layer normalization.  Gal & Ghahramani (2016) A theoretically grounded application of dropout.
Semeniuta, Severyn & Barth (2016) Recurrent dropout without memory loss.  Krueger et al. (2016) Zoneout.
Li et al. (2018) Independently recurrent neural network.  Merity et al. (2018) Regularizing LSTM language models.
Beck et al. (2024) xLSTM: Extended long short-term memory.
"""

from __future__ import annotations

from .activations import ACTIVATIONS, Array, sigmoid
from .gru import GRUGrads, GRUOutput, gru_backward, gru_cell, gru_forward, gru_step, gru_step_backward
from .indrnn import (
    IndRNNGrads,
    IndRNNOutput,
    indrnn_backward,
    indrnn_cell,
    indrnn_forward,
    indrnn_step,
    indrnn_step_backward,
)
from .lstm import (
    LSTMGrads,
    LSTMOutput,
    LSTMState,
    lstm_backward,
    lstm_cell,
    lstm_forward,
    lstm_step,
    lstm_step_backward,
    peep,
    peep_backward,
)
from .mgu import MGUGrads, MGUOutput, mgu_backward, mgu_cell, mgu_forward, mgu_step, mgu_step_backward
from .products import Params, affine, affine_backward
from .random import dropout, philox4x32
from .rnn import RNNGrads, RNNOutput, rnn_backward, rnn_cell, rnn_forward, rnn_step, rnn_step_backward
from .sequence import Cache
from .slstm import (
    SLSTMGrads,
    SLSTMOutput,
    SLSTMState,
    slstm_backward,
    slstm_cell,
    slstm_forward,
    slstm_step,
    slstm_step_backward,
)
from .windows import average_pooling1d, conv1d, max_pooling1d, window_times

__all__ = [
    "ACTIVATIONS",
    "Array",
    "Cache",
    "GRUGrads",
    "GRUOutput",
    "IndRNNGrads",
    "IndRNNOutput",
    "LSTMGrads",
    "LSTMOutput",
    "LSTMState",
    "MGUGrads",
    "MGUOutput",
    "Params",
    "RNNGrads",
    "RNNOutput",
    "SLSTMGrads",
    "SLSTMOutput",
    "SLSTMState",
    "affine",
    "affine_backward",
    "average_pooling1d",
    "conv1d",
    "dropout",
    "gru_backward",
    "gru_cell",
    "gru_forward",
    "gru_step",
    "gru_step_backward",
    "indrnn_backward",
    "indrnn_cell",
    "indrnn_forward",
    "indrnn_step",
    "indrnn_step_backward",
    "lstm_backward",
    "lstm_cell",
    "lstm_forward",
    "lstm_step",
    "lstm_step_backward",
    "max_pooling1d",
    "mgu_backward",
    "mgu_cell",
    "mgu_forward",
    "mgu_step",
    "mgu_step_backward",
    "peep",
    "peep_backward",
    "philox4x32",
    "rnn_backward",
    "rnn_cell",
    "rnn_forward",
    "rnn_step",
    "rnn_step_backward",
    "sigmoid",
    "slstm_backward",
    "slstm_cell",
    "slstm_forward",
    "slstm_step",
    "slstm_step_backward",
    "window_times",
]  # fmt: skip
