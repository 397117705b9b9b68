"""The equations of ONNX's operators RNN, GRU and LSTM, word for word, in float64 and in ONNX's own order of gates.

They are what the operators' texts say, row by row with a loop over time, and share nothing with fastrnn: neither its
order of gates nor its reference. Where the text leaves a choice, they take ours (docs/onnx.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Function = Callable[[Any], Any]
ACTIVATIONS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
# alpha and beta of those that have them, with the defaults of the operators of the same names (None: there is none)
NUMBERS: dict[str, tuple[float | None, ...]] = {
    "Affine": (None, None),
    "LeakyRelu": (0.01,),
    "ThresholdedRelu": (1.0,),
    "ScaledTanh": (None, None),
    "HardSigmoid": (0.2, 0.5),
    "Elu": (1.0,),
}
SIMPLE: dict[str, Function] = {
    "Relu": lambda x: np.maximum(x, 0),
    "Tanh": np.tanh,
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Softplus": lambda x: np.logaddexp(0, x),
}


class Equations:
    """One node; and of its runs the largest state, and how near anything came to the jump of a ThresholdedRelu."""

    def __init__(self, op_type: str, attributes: dict[str, Any]) -> None:
        self.op_type, self.attributes = op_type, attributes
        self.largest, self.margin = 0.0, np.inf
        direction = attributes.get("direction", "forward")
        self.directions = ["forward", "reverse"] if direction == "bidirectional" else [direction]
        names = attributes.get("activations", ACTIVATIONS[op_type] * len(self.directions))
        alphas, betas = (iter(attributes.get(f"activation_{name}", ())) for name in ("alpha", "beta"))
        functions = [self._function(name, alphas, betas) for name in names]
        count = len(ACTIVATIONS[op_type])
        self.functions = [functions[:count], functions[count:]]

    def _function(self, name: str, alphas: Iterator[float], betas: Iterator[float]) -> Function:
        if name in SIMPLE:
            return SIMPLE[name]
        defaults = NUMBERS[name]
        a: Any = next(alphas, defaults[0])
        b: Any = next(betas, defaults[1]) if len(defaults) == 2 else None

        def thresholded(x: Any) -> Any:
            self.margin = min(self.margin, np.abs(x - a).min(initial=np.inf))
            return np.where(x > a, x, 0)

        return {
            "Affine": lambda x: a * x + b,
            "LeakyRelu": lambda x: np.where(x >= 0, x, a * x),
            "ThresholdedRelu": thresholded,
            "ScaledTanh": lambda x: a * np.tanh(b * x),
            "HardSigmoid": lambda x: np.minimum(np.maximum(a * x + b, 0), 1),
            "Elu": lambda x: np.where(x >= 0, x, a * (np.exp(np.minimum(x, 0)) - 1)),
        }[name]

    def __call__(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Y, Y_h and, of an LSTM, Y_c."""
        wide = {name: np.asarray(a, "float64") for name, a in inputs.items() if name != "sequence_lens"}
        layout = self.attributes.get("layout", 0)
        if layout:
            wide |= {name: wide[name].swapaxes(0, 1) for name in ("X", "initial_h", "initial_c") if name in wide}
        x = wide["X"]
        (steps, batch, _), hidden, count = x.shape, wide["R"].shape[2], len(self.directions)
        lengths = inputs.get("sequence_lens", np.full(batch, steps))
        states = {"Y_h": "initial_h", "Y_c": "initial_c"} if self.op_type == "LSTM" else {"Y_h": "initial_h"}
        zero = np.zeros((count, batch, hidden))
        out = {"Y": np.zeros((steps, count, batch, hidden))}
        out |= {name: wide.get(initial, zero).copy() for name, initial in states.items()}
        for d, direction in enumerate(self.directions):
            step = self._step(d, wide, hidden)
            for b, length in enumerate(lengths):
                state = [out[name][d, b] for name in states]
                for t in range(length)[:: -1 if direction == "reverse" else 1]:
                    state = step(x[t, b], *state)
                    self.largest = max(self.largest, *(np.abs(values).max() for values in state))
                    out["Y"][t, d, b] = state[0]
                for name, value in zip(states, state, strict=True):
                    out[name][d, b] = value
        if layout:
            return {name: a.transpose(2, 0, 1, 3) if name == "Y" else a.swapaxes(0, 1) for name, a in out.items()}
        return out

    def _step(self, d: int, inputs: dict[str, Any], hidden: int) -> Function:
        bound = self.attributes.get("clip", np.inf)

        def clip(a: Any) -> Any:
            return np.clip(a, -bound, bound)

        w, r = inputs["W"][d], inputs["R"][d]
        wb, rb = np.split(inputs["B"][d], 2) if "B" in inputs else np.zeros((2, len(w)))
        functions = self.functions[d]

        def rnn(x: Any, h: Any) -> Any:
            (f,) = functions
            return (f(clip(w @ x + r @ h + wb + rb)),)

        def gru(x: Any, h: Any) -> Any:
            f, g = functions
            (wz, wr, wh), (rz, rr, rh) = np.split(w, 3), np.split(r, 3)
            (wbz, wbr, wbh), (rbz, rbr, rbh) = np.split(wb, 3), np.split(rb, 3)
            z = f(clip(wz @ x + rz @ h + wbz + rbz))
            reset = f(clip(wr @ x + rr @ h + wbr + rbr))
            if self.attributes.get("linear_before_reset", 0):
                candidate = g(clip(wh @ x + reset * (rh @ h + rbh) + wbh))
            else:
                candidate = g(clip(wh @ x + rh @ (reset * h) + rbh + wbh))
            return ((1 - z) * candidate + z * h,)

        pi, po, pf = np.split(inputs["P"][d], 3) if "P" in inputs else np.zeros((3, hidden))

        def lstm(x: Any, h: Any, c: Any) -> Any:
            f, g, last = functions
            ai, ao, af, ac = np.split(w @ x + r @ h + wb + rb, 4)
            i = f(clip(ai + pi * c))
            forget = 1 - i if self.attributes.get("input_forget", 0) else f(clip(af + pf * c))
            c = forget * c + i * g(clip(ac))
            o = f(clip(ao + po * c))
            return o * last(c), c

        return {"RNN": rnn, "GRU": gru, "LSTM": lstm}[self.op_type]
