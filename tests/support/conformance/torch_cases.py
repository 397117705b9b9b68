"""Random settings of PyTorch's recurrent modules, run there and here: outputs and every gradient, by name.

The loss is the inner product of all outputs with random cotangents: one backward pass reaches everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn.interop import torch_layers

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install '.[conformance]'")
torch.set_num_threads(1)
pack_padded_sequence = torch.nn.utils.rnn.pack_padded_sequence
pad_packed_sequence = torch.nn.utils.rnn.pad_packed_sequence

SUITES = {
    "rnn_tanh": "PyTorch nn.RNN, tanh",
    "rnn_relu": "PyTorch nn.RNN, relu",
    "lstm": "PyTorch nn.LSTM",
    "lstm_proj": "PyTorch nn.LSTM, proj_size",
    "gru": "PyTorch nn.GRU",
}
MODULES = tuple(SUITES)
DTYPES = ("float32", "float64")
FORMS = ("padded", "unbatched", "packed", "packed_unsorted")
SIZES = (1, 2, 3, 5, 7, 8, 13, 17, 33)
NAMES = {"w_ih": "weight_ih", "w_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh", "w_hr": "weight_hr"}

Results = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One setting. `steps` T, `batch` B, `inputs` I, `hidden` H, `projection` P or 0, as in the functions."""

    module: str
    dtype: str
    form: str
    layers: int
    directions: int
    bias: bool
    batch_first: bool
    states: bool
    steps: int
    batch: int
    inputs: int
    hidden: int
    projection: int
    threads: int
    seed: int

    def __str__(self) -> str:
        words = [self.module, self.dtype, self.form, f"L{self.layers}", "bi" if self.directions == 2 else "uni"]
        words += [name for name in ("batch_first", "states") if getattr(self, name)] + ["" if self.bias else "no_bias"]
        sizes = f"T{self.steps}B{self.batch}I{self.inputs}H{self.hidden}"
        words += [sizes + (f"P{self.projection}" if self.projection else ""), str(self.seed)]
        return "-".join(word for word in words if word)

    @property
    def cell(self) -> str:
        return self.module.split("_")[0]

    @property
    def terms(self) -> int:
        """The longest sum of products behind a result, those over all rows of the weights' gradients among them."""
        width = self.projection or self.hidden
        inputs = max(self.inputs, (self.layers > 1) * self.directions * width)
        return inputs + self.hidden + self.batch * self.steps


def draw(module: str, dtype: str, seed: int) -> Case:
    """Setting number `seed` of a module. Four in a row have every form once."""
    rng = np.random.default_rng([4, MODULES.index(module), DTYPES.index(dtype), seed])
    form = FORMS[seed % 4]
    size = lambda: int(rng.choice(SIZES))  # noqa: E731
    hidden = size() + (module == "lstm_proj")
    return Case(
        module=module,
        dtype=dtype,
        form=form,
        layers=int(rng.integers(1, 5)),
        directions=int(rng.integers(1, 3)),
        bias=bool(rng.random() < 0.7),
        batch_first=bool(rng.random() < 0.5) and form != "unbatched",
        states=bool(rng.random() < 0.6),
        steps=size(),
        batch=1 if form == "unbatched" else size(),
        inputs=size(),
        hidden=hidden,
        projection=int(rng.integers(1, hidden)) if module == "lstm_proj" else 0,
        threads=int(rng.integers(1, 3)),
        seed=seed,
    )


def make_module(case: Case) -> Any:
    torch.manual_seed(case.seed)
    options = {"dtype": getattr(torch, case.dtype), "bias": case.bias, "num_layers": case.layers}
    options |= {"bidirectional": case.directions == 2, "batch_first": case.batch_first}
    if case.projection:
        options["proj_size"] = case.projection
    if case.cell == "rnn":
        options["nonlinearity"] = case.module.split("_")[1]
    return getattr(torch.nn, case.cell.upper())(case.inputs, case.hidden, **options)


@dataclass(frozen=True)
class Problem:
    """The arrays of a case, time-major: x, h0, c0, and the cotangents of y, h_n, c_n. c0, dc_n None without c."""

    x: Any
    h0: Any
    c0: Any
    dy: Any
    dh_n: Any
    dc_n: Any
    lengths: Any  # (B,), None where the batch is not packed


def make_problem(case: Case) -> Problem:
    rng = np.random.default_rng([5, case.seed])
    width = case.projection or case.hidden
    rows = case.layers * case.directions

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(case.dtype)

    def cell_states() -> Any:
        return normal(rows, case.batch, case.hidden) if case.cell == "lstm" else None

    lengths = None
    if case.form.startswith("packed"):
        lengths = rng.integers(1, case.steps + 1, case.batch)
        if case.form == "packed":
            lengths = np.sort(lengths)[::-1].copy()
    return Problem(
        x=normal(case.steps, case.batch, case.inputs),
        h0=normal(rows, case.batch, width),
        c0=cell_states(),
        dy=normal(case.steps, case.batch, case.directions * width),
        dh_n=normal(rows, case.batch, width),
        dc_n=cell_states(),
        lengths=lengths,
    )


# ------------------------------------------------------------------------------------------------------------ PyTorch


def run_torch(case: Case, module: Any, problem: Problem) -> Results:
    """What PyTorch computes, in the shapes of `stack_forward` with padded, time-major x."""
    leaves = {
        name: torch.tensor(getattr(problem, name), requires_grad=True)
        for name in ("x", "h0", "c0")
        if getattr(problem, name) is not None and (name == "x" or case.states)
    }
    inputs, states = leaves["x"], [leaves[name] for name in ("h0", "c0") if name in leaves]
    if case.form == "unbatched":
        inputs, states = inputs[:, 0], [s[:, 0] for s in states]
    elif case.batch_first:
        inputs = inputs.transpose(0, 1)
    if problem.lengths is not None:
        lengths = torch.from_numpy(problem.lengths)
        inputs = pack_padded_sequence(inputs, lengths, case.batch_first, enforce_sorted=case.form == "packed")
    y, last = module(inputs, *([] if not states else [tuple(states) if case.cell == "lstm" else states[0]]))
    if problem.lengths is not None:
        y, _ = pad_packed_sequence(y, case.batch_first, total_length=case.steps)
    if case.batch_first:
        y = y.transpose(0, 1)
    outputs = {"y": y, **dict(zip(("h_n", "c_n"), last if case.cell == "lstm" else (last,), strict=False))}
    if case.form == "unbatched":
        outputs = {name: value.unsqueeze(1) for name, value in outputs.items()}
    loss = sum((value * torch.from_numpy(getattr(problem, f"d{name}"))).sum() for name, value in outputs.items())
    leaves |= dict(module.named_parameters())
    grads = torch.autograd.grad(loss, list(leaves.values()))
    results = {name: value.detach().numpy() for name, value in outputs.items()}
    return results | {f"d{name}": grad.numpy() for name, grad in zip(leaves, grads, strict=True)}


# --------------------------------------------------------------------------------------------------------------- ours


def pack(case: Case, module: Any) -> list[Any]:
    options = {"activation": case.module.split("_")[1]} if case.cell == "rnn" else {}
    return torch_layers(module.state_dict(), **options)


def name_parameters(grads: Any) -> Results:
    """The gradients of a stack's parameters under PyTorch's names."""
    suffixes = ("", "_reverse")
    return {
        f"d{NAMES[name]}_l{k}{suffixes[d]}": grad
        for k, row in enumerate(grads)
        for d, parameters in enumerate(row)
        for name, grad in parameters.items()
    }


def run_stack(case: Case, layers: list[Any], problem: Problem) -> Results:
    """One call of the stack, with `lengths` where PyTorch's batch is packed."""
    axes = (lambda a: np.ascontiguousarray(a.swapaxes(0, 1))) if case.batch_first else (lambda a: a)
    states = {"h0": problem.h0, "c0": problem.c0} if case.states else {}
    options = {"lengths": problem.lengths, "batch_first": case.batch_first, "threads": case.threads, **states}
    y, h_n, c_n, cache = fastrnn.stack_forward(axes(problem.x), layers, **options, training=True)
    grads = fastrnn.stack_backward(axes(problem.dy), cache, problem.dh_n, problem.dc_n, threads=case.threads)
    return collect(case, axes(y), h_n, c_n, axes(grads.x), grads.h0, grads.c0, name_parameters(grads.layers))


def run_packed(case: Case, layers: list[Any], problem: Problem) -> Results:
    """The same with PyTorch's packed data and `batch_sizes`: rows in the order of their lengths."""
    order = torch.from_numpy(problem.lengths).argsort(descending=True, stable=True).numpy()
    lengths = problem.lengths[order]
    steps, rows = np.nonzero(np.arange(lengths[0])[:, None] < lengths)
    sizes = np.bincount(steps)
    back = np.argsort(order)

    def data(array: Any) -> Any:
        return np.ascontiguousarray(array[steps, order[rows]])

    def pad(array: Any) -> Any:
        result = np.zeros((case.steps, case.batch, array.shape[-1]), array.dtype)
        result[steps, order[rows]] = array
        return result

    def sort(array: Any) -> Any:
        return None if array is None else np.ascontiguousarray(array[:, order])

    def unsort(array: Any) -> Any:
        return None if array is None else array[:, back]

    states = {"h0": sort(problem.h0), "c0": sort(problem.c0)} if case.states else {}
    options = {"batch_sizes": sizes, "threads": case.threads, **states}
    y, h_n, c_n, cache = fastrnn.stack_forward(data(problem.x), layers, **options, training=True)
    grads = fastrnn.stack_backward(
        data(problem.dy), cache, sort(problem.dh_n), sort(problem.dc_n), threads=case.threads
    )
    gradients = pad(grads.x), unsort(grads.h0), unsort(grads.c0), name_parameters(grads.layers)
    return collect(case, pad(y), unsort(h_n), unsort(c_n), *gradients)


def run_functions(case: Case, layers: list[Any], problem: Problem) -> Results:
    """One layer as its directions one by one, the second with `reverse`."""
    (row,) = layers
    lstm = case.cell == "lstm"
    width = case.projection or case.hidden
    parts: dict[str, list[Any]] = {name: [] for name in ("y", "h_n", "c_n", "x", "h0", "c0")}
    parameters = []
    for d, weights in enumerate(row):
        states = {n: getattr(problem, n)[d : d + 1] for n in ("h0", "c0")[: 1 + lstm]} if case.states else {}
        *outputs, cache = getattr(fastrnn, f"{case.cell}_forward")(
            problem.x, weights, **states, lengths=problem.lengths, reverse=d == 1, training=True
        )
        cotangents = [getattr(problem, n)[d : d + 1] for n in ("dh_n", "dc_n")[: 1 + lstm]]
        dy = np.ascontiguousarray(problem.dy[..., d * width : (d + 1) * width])
        grads = getattr(fastrnn, f"{case.cell}_backward")(dy, cache, *cotangents)._asdict()
        for name, value in zip(("y", "h_n", "c_n"), outputs, strict=False):
            parts[name].append(value)
        for name in ("x", "h0", "c0")[: 2 + lstm]:
            parts[name].append(grads[name])
        parameters.append({name: grads[name] for name in NAMES if grads.get(name) is not None})

    def along_rows(name: str) -> Any:
        return np.concatenate(parts[name]) if parts[name] else None

    y = np.concatenate(parts["y"], axis=-1)
    states_n, gradients = (along_rows("h_n"), along_rows("c_n")), (along_rows("h0"), along_rows("c0"))
    return collect(case, y, *states_n, sum(parts["x"]), *gradients, name_parameters([parameters]))


def collect(case: Case, y: Any, h_n: Any, c_n: Any, dx: Any, dh0: Any, dc0: Any, parameters: dict[str, Any]) -> Results:
    """The results under PyTorch's names; gradients of states only where states were given."""
    given = {"dh0": dh0, "dc0": dc0} if case.states else {}
    results = {"y": y, "h_n": h_n, "c_n": c_n, "dx": dx, **given, **parameters}
    return {name: value for name, value in results.items() if value is not None}


def compare(conformance, suite: str, case: Case, steps: int | None = None) -> None:
    """Run a case there and, in every way that it can be written, here. `steps`: how often an error is handed on."""
    module, problem = make_module(case), make_problem(case)
    layers, expected = pack(case, module), run_torch(case, module, problem)
    ways = {"stack": run_stack}
    if problem.lengths is not None:
        ways["batch_sizes"] = run_packed
    if case.layers == 1:
        ways["functions"] = run_functions
    sums = {"terms": case.terms, "steps": steps or case.steps * case.layers}
    for way, run in ways.items():
        conformance.check(suite, f"{case}-{way}", run(case, layers, problem), expected, case.dtype, **sums)
