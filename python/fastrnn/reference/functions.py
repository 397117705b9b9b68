"""The public functions: they sort the options, run the loop, and name what comes out."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import random, sequence
from .activations import Clipped, activation
from .gru import gru_step, gru_step_backward, mgu_step, mgu_step_backward
from .lstm import lstm_step, lstm_step_backward
from .products import Options
from .results import (
    Array,
    GRUGrads,
    GRUOutput,
    IndRNNGrads,
    IndRNNOutput,
    LSTMGrads,
    LSTMOutput,
    LSTMState,
    MGUGrads,
    MGUOutput,
    RNNGrads,
    RNNOutput,
    SLSTMGrads,
    SLSTMOutput,
    SLSTMState,
)
from .rnn import indrnn_step, indrnn_step_backward, rnn_step, rnn_step_backward
from .sequence import Cache, Cell, Rates, Run
from .slstm import slstm_step, slstm_step_backward

CELLS = {
    "rnn": Cell(rnn_step, rnn_step_backward, 1, 1),
    "lstm": Cell(lstm_step, lstm_step_backward, 4, 2),
    "gru": Cell(gru_step, gru_step_backward, 3, 1),
    "indrnn": Cell(indrnn_step, indrnn_step_backward, 1, 1),
    "mgu": Cell(mgu_step, mgu_step_backward, 2, 1),
    "slstm": Cell(slstm_step, slstm_step_backward, 4, 4),
}
OUTPUTS: dict[str, Any] = {
    "rnn": RNNOutput, "lstm": LSTMOutput, "gru": GRUOutput, "indrnn": IndRNNOutput, "mgu": MGUOutput,
    "slstm": SLSTMOutput,
}  # fmt: skip
GRADS: dict[str, Any] = {
    "rnn": RNNGrads, "lstm": LSTMGrads, "gru": GRUGrads, "indrnn": IndRNNGrads, "mgu": MGUGrads, "slstm": SLSTMGrads,
}  # fmt: skip

_ACTIVATIONS = {"activation", "recurrent_activation"}
_GATED = {*_ACTIVATIONS, "clip", "zoneout_h", "weight_dropout", "candidate_dropout"}
_NORM = {"ln_ih", "ln_hh", "norm_eps"}
# what each cell takes beside its four parameters, its states and the keywords of a run
_OPTIONS: dict[str, set[str]] = {
    "rnn": {"activation", "clip", "zoneout_h", "weight_dropout", "ln_hh", "norm_eps"},
    "lstm": _GATED | _NORM | {
        "output_activation", "cell_clip", "forget_bias", "coupled", "w_peep", "peephole_output", "w_hr", "proj_clip",
        "ln_c", "zoneout_c",
    },
    "gru": _GATED | _NORM | {"reset"},
    "indrnn": {"activation", "clip", "zoneout_h"},
    "mgu": _GATED,
    "slstm": {"weight_dropout", "forget_gate"},
}  # fmt: skip
_CHOICES: dict[str, tuple[Any, ...]] = {
    "peephole_output": ("current", "previous"),
    "coupled": (False, True),
    "reset": ("after", "before", "output"),
    "forget_gate": ("sigmoid", "exp"),
}
_PARAMETERS = ("w_peep", "w_hr", "ln_ih", "ln_hh", "ln_c")
_TRAINING = ("dropout", "recurrent_dropout", "candidate_dropout", "weight_dropout")  # rates ignored outside of it
_ALWAYS = ("zoneout_h", "zoneout_c")
_RUN = {*Run.__dataclass_fields__, "dropout", "recurrent_dropout", "checkpoint_every", "dtype"}


def _options(o: dict[str, Any]) -> Options:
    """The options of a cell from the keywords, of which None counts as not given."""
    for name, choices in _CHOICES.items():
        if name in o and o[name] not in choices:
            raise ValueError(f"{name}: expected one of {', '.join(map(repr, choices))}, got {o[name]!r}")
    for name in ("clip", "cell_clip", "proj_clip"):
        if name in o and not o[name] > 0:
            raise ValueError(f"{name}: expected a number > 0, got {o[name]}")
    candidate = o.pop("activation", "tanh")
    gate = o.pop("recurrent_activation", "sigmoid")
    output = o.pop("output_activation", candidate)
    return Options(
        candidate=Clipped(activation("activation", candidate), o.get("clip")),
        gate=Clipped(activation("recurrent_activation", gate), o.get("clip")),
        output=Clipped(activation("output_activation", output)),
        **{name: o[name] for name in Options.__dataclass_fields__ if name in o},
    )


def _forward(cell: str, x: Array, parameters: dict[str, Any], states: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    unknown = keywords.keys() - _OPTIONS[cell] - _RUN
    if unknown:
        raise TypeError(f"{cell}_forward: unknown keyword {min(unknown)!r}")
    o = {name: value for name, value in keywords.items() if value is not None}
    for name in ("truncate", "checkpoint_every"):
        if name in o and not o[name] >= 1:
            raise ValueError(f"{name}: expected a number of steps >= 1, got {o[name]}")
    places = [name for name in ("lengths", "mask", "batch_sizes") if name in o]
    if len(places) > 1 or ("mask" in o and "reset_mask" in o) or ("batch_sizes" in o and o.get("batch_first")):
        raise ValueError(f"{places[-1]}: expected None beside another one of its kind")
    run = Run(**{name: o[name] for name in Run.__dataclass_fields__ if name in o})
    rates = {name: random.checked_rate(name, o.get(name)) for name in (*_TRAINING, *_ALWAYS)}
    if not run.training:
        rates.update(dict.fromkeys(_TRAINING, 0.0))
    arrays = parameters | {name: o[name] for name in _PARAMETERS if name in o}
    dtype = np.dtype(o.get("dtype", np.float64))
    y, final, cache = sequence.forward(CELLS[cell], _options(o), Rates(**rates), run, x, arrays, states, dtype)
    return (y, *final, cache) if run.training else OUTPUTS[cell](y, *final)


def _backward(cell: str, dy: Array | None, cache: Cache, dstate_n: tuple[Array | None, ...]) -> Any:
    dx, dstate, grads = sequence.backward(dy, cache, dstate_n)
    names = GRADS[cell]._fields[1 + len(dstate) :]
    return GRADS[cell](dx, *dstate, *(grads.get(name) for name in names))


def rnn_forward(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None, h0: Array | None = None,
    **options: Any,
) -> Any:  # fmt: skip
    """Elman network over a sequence: :func:`rnn_step` in the time loop. Parameters and states of None are 0.

    Options of the cell: activation, clip, ln_hh and norm_eps, zoneout_h, weight_dropout. Options of a run, for all
    cells (:mod:`fastrnn.functional` explains each): lengths, reverse, batch_first, training, mask and
    zero_output_for_mask, reset_mask, batch_sizes, dropout, recurrent_dropout, seed, truncate, checkpoint_every; and
    here alone ``dtype``, what to compute in (float64), and ``stream``, the number of layer and direction in a stack.

    Returns RNNOutput(y, h_n); with ``training`` a plain tuple (y, h_n, cache).
    """
    return _forward("rnn", x, {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}, (h0,), options)


def indrnn_forward(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None, h0: Array | None = None,
    **options: Any,
) -> Any:  # fmt: skip
    """IndRNN over a sequence: :func:`indrnn_step`, w_hh (H,). Options: activation, clip, zoneout_h, and a run's.

    Returns IndRNNOutput(y, h_n); with ``training`` a plain tuple (y, h_n, cache).
    """
    return _forward("indrnn", x, {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}, (h0,), options)


def gru_forward(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None, h0: Array | None = None,
    **options: Any,
) -> Any:  # fmt: skip
    """GRU over a sequence: :func:`gru_step`.

    Options: reset, activation, recurrent_activation, clip, ln_ih, ln_hh and norm_eps, zoneout_h, weight_dropout,
    candidate_dropout, and a run's. Returns GRUOutput(y, h_n); with ``training`` a plain tuple (y, h_n, cache).
    """
    return _forward("gru", x, {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}, (h0,), options)


def mgu_forward(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None, h0: Array | None = None,
    **options: Any,
) -> Any:  # fmt: skip
    """MGU over a sequence: :func:`mgu_step`, gates f, n.

    Options: activation, recurrent_activation, clip, zoneout_h, weight_dropout, candidate_dropout, and a run's.
    Returns MGUOutput(y, h_n); with ``training`` a plain tuple (y, h_n, cache).
    """
    return _forward("mgu", x, {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}, (h0,), options)


def lstm_forward(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None, h0: Array | None = None,
    c0: Array | None = None, **options: Any,
) -> Any:  # fmt: skip
    """LSTM over a sequence: :func:`lstm_step`.

    Options: activation, recurrent_activation, output_activation (None: as activation), clip, cell_clip, forget_bias,
    coupled, w_peep, peephole_output, w_hr, proj_clip, ln_ih, ln_hh, ln_c and norm_eps, zoneout_h, zoneout_c,
    weight_dropout, candidate_dropout, and a run's. Returns LSTMOutput(y, h_n, c_n); with ``training`` a plain tuple
    (y, h_n, c_n, cache).
    """
    return _forward("lstm", x, {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}, (h0, c0), options)


def slstm_forward(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array | None = None, b_hh: Array | None = None, h0: Array | None = None,
    c0: Array | None = None, n0: Array | None = None, m0: Array | None = None, **options: Any,
) -> Any:  # fmt: skip
    """sLSTM over a sequence: :func:`slstm_step`, gates i, f, z, o. Options: forget_gate, weight_dropout, and a run's.

    Returns SLSTMOutput(y, h_n, c_n, n_n, m_n); with ``training`` a plain tuple with the cache behind them.
    """
    return _forward("slstm", x, {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}, (h0, c0, n0, m0), options)


def rnn_backward(dy: Array | None, cache: Cache, dh_n: Array | None = None) -> RNNGrads:
    """Gradients of a loss whose gradients to y and h_n are ``dy`` (shape of y) and ``dh_n`` (1,B,H); None is 0."""
    grads: RNNGrads = _backward("rnn", dy, cache, (dh_n,))
    return grads


def indrnn_backward(dy: Array | None, cache: Cache, dh_n: Array | None = None) -> IndRNNGrads:
    """As :func:`rnn_backward`, for the cache of :func:`indrnn_forward`."""
    grads: IndRNNGrads = _backward("indrnn", dy, cache, (dh_n,))
    return grads


def gru_backward(dy: Array | None, cache: Cache, dh_n: Array | None = None) -> GRUGrads:
    """As :func:`rnn_backward`, for the cache of :func:`gru_forward`."""
    grads: GRUGrads = _backward("gru", dy, cache, (dh_n,))
    return grads


def mgu_backward(dy: Array | None, cache: Cache, dh_n: Array | None = None) -> MGUGrads:
    """As :func:`rnn_backward`, for the cache of :func:`mgu_forward`."""
    grads: MGUGrads = _backward("mgu", dy, cache, (dh_n,))
    return grads


def lstm_backward(dy: Array | None, cache: Cache, dh_n: Array | None = None, dc_n: Array | None = None) -> LSTMGrads:
    """As :func:`rnn_backward`, for the cache of :func:`lstm_forward`; ``dc_n`` (1,B,H) is the gradient to c_n."""
    grads: LSTMGrads = _backward("lstm", dy, cache, (dh_n, dc_n))
    return grads


def slstm_backward(
    dy: Array | None, cache: Cache, dh_n: Array | None = None, dc_n: Array | None = None, dn_n: Array | None = None,
    dm_n: Array | None = None,
) -> SLSTMGrads:  # fmt: skip
    """As :func:`rnn_backward`, for the cache of :func:`slstm_forward` and the gradients to all its final states."""
    grads: SLSTMGrads = _backward("slstm", dy, cache, (dh_n, dc_n, dn_n, dm_n))
    return grads


def _one_step(
    forward: Any, x: Array, args: tuple[Any, ...], training: bool, options: dict[str, Any]
) -> tuple[Any, ...]:
    """The states (B,...) after one step, and with ``training`` the cache behind them."""
    _, *results = forward(np.asarray(x)[np.newaxis], *args, training=training, **options)
    final, cache = (results[:-1], results[-1:]) if training else (results, [])
    return (*(s[0] for s in final), *cache)


def rnn_cell(x: Array, *args: Any, training: bool = False, **options: Any) -> Any:
    """One step: :func:`rnn_forward` with x (B,I), h0 (B,H), giving h (B,H).

    With ``training`` (h, cache), the cache of a sequence of one step: :func:`rnn_backward` takes a dy of (1,B,H).
    """
    result = _one_step(rnn_forward, x, args, training, options)
    return result if training else result[0]


def indrnn_cell(x: Array, *args: Any, training: bool = False, **options: Any) -> Any:
    """One step of :func:`indrnn_forward`, as :func:`rnn_cell`."""
    result = _one_step(indrnn_forward, x, args, training, options)
    return result if training else result[0]


def gru_cell(x: Array, *args: Any, training: bool = False, **options: Any) -> Any:
    """One step of :func:`gru_forward`, as :func:`rnn_cell`."""
    result = _one_step(gru_forward, x, args, training, options)
    return result if training else result[0]


def mgu_cell(x: Array, *args: Any, training: bool = False, **options: Any) -> Any:
    """One step of :func:`mgu_forward`, as :func:`rnn_cell`."""
    result = _one_step(mgu_forward, x, args, training, options)
    return result if training else result[0]


def lstm_cell(x: Array, *args: Any, training: bool = False, **options: Any) -> Any:
    """One step of :func:`lstm_forward`, as :func:`rnn_cell`, with c0 (B,H): LSTMState(h, c), or (h, c, cache)."""
    result = _one_step(lstm_forward, x, args, training, options)
    return result if training else LSTMState(*result)


def slstm_cell(x: Array, *args: Any, training: bool = False, **options: Any) -> Any:
    """One step of :func:`slstm_forward`, as :func:`lstm_cell`: SLSTMState(h, c, n, m), or (h, c, n, m, cache)."""
    result = _one_step(slstm_forward, x, args, training, options)
    return result if training else SLSTMState(*result)
