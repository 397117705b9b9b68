"""Every option of a cell and of a run: alone, in random combinations, and where it must be refused.

A :class:`Case` is a variant with options beside those of variants.py; :func:`make_case` makes a problem of it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastrnn import reference
from tests.support.variants import GATES, Arrays, Mode, Problem, Variant, make_problem, output_tuple

# The options of a run that are arrays; a case only says that it wants them, make_case draws them.
DRAWN = ("lengths", "mask", "reset_mask", "batch_sizes")
SEED = 0x123456789ABCDEF0  # beyond 32 bits: both words of Philox' key are used
ALL = tuple(GATES)
GATED = ("lstm", "gru", "mgu")
ACTIVATIONS: tuple[Any, ...] = (
    "tanh", "sigmoid", "relu", "linear", "leaky_relu", ("leaky_relu", 0.3), "elu", ("elu", 0.7), "selu", "softsign",
    "softplus", "hard_sigmoid", ("hard_sigmoid", 0.3, 0.4), "scaled_tanh", ("scaled_tanh", 1.5, 0.6),
    ("thresholded_relu", 0.1), "affine", ("affine", 0.8, 0.1), "exponential",
)  # fmt: skip


@dataclass(frozen=True)
class Case(Variant):
    """A variant with options; ``options`` are those of the weights that are not arrays."""

    arrays: tuple[str, ...] = ()  # of w_hr, ln_ih, ln_hh, ln_c
    run: tuple[tuple[str, Any], ...] = ()  # of DRAWN with True
    omit: tuple[str, ...] = ()

    def width(self, hidden: int) -> int:
        return (2 * hidden + 2) // 3 if "w_hr" in self.arrays else hidden

    @property
    def has_random(self) -> bool:
        """Whether training draws masks."""
        names = {name for name, _ in (*self.options, *self.run)}
        return any(name.endswith("dropout") or name.startswith("zoneout") for name in names)


def make_case(case: Case, *, hidden: int, inputs: int, batch: int, steps: int, dtype: str = "float64") -> Problem:
    """Random but reproducible, with the values of :func:`variants.make_problem` where there is one.

    A mask leaves out the first step of the first row and all of the second's. Exponentials feed on small weights: of
    others they would make numbers beyond any tolerance.
    """
    run: Arrays = dict(case.run)
    mode = Mode(case.id, run.pop("lengths", False), run.get("reverse", False), run.get("batch_first", False), case.omit)
    base = make_problem(case, hidden=hidden, inputs=inputs, batch=batch, steps=steps, mode=mode)
    rng = np.random.default_rng([1, hidden, inputs, batch, steps, *case.id.encode()])
    arrays, cotangents, rows = dict(base.arrays), dict(base.cotangents), GATES[case.cell] * hidden
    if any("exponential" in option for _, option in case.options if isinstance(option, (str, tuple))):
        arrays["w_ih"], arrays["w_hh"] = arrays["w_ih"] / 8, arrays["w_hh"] / 8
    if "w_hr" in case.arrays:
        arrays["w_hr"] = rng.uniform(-1, 1, (case.width(hidden), hidden)) * 1.5 * hidden**-0.5
    for name in {"ln_ih", "ln_hh"}.intersection(case.arrays):
        arrays[name] = np.random.default_rng([*name.encode(), hidden]).uniform(0.3, 1.3, rows)
    if "ln_c" in case.arrays:
        arrays["ln_c"] = rng.uniform(-1, 1, (2, hidden)) + np.array([[1.0], [0.0]])

    def drawn(rate: float) -> Any:
        a = rng.random((steps, batch)) < rate
        return np.ascontiguousarray(a.T) if run.get("batch_first") else a

    if run.pop("mask", False):
        mask = drawn(0.6)
        (mask.T if run.get("batch_first") else mask)[:1, :1] = False
        (mask.T if run.get("batch_first") else mask)[:, 1:2] = False
        run["mask"] = mask
    if run.pop("reset_mask", False):
        run["reset_mask"] = drawn(0.3)
    if run.pop("batch_sizes", False):
        sizes = np.sort(rng.integers(1, batch + 1, steps))[::-1]
        sizes[:1] = batch
        run["batch_sizes"] = sizes
        there = np.arange(batch) < sizes[:, np.newaxis]
        arrays["x"], cotangents["dy"] = arrays["x"][there], cotangents["dy"][there]
    narrow = Problem(case, arrays, {**base.run, **run}, cotangents).astype("float32")
    return narrow.astype(dtype)


@functools.cache
def expected_case(case: Case, hidden: int, inputs: int, batch: int, steps: int) -> Any:
    """A problem, and what the reference makes of it in float64: results of inference, of training, and gradients.

    Cached because every type and instruction set is held against the same numbers.
    """
    problem = make_case(case, hidden=hidden, inputs=inputs, batch=batch, steps=steps)
    *outputs, cache = problem.forward(reference, training=True)
    return (
        problem,
        problem.forward(reference),
        output_tuple(case, reference)(*outputs),
        problem.backward(reference, cache),
    )


# -------------------------------------------------------------------------------------------------------- options alone


def _case(name: str, cell: str, *, arrays: str = "", peephole: str = "none", omit: str = "", **options: Any) -> Case:
    """A case; ``options`` beginning with run_ are those of the run."""
    run = {key[4:]: value for key, value in options.items() if key.startswith("run_")}
    if run.keys() & {"dropout", "recurrent_dropout", "candidate_dropout"} or any("rop" in k for k in options):
        run["seed"] = SEED
    if any(key.startswith("zoneout") for key in options):
        run["seed"] = SEED
    weights = {key: value for key, value in options.items() if not key.startswith("run_")}
    return Case(
        f"{cell}-{name}", cell, tuple(weights.items()), peephole, tuple(arrays.split()), tuple(run.items()),
        tuple(omit.split()),
    )  # fmt: skip


def _named(choice: Any) -> str:
    return choice if isinstance(choice, str) else "-".join(map(str, choice))


def _of_each_cell(cell: str) -> list[Case]:
    """The options of a run, and where the parameters left out are zero."""
    gated = cell in GATED
    return [
        _case("plain", cell),
        _case("bare", cell, omit="b_ih b_hh h0 c0 n0 m0"),
        _case("lengths-reverse", cell, run_lengths=True, run_reverse=True),
        _case("mask", cell, run_mask=True),
        _case("mask-reverse-batch_first", cell, run_mask=True, run_reverse=True, run_batch_first=True),
        _case("mask-zero_output", cell, run_mask=True, run_zero_output_for_mask=True),
        _case("reset", cell, run_reset_mask=True),
        _case("reset-reverse-lengths", cell, run_reset_mask=True, run_reverse=True, run_lengths=True),
        _case("batch_sizes", cell, run_batch_sizes=True),
        _case("batch_sizes-reverse-reset", cell, run_batch_sizes=True, run_reverse=True, run_reset_mask=True),
        _case("dropout", cell, run_dropout=0.4),
        _case("recurrent_dropout", cell, run_recurrent_dropout=0.4),
        *([_case("candidate_dropout", cell, run_candidate_dropout=0.4)] if gated else []),
        _case("checkpoint", cell, run_checkpoint_every=2),
        _case("truncate", cell, run_truncate=2),
        _case("truncate-lengths-reverse", cell, run_truncate=2, run_lengths=True, run_reverse=True),
        _case("truncate-mask-checkpoint", cell, run_truncate=2, run_mask=True, run_checkpoint_every=3),
        *([_case("weight_dropout", cell, weight_dropout=0.3)] if cell != "indrnn" else []),
        *([_case("zoneout_h", cell, zoneout_h=0.3), _case("clip", cell, clip=0.45)] if cell != "slstm" else []),
    ]


SINGLES = (
    *(case for cell in ALL for case in _of_each_cell(cell)),
    *(_case(_named(f), cell, activation=f) for cell in ("rnn", "indrnn") for f in ACTIVATIONS if f != "tanh"),
    *(_case(_named(f), cell, activation=f) for cell in GATED for f in ("relu", "softsign", ("elu", 0.7))),
    *(
        _case(f"recurrent-{_named(f)}", cell, recurrent_activation=f)
        for cell in GATED
        for f in ("hard_sigmoid", "softsign", "exponential")
    ),
    *(_case(f"output-{_named(f)}", "lstm", output_activation=f) for f in ("identity", "softsign", ("elu", 0.7))),
    _case("cell_clip", "lstm", cell_clip=0.3),
    _case("cell_clip-peepholes", "lstm", cell_clip=0.3, peephole="diagonal"),
    _case("cell_clip-full", "lstm", cell_clip=0.3, peephole="full"),
    _case("forget_bias", "lstm", forget_bias=1.0),
    _case("zoneout_c", "lstm", zoneout_c=0.3),
    _case("zoneout_c-peepholes", "lstm", zoneout_c=0.3, peephole="diagonal"),
    _case("zoneout_h-full", "lstm", zoneout_h=0.3, peephole="full"),
    _case("coupled-candidate_dropout", "lstm", coupled=True, run_candidate_dropout=0.4),
    _case("clip-peepholes", "lstm", clip=0.4, peephole="diagonal"),
    _case("w_hr", "lstm", arrays="w_hr"),
    _case("w_hr-proj_clip", "lstm", arrays="w_hr", proj_clip=0.15),
    _case("w_hr-previous", "lstm", arrays="w_hr", peephole="diagonal", peephole_output="previous"),
    _case("w_hr-recurrent_dropout", "lstm", arrays="w_hr", zoneout_h=0.2, run_recurrent_dropout=0.4),
    _case("w_hr-mask", "lstm", arrays="w_hr", run_mask=True),
    _case("ln", "rnn", arrays="ln_hh"),
    _case("ln-eps", "rnn", arrays="ln_hh", norm_eps=0.3),
    *(_case("ln", cell, arrays="ln_ih ln_hh") for cell in ("lstm", "gru")),
    *(_case("ln-eps", cell, arrays="ln_ih ln_hh", norm_eps=0.3) for cell in ("lstm", "gru")),
    _case("ln_c", "lstm", arrays="ln_ih ln_hh ln_c", norm_eps=0.1),
    _case("ln_c-w_hr", "lstm", arrays="ln_ih ln_hh ln_c w_hr", peephole="diagonal", norm_eps=0.1),
    *(_case(reset, "gru", reset=reset) for reset in ("before", "output")),
    *(_case(f"{reset}-ln", "gru", reset=reset, arrays="ln_ih ln_hh", norm_eps=0.1) for reset in ("before", "output")),
    *(
        _case(f"{reset}-dropouts", "gru", reset=reset, run_recurrent_dropout=0.4, run_candidate_dropout=0.3)
        for reset in ("before", "output")
    ),
    *(_case(f"{reset}-clip", "gru", reset=reset, clip=0.45) for reset in ("before", "output")),
    _case("exp", "slstm", forget_gate="exp"),
    _case("without-n0", "slstm", omit="n0"),
    _case("exp-reset", "slstm", forget_gate="exp", run_reset_mask=True),
    *(
        _case(f"{reset}-ln-truncate", "gru", reset=reset, arrays="ln_ih ln_hh", norm_eps=0.1, run_truncate=2)
        for reset in ("after", "before", "output")
    ),
    _case("ln_c-w_hr-truncate", "lstm", arrays="ln_ih ln_hh ln_c w_hr", norm_eps=0.1, run_truncate=2),
)

# --------------------------------------------------------------------------------------------------- their combinations


def combination(k: int) -> Case:
    """A valid call with about a third of all options, the cells in turn."""
    rng = np.random.default_rng([7, k])
    cell = ALL[k % len(ALL)]
    weights: dict[str, Any] = {}
    run: dict[str, Any] = {"seed": int(rng.integers(2**63)) * 2 + 1}

    def chance(p: float) -> bool:
        return bool(rng.random() < p)

    def rate() -> float:
        return float(rng.uniform(0.1, 0.6))

    def pick(choices: tuple[Any, ...]) -> Any:
        return choices[int(rng.integers(len(choices)))]

    arrays: list[str] = []
    peephole = "none"
    if cell == "lstm":
        peephole = pick(("none", "diagonal", "full"))
        weights["peephole_output"] = pick(("current", "previous"))
        weights["coupled"] = chance(0.3)
        arrays += ["w_hr"] * (peephole != "full" and chance(0.4))
    if cell in ("rnn", "lstm", "gru") and peephole != "full" and chance(0.4):
        arrays += ["ln_hh"] if cell == "rnn" else ["ln_ih", "ln_hh"]
        arrays += ["ln_c"] * (cell == "lstm" and chance(0.5))
        weights["norm_eps"] = 0.1
    optional: dict[str, tuple[float, tuple[str, ...], Any]] = {  # how often, for which cells, drawn how
        "activation": (0.4, ("rnn", "indrnn", *GATED), lambda: pick(ACTIVATIONS)),
        "recurrent_activation": (0.3, GATED, lambda: pick(("hard_sigmoid", "tanh", "softsign", "sigmoid"))),
        "output_activation": (0.3, ("lstm",), lambda: pick(("tanh", "softsign", "identity", "elu"))),
        "reset": (1.0, ("gru",), lambda: pick(("after", "before", "output"))),
        "forget_gate": (0.5, ("slstm",), lambda: "exp"),
        "clip": (0.3, ("rnn", "indrnn", *GATED), lambda: float(rng.uniform(0.3, 1.5))),
        "cell_clip": (0.3, ("lstm",), lambda: float(rng.uniform(0.2, 0.8))),
        "proj_clip": (0.5 * ("w_hr" in arrays), ("lstm",), lambda: float(rng.uniform(0.1, 0.4))),
        "forget_bias": (0.4 * (not weights.get("coupled")), ("lstm",), lambda: float(rng.uniform(-1, 1))),
        "zoneout_h": (0.3, ("rnn", "indrnn", *GATED), rate),
        "zoneout_c": (0.4 * (peephole != "full"), ("lstm",), rate),
        "weight_dropout": (0.3, ("rnn", "slstm", *GATED), rate),
    }
    for name, (p, cells, draw) in optional.items():
        if cell in cells and chance(p):
            weights[name] = draw()
    for name in ("dropout", "recurrent_dropout", *(["candidate_dropout"] if cell in GATED else [])):
        if chance(0.4):
            run[name] = rate()
    place = pick(("none", "lengths", "mask", "batch_sizes"))
    run |= {place: True} if place in DRAWN else {}
    run |= {"zero_output_for_mask": True} if place == "mask" and chance(0.4) else {}
    run |= {"reset_mask": True} if place != "mask" and chance(0.4) else {}
    run |= {"batch_first": True} if place != "batch_sizes" and chance(0.3) else {}
    run |= {"reverse": True} if chance(0.4) else {}
    run |= {"checkpoint_every": int(rng.integers(1, 5))} if chance(0.4) else {}
    run |= {"truncate": int(rng.integers(1, 5))} if chance(0.3) else {}
    omit = [name for name in ("b_ih", "b_hh", "h0", "c0", "n0", "m0") if chance(0.2)]
    return Case(
        f"combination{k}-{cell}", cell, tuple(weights.items()), peephole, tuple(arrays), tuple(run.items()), tuple(omit)
    )


COMBINATIONS = tuple(combination(k) for k in range(50))
