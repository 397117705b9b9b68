"""What an ONNX recurrent node says in its attributes, checked, and turned into the options of the cells.

The rules are those of the operators RNN, GRU and LSTM from opset 7 on (versions 7, 14, which adds `layout`, and 22).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .._registry import choice_error

DIRECTIONS = ("forward", "reverse", "bidirectional")
COMMON = ("activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size", "layout")
KNOWN = {
    "RNN": COMMON,
    "GRU": (*COMMON, "linear_before_reset"),
    "LSTM": (*COMMON, "input_forget"),
}
DEFAULT_ACTIVATIONS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}
# The keyword that each activation of a direction becomes.
_KEYWORDS = {
    "RNN": ("activation",),
    "GRU": ("recurrent_activation", "activation"),
    "LSTM": ("recurrent_activation", "activation", "output_activation"),
}


class _Formula(NamedTuple):
    """ONNX's name of an activation, ours, and the defaults of alpha and beta where it has them.

    The defaults are those of the operators of the same names. Affine and ScaledTanh have none any more, so that their
    numbers must be given.
    """

    onnx: str
    native: str
    numbers: tuple[float | None, ...] = ()
    positive: tuple[bool, ...] = ()  # which of the numbers the kernels must have > 0


_FORMULAS = {
    formula.onnx.lower(): formula
    for formula in (
        _Formula("Relu", "relu"),
        _Formula("Tanh", "tanh"),
        _Formula("Sigmoid", "sigmoid"),
        _Formula("Softsign", "softsign"),
        _Formula("Softplus", "softplus"),
        _Formula("Affine", "affine", (None, None), (False, False)),
        _Formula("LeakyRelu", "leaky_relu", (0.01,), (True,)),
        _Formula("ThresholdedRelu", "thresholded_relu", (1.0,), (False,)),
        _Formula("ScaledTanh", "scaled_tanh", (None, None), (True, True)),
        _Formula("HardSigmoid", "hard_sigmoid", (0.2, 0.5), (True, False)),
        _Formula("Elu", "elu", (1.0,), (True,)),
    )
}
_NUMBERS = ("activation_alpha", "activation_beta")


class Attributes(NamedTuple):
    """The attributes of a node: `options` holds the keywords of ``pack_<cell>`` for each direction."""

    direction: str
    hidden_size: int | None
    batch_first: bool
    options: tuple[dict[str, Any], ...]


def read_attributes(op_type: str, given: Mapping[str, Any]) -> Attributes:
    """Check all attributes of a node and translate them.

    Raises:
        TypeError: an attribute of the wrong type.
        ValueError: one that the operator has not, or a value that it or the kernels do not take.
    """
    for name, value in given.items():
        if name not in KNOWN[op_type]:
            raise ValueError(f"{name}: expected an attribute of {op_type} ({', '.join(KNOWN[op_type])}), got {value!r}")
    direction = _text("direction", given.get("direction", "forward"))
    if direction not in DIRECTIONS:
        raise choice_error("direction", DIRECTIONS, direction)
    shared: dict[str, Any] = {}
    if "clip" in given:
        shared["clip"] = _number("clip", given["clip"])
        if not shared["clip"] > 0:
            raise ValueError(f"clip: expected a number > 0, got {shared['clip']}")
    if op_type == "GRU":
        shared["reset"] = "after" if _flag("linear_before_reset", given) else "before"
    if op_type == "LSTM":
        shared["coupled"] = _flag("input_forget", given)
    hidden = given.get("hidden_size")
    if hidden is not None and (hidden := _integer("hidden_size", hidden)) < 1:
        raise ValueError(f"hidden_size: expected an integer >= 1, got {hidden}")
    count = 2 if direction == "bidirectional" else 1
    return Attributes(
        direction,
        hidden,
        _flag("layout", given),
        tuple({**shared, **activations} for activations in _activations(op_type, count, given)),
    )


def _activations(op_type: str, directions: int, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The keywords of the activations, for each direction.

    Alphas and betas are consumed in the order of the activations, each only by those that have one, and the last may be
    left out: so does onnxruntime. A list with an entry for every activation would be read otherwise, and is refused.
    """
    keywords = _KEYWORDS[op_type]
    expected = len(keywords) * directions
    names = given.get("activations")
    if names is None:
        names = DEFAULT_ACTIVATIONS[op_type] * directions
    if isinstance(names, (str, bytes)) or not isinstance(names, Sequence):
        raise TypeError(f"activations: expected a sequence of names, got {type(names).__name__}")
    if len(names) != expected:
        raise ValueError(
            f"activations: expected {expected} names ({len(keywords)} for each direction), got {list(names)}"
        )
    formulas = [_formula(name) for name in names]
    lists = [_numbers(name, index, formulas, given) for index, name in enumerate(_NUMBERS)]
    chosen = [_native(f, [next(values, None) for values in lists[: len(f.numbers)]]) for f in formulas]
    return [dict(zip(keywords, chosen[k : k + len(keywords)], strict=True)) for k in range(0, expected, len(keywords))]


def _formula(name: Any) -> _Formula:
    text = _text("activations", name)
    formula = _FORMULAS.get(text.lower())
    if formula is None:
        raise choice_error("activations", (f.onnx for f in _FORMULAS.values()), text)
    return formula


def _numbers(name: str, index: int, formulas: list[_Formula], given: Mapping[str, Any]) -> Any:
    """An iterator over the alphas (index 0) or betas (1), of which there are not more than activations with one."""
    values = given.get(name)
    if values is None:
        return iter(())
    if isinstance(values, (str, bytes)) or not hasattr(values, "__len__") or not hasattr(values, "__iter__"):
        raise TypeError(f"{name}: expected a sequence of numbers, got {type(values).__name__}")
    takers = [f.onnx for f in formulas if len(f.numbers) > index]
    if len(values) > len(takers):
        raise ValueError(
            f"{name}: expected at most {len(takers)} numbers, one for each activation that has one "
            f"({', '.join(takers) or 'none here'}), got {len(values)}"
        )
    return iter([_number(name, value) for value in values])


def _native(formula: _Formula, numbers: list[float | None]) -> Any:
    """An activation as the cells take it, with its numbers where they were not all left out."""
    values = []
    for name, number, default, positive in zip(_NUMBERS, numbers, formula.numbers, formula.positive, strict=False):
        value = default if number is None else number
        if value is None:
            raise ValueError(f"{name}: expected a number for {formula.onnx}, which has no default, got none")
        values.append(value)
        if not math.isfinite(value):
            raise ValueError(f"{name}: expected a finite number for {formula.onnx}, got {value}")
        if value == 0 and formula.native in ("leaky_relu", "elu"):
            return "relu"
        # The kernels keep the value of an activation alone, which must tell its slope.
        if (positive and not value > 0) or (formula.native == "thresholded_relu" and value < 0):
            raise ValueError(f"{name}: expected a number {'>' if positive else '>='} 0 for {formula.onnx}, got {value}")
    return (formula.native, *values) if values else formula.native


def native_to_onnx(activations: Sequence[Any]) -> dict[str, Any]:
    """The attributes for activations as the cells take them: the reverse of what `read_attributes` does.

    Raises:
        ValueError: for one that ONNX has not.
    """
    names: list[str] = []
    lists: tuple[list[float], list[float]] = ([], [])
    for activation in activations:
        native, *numbers = [activation] if isinstance(activation, str) else activation
        if native == "identity":
            native, numbers = "affine", [1.0, 0.0]
        formula = next((f for f in _FORMULAS.values() if f.native == native), None)
        if formula is None:
            raise ValueError(f"activation: ONNX's recurrent operators have no {native!r}")
        names.append(formula.onnx)
        for index, default in enumerate(formula.numbers):
            number = numbers[index] if index < len(numbers) else default
            if number is None:
                raise ValueError(f"activation: expected {native!r} with its numbers, got the name alone")
            lists[index].append(float(number))
    return {"activations": names} | {name: list_ for name, list_ in zip(_NUMBERS, lists, strict=True) if list_}


def _text(name: str, value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a string, got {type(value).__name__}")
    return value


def _integer(name: str, value: Any) -> int:
    """An INT of ONNX, which has 64 bits."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__}") from None
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{name}: expected an integer of 64 bits, got one of {number.bit_length()}")
    return number


def _number(name: str, value: Any) -> float:
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name}: expected a number in the range of float, got an integer beyond it") from None
    except (TypeError, ValueError):  # an array of several elements, or of objects
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}") from None


def _flag(name: str, given: Mapping[str, Any]) -> bool:
    value = _integer(name, given.get(name, 0))
    if value not in (0, 1):
        raise ValueError(f"{name}: expected 0 or 1, got {value}")
    return value == 1
