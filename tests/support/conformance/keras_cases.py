"""Random settings of Keras' recurrent layers, run there and here with the same weights: outputs, states and gradients.

Keras runs on PyTorch, whose autograd gives the gradients. The loss is the inner product of all outputs with random
cotangents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import fastrnn

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install '.[conformance]'")
keras = pytest.importorskip("keras", reason="Keras is not installed; pip install '.[conformance]'")
torch.set_num_threads(1)
# Keras multiplies matrices of float64 in float32 on every backend but TensorFlow, after JAX. Not here.
keras.src.backend.common.dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
# Keras 3.15 on NumPy 2: its variables still have the __array__ of NumPy 1.
quiet = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

DTYPES = ("float32", "float64")
LAYERS = ("SimpleRNN", "LSTM", "GRU")
SIZES = (1, 2, 3, 5, 7, 8, 13, 17)
BOUNDED = ("tanh", "sigmoid", "hard_sigmoid", "softsign")
UNBOUNDED = ("relu", "linear", "elu", "selu", "softplus", "leaky_relu", "exponential")
MERGES = ("concat", "sum", "mul", "ave", None)

Results = dict[str, Any]


@keras.saving.register_keras_serializable("conformance")
def exact_hard_sigmoid(x: Any) -> Any:
    """Keras' hard_sigmoid. PyTorch's own has a slope of float32's 1/6 in its float64 backward."""
    return torch.clamp(x / 6 + 0.5, 0, 1)


@keras.saving.register_keras_serializable("conformance")
def exact_softplus(x: Any) -> Any:
    """Keras' softplus. PyTorch's own is x beyond 20, where exp(-x) is still 1e7 eps of float64."""
    return torch.logaddexp(x, torch.zeros_like(x))


EXACT = {"hard_sigmoid": exact_hard_sigmoid, "softplus": exact_softplus}  # in float64


def draw_settings(rng: np.random.Generator, layer: str, dtype: str) -> dict[str, Any]:
    """The arguments which Keras' layer and ours share."""
    settings: dict[str, Any] = {"units": int(rng.choice(SIZES)), "dtype": dtype}
    for name in ("return_sequences", "return_state"):
        settings[name] = bool(rng.random() < 0.5)
    settings["use_bias"] = bool(rng.random() < 0.75)
    names = ("activation", "recurrent_activation")[: 1 if layer == "SimpleRNN" else 2]
    wild = int(rng.integers(2))  # at most one of the two has no bound, or the states have none
    for k, name in enumerate(names):
        if rng.random() < 0.5:  # else the default
            settings[name] = str(rng.choice((*BOUNDED, *UNBOUNDED) if k == wild else BOUNDED))
    if layer == "LSTM":
        settings["unit_forget_bias"] = bool(rng.random() < 0.5)
    if layer == "GRU":
        settings["reset_after"] = bool(rng.random() < 0.5)
    return settings


def draw_sizes(rng: np.random.Generator, settings: dict[str, Any]) -> tuple[int, int, int]:
    """B, T, I. A gate without a bound, one below 0 (a GRU's 1 - z is more than 1 then) beside a candidate without a
    bound, or an exponential, lets states and errors grow without one: few steps then.
    """
    batch, steps, inputs = (int(n) for n in rng.choice(SIZES, 3))
    candidate, gate = settings.get("activation"), settings.get("recurrent_activation")
    signed = gate in ("tanh", "softsign") and candidate in UNBOUNDED
    wild = gate in UNBOUNDED or signed or candidate == "exponential"
    return batch, min(steps, 3) if wild else steps, inputs


def draw_path(rng: np.random.Generator, layer: str) -> dict[str, Any]:
    """Which of its own ways Keras takes: arguments that change nothing of what is computed, and that we have not."""
    if layer == "SimpleRNN":
        return {}
    return {"implementation": int(rng.integers(1, 3)), "use_cudnn": [False, "auto"][int(rng.integers(2))]}


def draw_mask(rng: np.random.Generator, batch: int, steps: int) -> tuple[str, Any]:
    """A kind of mask and the mask (B, T)."""
    kind = str(rng.choice(("none", "full", "prefix", "suffix", "holes", "empty_rows", "empty")))
    lengths = rng.integers(1, steps + 1, batch)[:, None]
    mask = {
        "none": None,
        "full": np.ones((batch, steps), bool),
        "prefix": np.arange(steps) < lengths,
        "suffix": np.arange(steps) >= steps - lengths,
        "holes": rng.random((batch, steps)) < 0.6,
        "empty_rows": (rng.random((batch, steps)) < 0.8) & (rng.random((batch, 1)) < 0.5),
        "empty": np.zeros((batch, steps), bool),
    }[kind]
    return kind, mask


def make_pair(layer: str, settings: dict[str, Any], path: dict[str, Any]) -> tuple[Any, Any]:
    """Keras' layer and ours, neither built."""
    replaced = {
        name: EXACT[value]
        for name, value in settings.items()
        if settings["dtype"] == "float64" and name.endswith("activation") and value in EXACT
    }
    return getattr(keras.layers, layer)(**{**settings, **replaced, **path}), getattr(fastrnn, layer)(**settings)


def share_weights(
    theirs: Any, ours: Any, inputs: int, settings: dict[str, Any], rng: np.random.Generator, batch: int | None = None
) -> Results:
    """Build both for x (B, T, I), give both the same random weights, and return the weights which either began with.

    They shrink with their number, and more for an exponential, so that activations without a bound stay in range.
    """
    shape = (batch, None, inputs)
    theirs.build(shape)
    ours.build(shape)
    began = {"theirs": theirs.get_weights(), "ours": ours.get_weights()}
    scale = 0.15 if "exponential" in settings.values() else 0.7
    weights = [scale * rng.standard_normal(w.shape) / np.sqrt(w.shape[0]) for w in began["theirs"]]
    theirs.set_weights(weights)
    ours.set_weights(weights)
    return began


def leaf(array: Any) -> Any:
    return torch.tensor(array, requires_grad=True)


def flatten(outputs: Any) -> list[Any]:
    """Of the outputs of a layer: one, or a tuple of several."""
    return list(outputs) if isinstance(outputs, Sequence) else [outputs]


def compare(
    theirs: Any, ours: Any, x: Any, mask: Any, states: Any, rng: np.random.Generator
) -> tuple[Results, Results]:
    """Our results and theirs for x (B, T, I), a mask (B, T) or None and initial states or None: y0, y1, ... are all
    that the layer returns, dx, ds0, ds1, ... and dw0, dw1, ... the gradients of x, of the states and of the weights.
    """
    leaves = {"x": leaf(x), **{f"s{k}": leaf(s) for k, s in enumerate(states or ())}}
    outputs = flatten(
        theirs(
            leaves["x"],
            mask=None if mask is None else torch.from_numpy(mask),
            initial_state=[leaves[f"s{k}"] for k in range(len(states))] if states else None,
        )
    )
    cotangents = [rng.standard_normal(tuple(y.shape)).astype(x.dtype) for y in outputs]
    expected = {f"y{k}": y.detach().numpy() for k, y in enumerate(outputs)}
    wanted = {**leaves, **{f"w{k}": v.value for k, v in enumerate(theirs.trainable_weights)}}
    loss = sum((y * torch.from_numpy(d)).sum() for y, d in zip(outputs, cotangents, strict=True))
    loss = loss + 0 * leaves["x"].sum()  # where all steps are masked the outputs depend on nothing
    grads = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True, materialize_grads=True)
    expected |= {f"d{name}": grad.numpy() for name, grad in zip(wanted, grads, strict=True)}

    actual = {f"y{k}": y for k, y in enumerate(flatten(ours(x, mask=mask, training=True, initial_state=states)))}
    count = 2 if getattr(ours, "merge_mode", "") is None else 1  # two outputs before the states
    dy = cotangents[0] if count == 1 else cotangents[:2]
    actual["dx"] = ours.backward(dy, cotangents[count:] or None)
    if states:
        actual |= {f"ds{k}": g for k, g in enumerate(ours.initial_state_gradients)}
    return actual | our_gradients(ours), expected


def our_gradients(ours: Any) -> Results:
    """The gradients of all weights in Keras' layout: what `get_weights` gives while they stand for the weights."""
    kept = [p.value.copy() for p in ours.parameters()]
    for p in ours.parameters():
        p.assign(p.grad)
    grads = ours.get_weights()
    for p, value in zip(ours.parameters(), kept, strict=True):
        p.assign(value)
    return {f"dw{k}": grad for k, grad in enumerate(grads)}


def describe(*parts: Any, **settings: Any) -> str:
    """A case's name: the settings but those that are None or the rule."""
    words = [str(part) for part in parts]
    for name, value in settings.items():
        if isinstance(value, bool):
            words += [name if value else f"no_{name}"]
        else:
            words += [f"{name}={value}"]
    return "-".join(words)
