"""What the functions must refuse: each a valid call, what spoils it, and the arguments one of which must be named.

docs/options.md has the rules as a table; `python -m tests.support.option_tables` writes it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import fastrnn
from tests.support.variants import GATES, STATES

T, B, I, H = 4, 3, 2, 6  # noqa: E741  # the names of the documentation
RATES = ("zoneout_h", "zoneout_c", "weight_dropout", "dropout", "recurrent_dropout", "candidate_dropout")
GATED = ("lstm", "gru", "mgu")


# By its name, what is refused and why.
RULES = {
    "unknown": ("an option that the cell has not", "the table above says which it has"),
    "full": (
        "`w_peep` (3, H, H) beside `w_hr`, beside `ln_ih` and `ln_hh`, or beside `zoneout_c`",
        "full peepholes multiply all of c by a matrix in the middle of a step; nobody has described them with a "
        "projection, with normalised products or with a c that is kept",
    ),
    "coupled": ("`forget_bias` other than 0 beside `coupled`", "f = 1 - i: there is no forget gate to add it to"),
    "proj_clip": ("`proj_clip` without `w_hr`", "there is no projection to clip"),
    "projection": ("`w_hr` (P, H) with P > H or P = 0", "a projection narrows h (Sak et al. 2014), and y is not empty"),
    "ln_pair": ("`ln_ih` or `ln_hh` alone", "both products are normalised (Ba et al. 2016, eq. 20-22 and 24-27)"),
    "ln_rnn": ("`ln_ih`", "an RNN normalises the sum W x + R h (eq. 4), whose gain is `ln_hh`"),
    "ln_c": ("`ln_c` without `ln_ih` and `ln_hh`", "c is normalised in a cell whose products are"),
    "indrnn": ("`w_hh` (H, H)", "u is one number a unit, (H,): a unit sees none but itself"),
    "fast": (
        "`fast_activations` in float64, beside `clip`, gains or an activation other than tanh, sigmoid, relu, identity",
        "only tanh and sigmoid have a fast form, and it is in the plain form of the cells alone",
    ),
    "training": (
        "`training` with weights of another dtype than float32 and float64, or with `fast_activations`",
        "gradients are those of the exact functions",
    ),
    "beside": ("an option of the weights beside PackedWeights", "they were packed with theirs"),
    "place": ("two of `lengths`, `mask` and `batch_sizes`", "each says which steps a row has"),
    "reset": (
        "`reset_mask` beside `mask`",
        "whether a masked step begins a sequence would be open; cut it by `lengths`",
    ),
    "packed": (
        "`batch_sizes` with `batch_first`, or with an x that is not (N, I), N their sum",
        "packed data have one axis for time and batch",
    ),
    "sizes": ("`batch_sizes` that rise or hold a 0", "rows are sorted by length, so that they end one after the other"),
    "rate": ("a rate outside of [0, 1)", "what is kept is divided by 1 - rate"),
    "bound": ("`clip`, `cell_clip`, `proj_clip` or `norm_eps` of 0 or less", "None is for no clip"),
    "activation": (
        "an alpha or beta with which an activation does not rise: 0 or less of leaky_relu, elu, hard_sigmoid and "
        "scaled_tanh, less than 0 of thresholded_relu",
        "the backward pass has the value of f alone, which must tell its slope",
    ),
    "choice": ("another name than those of the option", ""),
    "count": ("`checkpoint_every` or `truncate` below 1", "they are numbers of steps"),
    "seed": ("a `seed` outside of 0..2**64 - 1", "it is the key of the counter"),
    "shape": ("another shape than the one above", ""),
    "type": ("another type: masks are arrays of bool, `batch_sizes` of integers", ""),
}


class Refusal(NamedTuple):
    """``cell``'s function takes ``valid`` and refuses ``valid | spoiled``."""

    id: str
    rule: str  # of RULES
    what: str  # "forward" or "pack"
    cell: str
    valid: dict[str, Any]
    spoiled: dict[str, Any]
    named: str  # an argument, or several of which the message must begin with one
    error: type[Exception] = ValueError


def weights(cell: str) -> dict[str, Any]:
    rng, rows = np.random.default_rng(5), GATES[cell] * H
    w_hh = rng.uniform(-0.5, 0.5, (rows,) if cell == "indrnn" else (rows, H))
    return {"w_ih": rng.uniform(-0.5, 0.5, (rows, I)), "w_hh": w_hh, "b_ih": np.zeros(rows), "b_hh": np.zeros(rows)}


def arguments(refusal: Refusal, dtype: str = "float32") -> tuple[dict[str, Any], dict[str, Any]]:
    """The keywords of the valid call and of the spoiled one, floating arrays in ``dtype``."""
    base = weights(refusal.cell)
    if refusal.what == "forward":
        base["x"] = np.random.default_rng(6).uniform(-1, 1, (T, B, I))

    def cast(keywords: dict[str, Any]) -> dict[str, Any]:
        return {
            name: v.astype(dtype) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v
            for name, v in keywords.items()
        }

    return cast(base | refusal.valid), cast(base | refusal.valid | refusal.spoiled)


def _packed(**more: Any) -> dict[str, Any]:
    """The arguments of a valid packed batch of N = 7."""
    return {"x": np.ones((7, I)), "batch_sizes": np.array([3, 2, 1, 1]), **more}


def _prepared(cell: str, dtype: str = "float32", **more: Any) -> dict[str, Any]:
    """Weights that were packed, in the place of those of a call."""
    w_ih = getattr(fastrnn, f"pack_{cell}")(**weights(cell), dtype=dtype, **more)
    return {"w_ih": w_ih, "w_hh": None, "b_ih": None, "b_hh": None}


def _gains(cell: str) -> dict[str, Any]:
    return {"ln_ih": np.ones(GATES[cell] * H), "ln_hh": np.ones(GATES[cell] * H)}


def _has(cell: str, rate: str) -> bool:
    allowed = {
        "zoneout_h": cell != "slstm",
        "zoneout_c": cell == "lstm",
        "weight_dropout": cell != "indrnn",
        "candidate_dropout": cell in GATED,
    }
    return allowed.get(rate, True)


FULL, FLAGS = np.full((3, H, H), 0.1), np.ones((T, B), bool)
W_HR, NARROW = np.full((4, H), 0.1), np.full((4 * H, 4), 0.1)  # w_hh of P = 4
PROJECTED = {"w_hr": W_HR, "w_hh": NARROW}
LENGTHS = np.array([4, 2, 1])
BAD_BOUNDS = (0.0, -1.0, float("nan"))
BAD_RATES = (1.0, -0.1, 1.5, float("nan"))
# option, a value that is refused: of activations, whose slope could not be told from their value
BAD_ACTIVATIONS = (
    "foo", "Tanh", ("foo", 1.0), ("leaky_relu", 0.0), ("leaky_relu", -0.1), ("elu", -1.0), ("elu", float("nan")),
    ("scaled_tanh", 0.0), ("scaled_tanh", 1.0, 0.0), ("scaled_tanh", -1.0, 1.0), ("thresholded_relu", -0.5),
    ("hard_sigmoid", 0.0),
)  # fmt: skip
OPTIONS_OF = {"activation": "rnn", "recurrent_activation": "gru", "output_activation": "lstm"}
# keywords that a cell does not have
UNKNOWN = {
    "rnn": ("recurrent_activation", "w_peep", "candidate_dropout", "reset", "cell_clip", "forget_gate", "ln_c"),
    "lstm": ("reset", "forget_gate", "n0"),
    "gru": ("zoneout_c", "w_hr", "cell_clip", "forget_bias", "c0", "ln_c"),
    "indrnn": ("weight_dropout", "ln_hh", "candidate_dropout", "recurrent_activation"),
    "mgu": ("reset", "ln_hh", "ln_ih", "zoneout_c"),
    "slstm": ("activation", "clip", "zoneout_h", "zoneout_c", "candidate_dropout", "ln_hh", "w_peep"),
}


def _refusals() -> list[Refusal]:
    out = [
        Refusal("full peepholes with w_hr", "full", "pack", "lstm", PROJECTED, {"w_peep": FULL}, "w_hr w_peep"),
        Refusal("full peepholes with ln", "full", "pack", "lstm", _gains("lstm"), {"w_peep": FULL},
                "ln_ih ln_hh w_peep"),
        Refusal("full peepholes with zoneout_c", "full", "pack", "lstm", {"zoneout_c": 0.1}, {"w_peep": FULL},
                "zoneout_c"),
        Refusal("proj_clip without w_hr", "proj_clip", "pack", "lstm", {}, {"proj_clip": 1.0}, "proj_clip"),
        Refusal("forget_bias coupled", "coupled", "pack", "lstm", {"coupled": True}, {"forget_bias": 1.0},
                "forget_bias"),
        Refusal("ln_c alone", "ln_c", "pack", "lstm", {}, {"ln_c": np.ones((2, H))}, "ln_c"),
        Refusal("ln_ih of an RNN", "ln_rnn", "pack", "rnn", {"ln_hh": np.ones(H)}, {"ln_ih": np.ones(H)}, "ln_ih"),
        Refusal("P > H", "projection", "pack", "lstm", {}, {"w_hr": np.ones((7, H)), "w_hh": np.ones((4 * H, 7))},
                "w_hr w_hh"),
        Refusal("P = 0", "projection", "pack", "lstm", {}, {"w_hr": np.ones((0, H)), "w_hh": np.ones((4 * H, 0))},
                "w_hr w_hh"),
        Refusal("w_hr of another P", "shape", "pack", "lstm", PROJECTED, {"w_hr": np.ones((3, H))}, "w_hr w_hh"),
        Refusal("w_hr of another H", "shape", "pack", "lstm", PROJECTED, {"w_hr": np.ones((4, 5))}, "w_hr"),
        Refusal("u as a matrix", "indrnn", "pack", "indrnn", {}, {"w_hh": np.ones((H, H))}, "w_hh"),
        Refusal("lengths with mask", "place", "forward", "gru", {"mask": FLAGS}, {"lengths": LENGTHS}, "mask lengths"),
        Refusal("mask with reset_mask", "reset", "forward", "rnn", {"mask": FLAGS}, {"reset_mask": FLAGS},
                "mask reset_mask"),
        Refusal("batch_sizes with lengths", "place", "forward", "lstm", _packed(), {"lengths": LENGTHS},
                "batch_sizes lengths"),
        Refusal("batch_sizes with mask", "place", "forward", "mgu", _packed(), {"mask": FLAGS}, "batch_sizes mask"),
        Refusal("batch_sizes batch_first", "packed", "forward", "rnn", _packed(), {"batch_first": True},
                "batch_sizes batch_first"),
        Refusal("batch_sizes that rise", "sizes", "forward", "rnn", _packed(), {"batch_sizes": np.array([2, 3, 1, 1])},
                "batch_sizes"),
        Refusal("batch_sizes with a 0", "sizes", "forward", "rnn", _packed(), {"batch_sizes": np.array([3, 3, 1, 0])},
                "batch_sizes"),
        Refusal("batch_sizes of another N", "packed", "forward", "rnn", _packed(), {"batch_sizes": np.array([3, 2, 1])},
                "batch_sizes x"),
        Refusal("batch_sizes with a batch", "packed", "forward", "rnn", _packed(), {"x": np.ones((T, B, I))},
                "batch_sizes x"),
        Refusal("batch_sizes of floats", "type", "forward", "rnn", _packed(), {"batch_sizes": np.ones(7)},
                "batch_sizes", TypeError),
        Refusal("h0 of another batch", "shape", "forward", "rnn", _packed(h0=np.ones((1, 3, H))),
                {"h0": np.ones((1, 7, H))}, "h0"),
        Refusal("mask in the wrong order", "shape", "forward", "rnn", {"mask": FLAGS}, {"mask": FLAGS.T}, "mask"),
        Refusal("mask in the wrong order, batch_first", "shape", "forward", "rnn",
                {"x": np.ones((B, T, I)), "batch_first": True, "mask": FLAGS.T}, {"mask": FLAGS}, "mask"),
        Refusal("mask of floats", "type", "forward", "rnn", {"mask": FLAGS}, {"mask": np.ones((T, B))}, "mask",
                TypeError),
        Refusal("reset_mask of another batch", "shape", "forward", "lstm", {"reset_mask": FLAGS},
                {"reset_mask": FLAGS[:, 1:]}, "reset_mask"),
        Refusal("reset_mask of integers", "type", "forward", "lstm", {"reset_mask": FLAGS},
                {"reset_mask": np.ones((T, B), int)}, "reset_mask", TypeError),
        Refusal("an option beside PackedWeights", "beside", "forward", "gru", _prepared("gru"), {"zoneout_h": 0.5},
                "zoneout_h"),
        Refusal("training with int8", "training", "forward", "lstm", _prepared("lstm") | {"training": True},
                _prepared("lstm", "int8"), "training"),
        Refusal("training with fast activations", "training", "forward", "slstm",
                _prepared("slstm") | {"training": True}, _prepared("slstm", fast_activations=True), "training"),
        Refusal("forget_gate", "choice", "pack", "slstm", {"forget_gate": "exp"}, {"forget_gate": "tanh"},
                "forget_gate"),
    ]  # fmt: skip
    for cell in ("lstm", "gru"):
        for lacking, other in (("ln_ih", "ln_hh"), ("ln_hh", "ln_ih")):
            alone = {name: a for name, a in _gains(cell).items() if name == other}
            out.append(Refusal(f"{cell}: {other} alone", "ln_pair", "pack", cell, {}, alone, f"{lacking} {other}"))
        gain = {"ln_ih": np.ones(H)}
        out.append(Refusal(f"{cell}: a gain of one gate", "shape", "pack", cell, _gains(cell), gain, "ln_ih"))
    for eps in (0.0, -1e-5, float("nan")):
        out.append(Refusal(f"norm_eps {eps}", "bound", "pack", "gru", _gains("gru"), {"norm_eps": eps}, "norm_eps"))
    for cell in GATES:
        for rate in filter(lambda rate, cell=cell: _has(cell, rate), RATES):
            for value in BAD_RATES if cell == "lstm" else BAD_RATES[:1]:
                valid = {"training": True, rate: 0.0}
                out.append(Refusal(f"{cell}: {rate} {value}", "rate", "forward", cell, valid, {rate: value}, rate))
        for seed in (-1, 2**64):
            valid = {"training": True, "dropout": 0.5, "seed": 2**64 - 1}
            out.append(Refusal(f"{cell}: seed {seed}", "seed", "forward", cell, valid, {"seed": seed}, "seed"))
        for name in ("checkpoint_every", "truncate"):
            for value in (0, -1):
                valid = {"training": True, name: 1}
                out.append(Refusal(f"{cell}: {name} {value}", "count", "forward", cell, valid, {name: value}, name))
        for name in UNKNOWN[cell]:
            if name not in STATES[cell]:
                out.append(Refusal(f"{cell}: {name}", "unknown", "forward", cell, {}, {name: 0.5}, name, TypeError))
        if cell != "slstm":
            bounds = ("clip", "cell_clip", "proj_clip") if cell == "lstm" else ("clip",)
            for name in bounds:
                for value in BAD_BOUNDS:
                    valid = PROJECTED if name == "proj_clip" else {}
                    out.append(Refusal(f"{cell}: {name} {value}", "bound", "pack", cell, valid, {name: value}, name))
    for option, cell in OPTIONS_OF.items():
        for f in BAD_ACTIVATIONS:
            rule = "choice" if "foo" in f or f == "Tanh" else "activation"
            out.append(Refusal(f"{option} {f}", rule, "pack", cell, {}, {option: f}, option))
    fast = {"fast_activations": True}
    for cell, more in (
        ("rnn", {"activation": "softsign"}), ("gru", {"recurrent_activation": "hard_sigmoid"}), ("mgu", {"clip": 1.0}),
        ("lstm", {"output_activation": ("elu", 0.5)}), ("lstm", {"clip": 1.0}), ("gru", _gains("gru")),
        ("indrnn", {"activation": "leaky_relu"}), ("rnn", {"ln_hh": np.ones(H)}), ("rnn", {"dtype": "float64"}),
    ):  # fmt: skip
        out.append(Refusal(f"{cell}: fast with {min(more)}", "fast", "pack", cell, fast, more, "fast_activations"))
    return out


REFUSALS = tuple(_refusals())
