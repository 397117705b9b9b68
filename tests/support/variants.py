"""What the tests share: the list of all cell variants, random problems for them, and how errors are measured.

Shapes: T time steps, B batch, I input size, H hidden size; in the names of this file steps, batch, inputs, hidden.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn import reference
from tests.support.cells import GATES, STATES
from tests.support.gradients import numeric_gradient

# Odd sizes: below, between and above the vector widths and row tiles of every kernel, and not a multiple of any.
HIDDEN = (1, 3, 17, 33, 100)
SIZES = (  # (I, B, T): every I with every B, and all T
    (1, 1, 5), (1, 3, 5), (1, 7, 1), (1, 33, 5),
    (3, 1, 1), (3, 3, 5), (3, 7, 5), (3, 33, 1),
    (17, 1, 5), (17, 3, 1), (17, 7, 5), (17, 33, 5),
    (3, 3, 0), (0, 3, 5), (3, 0, 5), (0, 0, 0),
)  # fmt: skip

NOT_PARAMETERS = ("x", "h0", "c0", "n0", "m0")
Arrays = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """One cell with its options, e.g. an LSTM with full peepholes where o sees the previous cell state."""

    id: str
    cell: str
    options: tuple[tuple[str, Any], ...] = ()
    peephole: str = "none"

    @property
    def states(self) -> tuple[str, ...]:
        return STATES[self.cell]

    def width(self, hidden: int) -> int:
        """P, that of h and y."""
        return hidden

    def function(self, module: ModuleType, what: str) -> Callable[..., Any]:
        """``module.<cell>_<what>``, or ``module.pack_<cell>``."""
        return getattr(module, f"pack_{self.cell}" if what == "pack" else f"{self.cell}_{what}")


def _lstm(peephole: str, peephole_output: str, coupled: bool) -> Variant:
    names = ("lstm", *((peephole,) if peephole == "none" else (peephole, peephole_output)), *(["coupled"] * coupled))
    return Variant("-".join(names), "lstm", (("peephole_output", peephole_output), ("coupled", coupled)), peephole)


PEEPHOLES = (("none", "current"), *itertools.product(("diagonal", "full"), ("current", "previous")))
VARIANTS = (
    *(Variant(f"rnn-{f}", "rnn", (("activation", f),)) for f in ("tanh", "relu", "sigmoid", "identity")),
    *(Variant(f"gru-{reset}", "gru", (("reset", reset),)) for reset in ("after", "before", "output")),
    *(_lstm(kind, output, coupled) for kind, output in PEEPHOLES for coupled in (False, True)),
)


@dataclass(frozen=True)
class Mode:
    """How a sequence is run, and which optional arguments are left out."""

    id: str
    lengths: bool = False
    reverse: bool = False
    batch_first: bool = False
    omit: tuple[str, ...] = ()


MODES = (
    Mode("plain"),
    Mode("bare", omit=("b_ih", "b_hh", "h0", "c0")),
    Mode("lengths", lengths=True, omit=("b_hh",)),
    Mode("reverse", reverse=True, omit=("h0",)),
    Mode("lengths+reverse+batch_first", lengths=True, reverse=True, batch_first=True, omit=("c0",)),
)

all_variants = pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v.id)
all_modes = pytest.mark.parametrize("mode", MODES, ids=lambda m: m.id)
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
# one variant of each kernel family, for properties which do not depend on the option
some_variants = pytest.mark.parametrize(
    "variant",
    [v for v in VARIANTS if v.id in ("rnn-tanh", "gru-after", "gru-before", "lstm-none", "lstm-full-current-coupled")],
    ids=lambda v: v.id,
)


@dataclass(frozen=True)
class Problem:
    """Arguments of a forward call and of a backward call on its result."""

    variant: Variant
    arrays: Arrays  # x, the states, the parameters: all that has a gradient
    run: Arrays  # lengths, reverse, batch_first where they are not the default
    cotangents: Arrays = field(default_factory=dict)  # dy, dh_n, dc_n

    def forward(self, module: ModuleType, **more: Any) -> Any:
        arguments = {**self.arrays, **dict(self.variant.options), **self.run, **more}
        return self.variant.function(module, "forward")(**arguments)

    def backward(self, module: ModuleType, cache: Any) -> Any:
        return self.variant.function(module, "backward")(cache=cache, **self.cotangents)

    def loss(self, module: ModuleType, **more: Any) -> float:
        """A scalar which depends on every element of every output: the cotangents are its gradients to the outputs."""
        *outputs, _ = self.forward(module, training=True, **more)
        return sum(float(np.vdot(d, out)) for d, out in zip(self.cotangents.values(), outputs, strict=True))

    def astype(self, dtype: str) -> Problem:
        def cast(arrays: Arrays) -> Arrays:
            return {name: a.astype(dtype) for name, a in arrays.items()}

        return Problem(self.variant, cast(self.arrays), self.run, cast(self.cotangents))

    def parameters(self) -> Arrays:
        return {name: a for name, a in self.arrays.items() if name not in NOT_PARAMETERS}


def make_problem(
    variant: Variant,
    *,
    hidden: int,
    inputs: int,
    batch: int,
    steps: int,
    mode: Mode = MODES[0],
    dtype: str = "float64",
) -> Problem:
    """Random but reproducible. Values fit float32, so that the float64 twin of a float32 problem is the same problem.

    Weights are scaled by 1/sqrt(fan-in): the recurrence contracts, as a trained network mostly does, and rounding
    errors do not grow with T. That is what the tolerances below rely on.
    """
    rng = np.random.default_rng([hidden, inputs, batch, steps, *mode.id.encode()])
    rows, width = GATES[variant.cell] * hidden, variant.width(hidden)

    def uniform(*shape: int, scale: float) -> Any:
        return rng.uniform(-scale, scale, shape).astype("float32").astype(dtype)

    def leading(a: Any) -> Any:
        return np.ascontiguousarray(a.swapaxes(0, 1)) if mode.batch_first else a

    arrays = {
        "x": leading(uniform(steps, batch, inputs, scale=1.5)),
        "w_ih": uniform(rows, inputs, scale=max(inputs, 1) ** -0.5),
        "w_hh": uniform(*((rows,) if variant.cell == "indrnn" else (rows, width)), scale=hidden**-0.5),
        "b_ih": uniform(rows, scale=0.5),
        "b_hh": uniform(rows, scale=0.5),
        "h0": uniform(1, batch, width, scale=0.9),
    }
    cotangents = {"dy": leading(uniform(steps, batch, width, scale=1)), "dh_n": uniform(1, batch, width, scale=1)}
    for name in variant.states[1:]:
        arrays[name] = uniform(1, batch, hidden, scale=0.9)
        cotangents[f"d{name[0]}_n"] = uniform(1, batch, hidden, scale=1)
    if "n0" in arrays:  # a sum of exponentials, which m0 has brought to about 1
        arrays["n0"] = abs(arrays["n0"]) + np.asarray(0.5, dtype)
    if variant.peephole == "diagonal":
        arrays["w_peep"] = uniform(3, hidden, scale=0.7)
    if variant.peephole == "full":
        arrays["w_peep"] = uniform(3, hidden, hidden, scale=hidden**-0.5)
    run: Arrays = {}
    if mode.lengths:  # unsorted; both ends of the range appear as soon as there are rows enough
        lengths = rng.integers(0, steps + 1, batch)
        lengths[1:3] = (0, steps)[: max(batch - 1, 0)]
        run["lengths"] = lengths
    if mode.reverse:
        run["reverse"] = True
    if mode.batch_first:
        run["batch_first"] = True
    return Problem(variant, {n: a for n, a in arrays.items() if n not in mode.omit}, run, cotangents)


@contextlib.contextmanager
def use_isa(name: str) -> Iterator[None]:
    """Run with one instruction set and restore the former."""
    before = fastrnn._core.current_isa()
    fastrnn._core.set_isa(name)
    try:
        yield
    finally:
        fastrnn._core.set_isa(before)


def relative_error(actual: Any, expected: Any) -> float:
    """|actual - expected| / |expected| in the Euclidean norm over the tensor; absolute where ``expected`` is all 0.

    The norm is over the tensor because single elements pass through 0, where elementwise relative error means nothing.
    """
    expected = np.asarray(expected, "float64")
    if expected.size == 0:
        return 0.0
    return float(np.linalg.norm((actual - expected).ravel())) / (float(np.linalg.norm(expected.ravel())) or 1.0)


def scaled_error(actual: Any, expected: Any) -> float:
    """Root mean square error relative to that of ``expected``, or to 1 where ``expected`` is smaller.

    1 is the size of the terms which a problem of make_problem adds up. A sum that came out smaller did so because its
    terms cancelled, and then its error is still that of the terms: in a tensor of one element this does happen.
    """
    expected = np.asarray(expected, "float64")
    if expected.size == 0:
        return 0.0
    return float(np.sqrt(np.mean((actual - expected) ** 2) / max(np.mean(expected**2), 1.0)))


def tolerance(dtype: str, *, hidden: int, inputs: int, batch: int, steps: int) -> float:
    """Bound for scaled_error between two correct implementations in ``dtype``, derived and not tuned.

    A sum of n products in any order is off by at most n*eps/2 relative to the sum of magnitudes. The longest are the
    I + H products of a pre-activation and the T*B of a weight gradient; an activation adds 4 ulp, and there are at most
    four in a row (gate, c, tanh(c), h). An error made in one step reaches all later ones, not amplified because the
    recurrence contracts (make_problem): times T. Both implementations err, which takes the 1/2 away. Random roundings
    stay far below this bound, wrong equations lie far above it: they change a result by 1e-2 or more.
    """
    return float(np.finfo(dtype).eps) * (inputs + hidden + batch * steps + 16) * max(steps, 1)


def assert_matches(actual: Any, expected: Any, tol: float, where: str) -> None:
    """Compare two named tuples: same fields, same None, same shapes, each scaled_error at most ``tol``."""
    assert actual._fields == expected._fields
    for name, a, e in zip(expected._fields, actual, expected, strict=True):
        if e is None:
            assert a is None, f"{name} of {where}: expected None"
            continue
        assert a.shape == e.shape, f"{name} of {where}"
        error = scaled_error(a, e)
        assert error <= tol, f"{name} of {where}: error {error:.3g} > {tol:.3g}"


def assert_same(actual: Any, expected: Any) -> None:
    """Two (named) tuples are equal bit by bit, None included."""
    for k, (a, e) in enumerate(zip(actual, expected, strict=True)):
        np.testing.assert_array_equal(a, e, err_msg=f"item {k}", strict=True)


@functools.cache
def expected_results(variant: Variant, mode: Mode, hidden: int, inputs: int, batch: int, steps: int) -> Any:
    """A problem of these sizes, and what the reference makes of it in float64: outputs and gradients.

    Cached because every type and every instruction set is held against the same numbers.
    """
    problem = make_problem(variant, hidden=hidden, inputs=inputs, batch=batch, steps=steps, mode=mode)
    *outputs, cache = problem.forward(reference, training=True)
    return problem, output_tuple(variant, reference)(*outputs), problem.backward(reference, cache)


def output_tuple(variant: Variant, module: ModuleType) -> Callable[..., Any]:
    """RNNOutput, GRUOutput, ... of ``module``."""
    return getattr(module, f"{variant.cell.upper().replace('IND', 'Ind')}Output")


def numerical_gradients(problem: Problem, module: ModuleType) -> Arrays:
    """Central differences of ``problem.loss`` for every element of every array of a float64 problem.

    With the step 1e-5 the truncation error (step^2) and the rounding error (eps/step) are both about 1e-11.
    """
    grads = {}
    for name, array in problem.arrays.items():
        moved = array.copy()
        grads[name] = numeric_gradient(
            lambda name=name, moved=moved: problem.loss(module, **{name: moved}), moved, 1e-5
        )
    return grads


def assert_gradcheck(problem: Problem, module: ModuleType, tol: float) -> None:
    """Analytic against numerical gradients, for every input and parameter."""
    *_, cache = problem.forward(module, training=True)
    analytic = problem.backward(module, cache)._asdict()
    for name, numerical in numerical_gradients(problem, module).items():
        error = relative_error(analytic[name], numerical)
        assert error <= tol, f"d{name}: relative error {error:.3g} > {tol:.3g}"
