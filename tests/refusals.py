"""What the functions must refuse: each a valid call, what spoils it, and the arguments one of which must be named."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from variants import GATES, STATES

T, B, I, H = 4, 3, 2, 6  # noqa: E741  # the names of the documentation
RATES = ("zoneout_h", "zoneout_c", "weight_dropout", "dropout", "recurrent_dropout", "candidate_dropout")
GATED = ("lstm", "gru", "mgu")


class Refusal(NamedTuple):
    """``cell``'s function takes ``valid`` and refuses ``valid | spoiled``."""

    id: str
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
)  # fmt: skip
OPTIONS_OF = {"activation": "rnn", "recurrent_activation": "gru", "output_activation": "lstm"}
# keywords that a cell has not
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
        Refusal("full peepholes with w_hr", "pack", "lstm", PROJECTED, {"w_peep": FULL}, "w_hr w_peep"),
        Refusal("full peepholes with ln", "pack", "lstm", _gains("lstm"), {"w_peep": FULL}, "ln_ih ln_hh w_peep"),
        Refusal("full peepholes with zoneout_c", "pack", "lstm", {"zoneout_c": 0.1}, {"w_peep": FULL}, "zoneout_c"),
        Refusal("proj_clip without w_hr", "pack", "lstm", {}, {"proj_clip": 1.0}, "proj_clip"),
        Refusal("forget_bias coupled", "pack", "lstm", {"coupled": True}, {"forget_bias": 1.0}, "forget_bias"),
        Refusal("ln_c alone", "pack", "lstm", {}, {"ln_c": np.ones((2, H))}, "ln_c"),
        Refusal("ln_ih of an RNN", "pack", "rnn", {"ln_hh": np.ones(H)}, {"ln_ih": np.ones(H)}, "ln_ih"),
        Refusal("P > H", "pack", "lstm", {}, {"w_hr": np.ones((7, H)), "w_hh": np.ones((4 * H, 7))}, "w_hr w_hh"),
        Refusal("P = 0", "pack", "lstm", {}, {"w_hr": np.ones((0, H)), "w_hh": np.ones((4 * H, 0))}, "w_hr w_hh"),
        Refusal("w_hr of another P", "pack", "lstm", PROJECTED, {"w_hr": np.ones((3, H))}, "w_hr w_hh"),
        Refusal("w_hr of another H", "pack", "lstm", PROJECTED, {"w_hr": np.ones((4, 5))}, "w_hr"),
        Refusal("u as a matrix", "pack", "indrnn", {}, {"w_hh": np.ones((H, H))}, "w_hh"),
        Refusal("lengths with mask", "forward", "gru", {"mask": FLAGS}, {"lengths": LENGTHS}, "mask lengths"),
        Refusal("mask with reset_mask", "forward", "rnn", {"mask": FLAGS}, {"reset_mask": FLAGS}, "mask reset_mask"),
        Refusal("batch_sizes with lengths", "forward", "lstm", _packed(), {"lengths": LENGTHS}, "batch_sizes lengths"),
        Refusal("batch_sizes with mask", "forward", "mgu", _packed(), {"mask": FLAGS}, "batch_sizes mask"),
        Refusal("batch_sizes batch_first", "forward", "rnn", _packed(), {"batch_first": True},
                "batch_sizes batch_first"),
        Refusal("batch_sizes that rise", "forward", "rnn", _packed(), {"batch_sizes": np.array([2, 3, 1, 1])},
                "batch_sizes"),
        Refusal("batch_sizes with a 0", "forward", "rnn", _packed(), {"batch_sizes": np.array([3, 3, 1, 0])},
                "batch_sizes"),
        Refusal("batch_sizes of another N", "forward", "rnn", _packed(), {"batch_sizes": np.array([3, 2, 1])},
                "batch_sizes x"),
        Refusal("batch_sizes with a batch", "forward", "rnn", _packed(), {"x": np.ones((T, B, I))}, "batch_sizes x"),
        Refusal("batch_sizes of floats", "forward", "rnn", _packed(), {"batch_sizes": np.ones(7)}, "batch_sizes",
                TypeError),
        Refusal("h0 of another batch", "forward", "rnn", _packed(h0=np.ones((1, 3, H))), {"h0": np.ones((1, 7, H))},
                "h0"),
        Refusal("mask in the wrong order", "forward", "rnn", {"mask": FLAGS}, {"mask": FLAGS.T}, "mask"),
        Refusal("mask in the wrong order, batch_first", "forward", "rnn",
                {"x": np.ones((B, T, I)), "batch_first": True, "mask": FLAGS.T}, {"mask": FLAGS}, "mask"),
        Refusal("mask of floats", "forward", "rnn", {"mask": FLAGS}, {"mask": np.ones((T, B))}, "mask", TypeError),
        Refusal("reset_mask of another batch", "forward", "lstm", {"reset_mask": FLAGS}, {"reset_mask": FLAGS[:, 1:]},
                "reset_mask"),
        Refusal("reset_mask of integers", "forward", "lstm", {"reset_mask": FLAGS},
                {"reset_mask": np.ones((T, B), int)}, "reset_mask", TypeError),
        Refusal("forget_gate", "pack", "slstm", {"forget_gate": "exp"}, {"forget_gate": "tanh"}, "forget_gate"),
    ]  # fmt: skip
    for cell in ("lstm", "gru"):
        for lacking, other in (("ln_ih", "ln_hh"), ("ln_hh", "ln_ih")):
            alone = {name: a for name, a in _gains(cell).items() if name == other}
            out.append(Refusal(f"{cell}: {other} alone", "pack", cell, {}, alone, f"{lacking} {other}"))
        gain = {"ln_ih": np.ones(H)}
        out.append(Refusal(f"{cell}: a gain of one gate", "pack", cell, _gains(cell), gain, "ln_ih"))
    for eps in (0.0, -1e-5, float("nan")):
        out.append(Refusal(f"norm_eps {eps}", "pack", "gru", _gains("gru"), {"norm_eps": eps}, "norm_eps"))
    for cell in GATES:
        for rate in filter(lambda rate, cell=cell: _has(cell, rate), RATES):
            for value in BAD_RATES if cell == "lstm" else BAD_RATES[:1]:
                valid = {"training": True, rate: 0.0}
                out.append(Refusal(f"{cell}: {rate} {value}", "forward", cell, valid, {rate: value}, rate))
        for seed in (-1, 2**64):
            valid = {"training": True, "dropout": 0.5, "seed": 2**64 - 1}
            out.append(Refusal(f"{cell}: seed {seed}", "forward", cell, valid, {"seed": seed}, "seed"))
        for name in ("checkpoint_every", "truncate"):
            for value in (0, -1):
                valid = {"training": True, name: 1}
                out.append(Refusal(f"{cell}: {name} {value}", "forward", cell, valid, {name: value}, name))
        for name in UNKNOWN[cell]:
            if name not in STATES.get(cell, ()):
                out.append(Refusal(f"{cell}: {name}", "forward", cell, {}, {name: 0.5}, name, TypeError))
        if cell != "slstm":
            bounds = ("clip", "cell_clip", "proj_clip") if cell == "lstm" else ("clip",)
            for name in bounds:
                for value in BAD_BOUNDS:
                    valid = PROJECTED if name == "proj_clip" else {}
                    out.append(Refusal(f"{cell}: {name} {value}", "pack", cell, valid, {name: value}, name))
    for option, cell in OPTIONS_OF.items():
        out += [Refusal(f"{option} {f}", "pack", cell, {}, {option: f}, option) for f in BAD_ACTIVATIONS]
    fast = {"fast_activations": True}
    for cell, more in (
        ("rnn", {"activation": "softsign"}), ("gru", {"recurrent_activation": "hard_sigmoid"}), ("mgu", {"clip": 1.0}),
        ("lstm", {"output_activation": ("elu", 0.5)}), ("lstm", {"clip": 1.0}), ("gru", _gains("gru")),
        ("indrnn", {"activation": "leaky_relu"}), ("rnn", {"ln_hh": np.ones(H)}),
    ):  # fmt: skip
        out.append(Refusal(f"{cell}: fast with {min(more)}", "pack", cell, fast, more, "fast_activations"))
    return out


REFUSALS = tuple(_refusals())
