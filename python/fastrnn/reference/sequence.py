"""The time loop that all cells share: which rows run when, what they begin from, and the way back.

A step of a cell knows nothing of time. Around it this file puts, in the order of :func:`forward`'s loop:

- which rows take part: those with t < lengths[b], those of batch_sizes, those where mask is True. The others keep
  their state. ``reverse`` needs no more than the order of t: each row then starts at its own last step
- reset_mask: rows that begin a new sequence have a state of zero. Backwards in time the boundary between t-1 and t is
  met when t-1 is entered, so the flag of t counts for step t-1 (if the row runs step t at all)
- dropout of x; the masks of w_hh's operand and of the candidate are applied inside of the cell
- Zoneout (Krueger et al. 2016), v' = v + k*(v_new - v): k is drawn in training and is 1 - rate else
- y: the new h; where mask is False it repeats the y before it in running order
- truncate: no gradient flows back from a row's own step number k, 2k, ... (in running order, the first is 0)

checkpoint_every would change what is stored and nothing that is computed; here everything is kept anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from . import random
from .activations import Array
from .products import Grads, Masks, Options, Saved, State

Step = Callable[..., tuple[State, Saved]]
StepBackward = Callable[..., tuple[Array, State, Grads]]


class Cell(NamedTuple):
    """A cell as the loop and the functions see it.

    Attributes:
        step, step_backward: one step of it. gates: how many rows of w_ih a unit has.
        output: the named tuple of y and the final states. options: the keywords which are not those of every cell.
    """

    step: Step
    step_backward: StepBackward
    gates: int
    output: Any
    options: frozenset[str]

    @property
    def name(self) -> str:
        """As in <name>_forward."""
        return self.step.__name__.removesuffix("_step")

    @property
    def states(self) -> int:
        """How many states it has, h among them."""
        return len(self.output._fields) - 1


@dataclass(frozen=True)
class Rates:
    """All rates of dropout of a call, 0 for none; those that act in training alone are 0 outside of it."""

    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    candidate_dropout: float = 0.0
    weight_dropout: float = 0.0
    zoneout_h: float = 0.0
    zoneout_c: float = 0.0


@dataclass(frozen=True)
class Run:
    """How a sequence is run; the public functions explain each."""

    lengths: Array | None = None
    reverse: bool = False
    batch_first: bool = False
    training: bool = False
    mask: Array | None = None
    zero_output_for_mask: bool = False
    reset_mask: Array | None = None
    batch_sizes: Array | None = None
    seed: int | None = None
    stream: int = 0
    truncate: int | None = None


class Entry(NamedTuple):
    """One step of the tape."""

    t: int
    rows: Array  # that ran
    stop: Array  # whether no gradient leaves the row's step towards the one before it
    masks: Masks
    zoneout: tuple[Any, ...]  # the mask of each state, None without zoneout
    saved: Saved


@dataclass(frozen=True)
class Cache:
    """What a forward run keeps for its backward run. Never written to, so it may be used more than once."""

    cell: Cell
    options: Options
    run: Run
    params: dict[str, Array]
    given: frozenset[str]  # the parameters that were not None: only these get a gradient
    tape: list[Entry]  # in running order
    active: Array  # (T,B), which rows run which steps
    x_mask: Any  # (B,I) or 1
    w_mask: Any  # of w_hh, or 1
    shape: tuple[int, int] = field(default=(0, 0))  # I, and P


def unpack_batch(x: Array, batch_sizes: Array) -> tuple[Array, Array]:
    """PyTorch's packed data (N, ...) to (T,B,...), and which (T,B) places it fills."""
    active = np.arange(batch_sizes[0] if len(batch_sizes) else 0) < np.asarray(batch_sizes)[:, np.newaxis]
    padded = np.zeros((*active.shape, *x.shape[1:]), x.dtype)
    padded[active] = x
    return padded, active


def _active(run: Run, steps: int, batch: int) -> Array:
    if run.mask is not None:
        mask = np.asarray(run.mask, bool)
        return mask.T if run.batch_first else mask
    lengths = np.full(batch, steps) if run.lengths is None else np.asarray(run.lengths)
    if lengths.shape != (batch,) or np.any((lengths < 0) | (lengths > steps)):
        raise ValueError(f"lengths: expected {batch} values in 0..{steps}, got {lengths}")
    return np.arange(steps)[:, np.newaxis] < lengths


def _begins(run: Run, active: Array) -> Array:
    """(T,B): whether the state is zero before a row's step."""
    begins = np.zeros(active.shape, bool)
    if run.reset_mask is None:
        return begins
    reset = np.asarray(run.reset_mask, bool)
    reset = reset.T if run.batch_first else reset
    if not run.reverse:
        return reset
    begins[:-1] = reset[1:] & active[1:]
    return begins


def forward(
    cell: Cell,
    options: Options,
    rates: Rates,
    run: Run,
    x: Any,
    parameters: dict[str, Any],
    initial: tuple[Any, ...],
    dtype: np.dtype[Any],
) -> tuple[Array, State, Cache]:
    """Run ``cell`` over time. Returns y, the final states (1,B,...) and the cache."""
    x = np.asarray(x, dtype)
    p = {name: np.array(value, dtype) for name, value in parameters.items() if value is not None}
    given = frozenset(p)
    hidden = len(p["w_ih"]) // cell.gates
    width = len(p["w_hr"]) if "w_hr" in p else hidden
    for bias in ("b_ih", "b_hh"):
        p.setdefault(bias, np.zeros(cell.gates * hidden, dtype))
    if run.batch_sizes is not None:
        x, active = unpack_batch(x, run.batch_sizes)
    else:
        x = x.swapaxes(0, 1) if run.batch_first else x
        active = _active(run, *x.shape[:2])
    steps, batch, inputs = x.shape
    begins = _begins(run, active)
    everyone = np.arange(batch)
    seed = random.checked_seed(run.seed)

    def draw(kind: str, rows: Array, units: int, t: int = 0) -> Any:
        rate = getattr(rates, kind)
        return random.dropout(seed, run.stream, kind, rate, rows, units, dtype, t) if rate > 0 else 1.0

    def kept(kind: str, rows: Array, units: int, t: int) -> Any:
        rate = getattr(rates, kind)
        if rate == 0:
            return None
        if not run.training:
            return dtype.type(1 - rate)
        return random.kept(seed, run.stream, kind, rate, rows, units, t).astype(dtype)

    w_mask = draw("weight_dropout", np.arange(len(p["w_hh"])), p["w_hh"].shape[-1])
    p["w_hh"] = p["w_hh"] * w_mask
    x_mask = draw("dropout", everyone, inputs)
    h_mask = draw("recurrent_dropout", everyone, width)

    widths = (width, *(hidden,) * (cell.states - 1))
    state = [
        np.zeros((batch, w), dtype) if s is None else np.array(s, dtype).reshape(batch, w)
        for s, w in zip(initial, widths, strict=True)
    ]
    y = np.zeros((steps, batch, width), dtype)
    latest = np.zeros((batch, width), dtype)  # y of each row's latest step
    count = np.zeros(batch, int)  # of each row's steps
    tape = []
    for t in range(steps)[:: -1 if run.reverse else 1]:
        rows = np.flatnonzero(active[t])
        old = tuple(np.where(begins[t, rows, np.newaxis], 0, s[rows]).astype(dtype) for s in state)
        masks = Masks(h_mask if isinstance(h_mask, float) else h_mask[rows], draw("candidate_dropout", rows, hidden, t))
        x_t = x[t, rows] * (x_mask if isinstance(x_mask, float) else x_mask[rows])
        new, saved = cell.step(p, x_t, old, options, masks)
        zoneout = (kept("zoneout_h", rows, width, t), kept("zoneout_c", rows, hidden, t))[: cell.states]
        zoneout += (None,) * (cell.states - len(zoneout))
        for s, before, after, k in zip(state, old, new, zoneout, strict=True):
            s[rows] = after if k is None else before + k * (after - before)
        latest[rows] = state[0][rows]
        y[t, rows] = latest[rows]
        if run.mask is not None and not run.zero_output_for_mask:
            y[t] = latest
        stop = begins[t, rows]
        if run.truncate is not None:
            stop = stop | ((count[rows] > 0) & (count[rows] % run.truncate == 0))
        tape.append(Entry(t, rows, stop, masks, zoneout, saved))
        count[rows] += 1

    cache = Cache(cell, options, run, p, given, tape, active, x_mask, w_mask, (inputs, width))
    return _leave(y, run, active), tuple(s[np.newaxis] for s in state), cache


def _leave(a: Array, run: Run, active: Array) -> Array:
    """From (T,B,...) to the caller's layout."""
    if run.batch_sizes is not None:
        return a[active]
    return a.swapaxes(0, 1) if run.batch_first else a


def _enter(given: Any, cache: Cache, dtype: np.dtype[Any]) -> Array:
    """From the caller's layout to (T,B,P); None is 0."""
    if given is None:
        return np.zeros((*cache.active.shape, cache.shape[1]), dtype)
    dy: Array = np.asarray(given, dtype)
    if cache.run.batch_sizes is not None:
        return unpack_batch(dy, cache.run.batch_sizes)[0]
    return dy.swapaxes(0, 1) if cache.run.batch_first else dy


def backward(dy: Any, cache: Cache, dstate_n: tuple[Any, ...]) -> tuple[Array, State, dict[str, Any]]:
    """Back-propagate through time: the steps of :func:`forward` in the opposite order.

    ``dy`` and ``dstate_n`` are the gradients of the loss to y (in its shape) and to the final states; None is 0.
    Returns those to x, to the initial states, and to each parameter that was given.
    """
    p, run, (inputs, width) = cache.params, cache.run, cache.shape
    dtype, batch, hidden = p["w_hh"].dtype, cache.active.shape[1], len(p["w_ih"]) // cache.cell.gates
    dy = _enter(dy, cache, dtype)
    dstate = [
        np.zeros((batch, w), dtype) if d is None else np.array(d, dtype).reshape(batch, w)
        for d, w in zip(dstate_n, (width, *(hidden,) * (cache.cell.states - 1)), strict=True)
    ]
    dx = np.zeros((*cache.active.shape, inputs), dtype)
    dp = {name: np.zeros_like(value) for name, value in p.items()}
    repeats = run.mask is not None and not run.zero_output_for_mask
    owed = np.zeros((batch, width), dtype)  # gradients of repeated outputs, until the step is met that made y
    for t, rows, stop, masks, zoneout, saved in reversed(cache.tape):
        if repeats:
            held = ~cache.active[t]
            owed[held] += dy[t, held]
        dh, *rest = (d[rows] for d in dstate)
        dnew = (dh + dy[t, rows] + owed[rows], *rest)
        owed[rows] = 0
        inner = tuple(d if k is None else k * d for d, k in zip(dnew, zoneout, strict=True))
        dx[t, rows], dold, dp_step = cache.cell.step_backward(p, saved, inner, cache.options, masks)
        for d, through, around, k in zip(dstate, dold, dnew, zoneout, strict=True):
            d[rows] = np.where(stop[:, np.newaxis], 0, through if k is None else through + (1 - k) * around)
        for name, value in dp_step.items():
            dp[name] += value
    dx *= cache.x_mask
    dp["w_hh"] *= cache.w_mask
    grads = {name: dp[name] for name in cache.given}
    return _leave(dx, run, cache.active), tuple(d[np.newaxis] for d in dstate), grads
