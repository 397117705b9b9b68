"""The two operators as PyTorch knows them: `torch.ops.fastrnn.forward` and `.backward`.

torch.compile, torch.export, torch.func and fake tensors go through `torch.library`. A plain call does not: the way
through the dispatcher to an operator in Python takes ten times as long as an `autograd.Function`, and both end in
`compute`.
"""

from __future__ import annotations

from typing import Any

import torch

from . import compute
from .packing import store_of
from .plan import Plan, write
from .settings import Settings

_COMMON = "Tensor x, Tensor? h0, Tensor? c0, Tensor[] weights, Tensor? lengths, Tensor? mask, Tensor? reset_mask"
_library = torch.library.Library("fastrnn", "DEF")
# Results that a cell does not have are empty, as None is no tensor.
_library.define(f"forward({_COMMON}, Tensor? seed, str plan, int slot, bool keep) -> (Tensor, Tensor, Tensor, Tensor)")
_library.define(
    f"backward(Tensor? dy, Tensor? dh_n, Tensor? dc_n, {_COMMON}, Tensor? seed, Tensor y, Tensor reserve, str plan, "
    "int slot, bool need_dx) -> (Tensor, Tensor, Tensor, Tensor[])"
)


def _forward(
    x: Any, h0: Any, c0: Any, weights: Any, lengths: Any, mask: Any, reset_mask: Any, seed: Any, plan: str, slot: int,
    keep: bool,
) -> tuple[Any, Any, Any, Any]:  # fmt: skip
    options = (lengths, mask, reset_mask, seed)
    y, h_n, c_n, reserve = compute.forward(Plan.read(plan), store_of(slot), x, h0, c0, weights, options, keep)
    return y, h_n, x.new_empty(0) if c_n is None else c_n, _no_reserve(x) if reserve is None else reserve


def _no_reserve(x: Any) -> Any:
    return x.new_empty(0, dtype=torch.uint8)


def _forward_fake(
    x: Any, h0: Any, c0: Any, weights: Any, lengths: Any, mask: Any, reset_mask: Any, seed: Any, plan: str, slot: int,
    keep: bool,
) -> tuple[Any, Any, Any, Any]:  # fmt: skip
    the = Plan.read(plan)
    if the.packed:
        batch = torch.library.get_ctx().new_dynamic_size() if h0 is None else h0.shape[1]
    else:
        batch = x.shape[0 if the.batch_first else 1]
    states = the.layers * the.directions
    y = x.new_empty((*x.shape[:-1], the.output_width(weights)))
    h_n = x.new_empty((states, batch, the.state_width(weights)))
    c_n = x.new_empty((states, batch, the.hidden(weights)) if the.has_c else (0,))
    return y, h_n, c_n, x.new_empty((1,), dtype=torch.uint8) if keep else _no_reserve(x)


def _backward(
    dy: Any, dh_n: Any, dc_n: Any, x: Any, h0: Any, c0: Any, weights: Any, lengths: Any, mask: Any, reset_mask: Any,
    seed: Any, y: Any, reserve: Any, plan: str, slot: int, need_dx: bool,
) -> tuple[Any, Any, Any, Any]:  # fmt: skip
    arguments = (x, h0, c0, weights, (lengths, mask, reset_mask, seed), reserve, need_dx)
    dx, dh0, dc0, dweights = compute.backward(Plan.read(plan), store_of(slot), (dy, dh_n, dc_n), *arguments)
    dx, dc0 = (x.new_empty(0) if gradient is None else gradient for gradient in (dx, dc0))
    return dx, dh0, dc0, dweights


def _backward_fake(
    dy: Any, dh_n: Any, dc_n: Any, x: Any, h0: Any, c0: Any, weights: Any, lengths: Any, mask: Any, reset_mask: Any,
    seed: Any, y: Any, reserve: Any, plan: str, slot: int, need_dx: bool,
) -> tuple[Any, Any, Any, Any]:  # fmt: skip
    the = Plan.read(plan)
    known = next((s for s in (h0, dh_n, c0, dc_n) if s is not None), None)
    if known is not None:
        batch = known.shape[1]
    elif the.packed:
        batch = torch.library.get_ctx().new_dynamic_size()
    else:
        batch = x.shape[0 if the.batch_first else 1]
    states = the.layers * the.directions
    dh0 = x.new_empty((states, batch, the.state_width(weights)))
    dc0 = x.new_empty((states, batch, the.hidden(weights)) if the.has_c else (0,))
    dx = x.new_empty(x.shape if need_dx else (0,))
    return dx, dh0, dc0, [w.new_empty(w.shape) for w in weights]


def _save(ctx: Any, inputs: Any, output: Any) -> None:
    x, h0, c0, weights, lengths, mask, reset_mask, seed, ctx.plan, ctx.slot, _ = inputs
    ctx.count = len(weights)
    ctx.save_for_backward(x, h0, c0, *weights, lengths, mask, reset_mask, seed, output[0], output[3])
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, dy: Any, dh_n: Any, dc_n: Any, _: Any) -> tuple[Any, ...]:
    x, h0, c0, *rest = ctx.saved_tensors
    weights, others = rest[: ctx.count], rest[ctx.count :]
    if not Plan.read(ctx.plan).has_c:
        dc_n = None
    need_dx = ctx.needs_input_grad[0]
    dx, dh0, dc0, dweights = torch.ops.fastrnn.backward(
        dy, dh_n, dc_n, x, h0, c0, weights, *others, ctx.plan, ctx.slot, need_dx
    )
    gradients = (dx if need_dx else None, None if h0 is None else dh0, None if c0 is None else dc0)
    return *gradients, dweights, None, None, None, None, None, None, None


def _refuse(ctx: Any, *gradients: Any) -> None:
    raise RuntimeError(
        "fastrnn.torch: the second derivative of a recurrent layer is not there; expected one backward pass, got a "
        "second through it (create_graph=True). torch.nn's layer has it: fastrnn.torch.restore(model)"
    )


# Where a program cannot be compiled whole, as one with packed sequences, torch.compile would trace these, too.
_untraced = getattr(torch, "_disable_dynamo", lambda function: function)
_library.impl("forward", _untraced(_forward), "CPU")
_library.impl("backward", _untraced(_backward), "CPU")
torch.library.register_fake("fastrnn::forward", _forward_fake, lib=_library)
torch.library.register_fake("fastrnn::backward", _backward_fake, lib=_library)
torch.library.register_autograd("fastrnn::forward", _differentiate, setup_context=_save, lib=_library)
torch.library.register_autograd("fastrnn::backward", _refuse, setup_context=lambda ctx, inputs, output: None,
                                lib=_library)  # fmt: skip


class _Recurrence(torch.autograd.Function):
    """The same for a plain call."""

    @staticmethod
    def forward(ctx: Any, call: Any, x: Any, h0: Any, c0: Any, *weights: Any) -> Any:
        plan, store, options = call
        y, h_n, c_n, reserve = compute.forward(plan, store, x, h0, c0, weights, options, True)
        ctx.call = call
        ctx.save_for_backward(y, reserve, x, h0, c0, *weights)
        ctx.set_materialize_grads(False)
        return (y, h_n) if c_n is None else (y, h_n, c_n)

    @staticmethod
    def backward(ctx: Any, dy: Any, dh_n: Any, dc_n: Any = None) -> Any:
        plan, store, options = ctx.call
        y, reserve, x, h0, c0, *weights = ctx.saved_tensors
        need_dx = ctx.needs_input_grad[1]
        if torch.is_grad_enabled():  # create_graph=True: what comes out leads to the error of `_refuse`
            arguments = (dy, dh_n, dc_n, x, h0, c0, weights, *options, y, reserve, plan.text, store.slot, need_dx)
            dx, dh0, dc0, dweights = torch.ops.fastrnn.backward(*arguments)
            dx = dx if need_dx else None
        else:
            need_states = h0 is not None or c0 is not None
            dx, dh0, dc0, dweights = compute.backward(
                plan, store, (dy, dh_n, dc_n), x, h0, c0, weights, options, reserve, need_dx, need_states
            )
        return None, dx, None if h0 is None else dh0, None if c0 is None else dc0, *dweights


def _apply_recurrence(*arguments: Any) -> Any:
    """PyTorch's `apply` without its look at transforms of torch.func, which `is_plain` had before."""
    return super(torch.autograd.Function, _Recurrence).apply(*arguments)


class _Transformed(torch.autograd.Function):
    """The same under a transform of torch.func, which wants all that is saved among the results."""

    @staticmethod
    def forward(the: Any, x: Any, h0: Any, c0: Any, *rest: Any) -> Any:
        options, weights = rest[:4], [*rest[4:]]
        return torch.ops.fastrnn.forward(x, h0, c0, weights, *options, *the, True)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.the, *tensors = inputs
        ctx.save_for_backward(*tensors, output[0], output[3])
        ctx.mark_non_differentiable(output[3])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        *tensors, y, reserve = ctx.saved_tensors
        dy, dh_n, dc_n, _ = gradients
        dx, dh0, dc0, *dweights = _TransformedBackward.apply(ctx.the, dy, dh_n, dc_n, y, reserve, *tensors)
        states = (None if tensors[1] is None else dh0, None if tensors[2] is None else dc0)
        return None, dx, *states, None, None, None, None, *dweights


class _TransformedBackward(torch.autograd.Function):
    @staticmethod
    def forward(
        the: Any, dy: Any, dh_n: Any, dc_n: Any, y: Any, reserve: Any, x: Any, h0: Any, c0: Any, *rest: Any
    ) -> Any:
        options, weights = rest[:4], [*rest[4:]]
        dc_n = dc_n if Plan.read(the[0]).has_c else None
        *found, dweights = torch.ops.fastrnn.backward(
            dy, dh_n, dc_n, x, h0, c0, weights, *options, y, reserve, *the, True
        )
        return *found, *dweights

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    backward = staticmethod(_refuse)


# Whether a call is plain: no transform of torch.func, no mode that sees every operator. The names are PyTorch's own
# and not documented; without them, every call goes through the dispatcher.
_modes = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 1)
_transform = getattr(getattr(torch._C, "_functorch", None), "peek_interpreter_stack", lambda: None)
_tracing = getattr(torch._C, "_is_tracing", lambda: False)
_exporting = getattr(torch.compiler, "is_exporting", lambda: False)
_NO_OPTIONS = (None, None, None, None)
_DTYPES = (torch.float32, torch.float64)
PLAIN = (torch.Tensor, torch.nn.Parameter)


def is_plain() -> bool:
    """Whether a call on tensors is that and nothing else: nobody compiles, transforms or watches it."""
    return not torch.compiler.is_compiling() and not _modes() and _transform() is None and not _tracing()


def is_traced() -> bool:
    """Whether torch.jit.trace watches, which sees PyTorch's operators alone: what is computed here were a constant."""
    return not torch.compiler.is_compiling() and bool(_tracing())


def refuse_trace(name: str) -> ValueError:
    """The error of a call that torch.jit.trace watches, with options that torch.nn lacks."""
    return ValueError(
        f"{name}: expected no options that torch.nn lacks under torch.jit.trace, which knows torch.nn's layers alone; "
        "torch.export takes all of them"
    )


def call_plainly(settings: Settings, form: tuple[Any, ...], x: Any, h0: Any, c0: Any, weights: tuple[Any, ...]) -> Any:
    """As `call`, where `is_plain`, for tensors as they usually are: x (T, B, I) on the CPU, one dtype, no options.

    Returns:
        y, h_n and c_n or None, and what else a forward call returns; None, with nothing done, for other tensors.
    """
    plan = settings.plan(*form)
    if not plan.plain:
        return None
    if not (torch.is_grad_enabled() and _needs_gradient(x, h0, c0, weights)):
        return compute.forward_natively(plan, settings.store, x, h0, c0, weights, False)
    dtype = weights[0].dtype
    usual = (
        x.dtype is dtype
        and dtype in _DTYPES
        and x.is_cpu
        and weights[0].is_cpu
        and x.layout is torch.strided
        and x.dim() == 3
        and x.shape[2] == plan.inputs(weights)
    )
    if not usual or any(s is not None and (s.dtype is not dtype or not s.is_cpu) for s in (h0, c0)):
        return None
    found = _apply_recurrence((plan, settings.store, _NO_OPTIONS), x, h0, c0, *weights)
    return found if plan.has_c else (*found, None)


def _needs_gradient(x: Any, h0: Any, c0: Any, weights: Any) -> bool:
    for tensor in (*weights, x, h0, c0):  # noqa: SIM110 - any() takes twice as long: the first weight says it
        if tensor is not None and tensor.requires_grad:
            return True
    return False


def call(
    settings: Settings,
    form: tuple[Any, ...],
    x: Any,
    h0: Any,
    c0: Any,
    weights: Any,
    lengths: Any,
    mask: Any,
    reset_mask: Any,
) -> tuple[Any, Any, Any]:
    """Run a stack, with a gradient where one is asked for: y, h_n and c_n, None without c.

    Args:
        settings: of the module. form: the arguments of `plan.write` without its first. The others are those of
            `compute.forward`.
    """
    needed = torch.is_grad_enabled() and _needs_gradient(x, h0, c0, weights)
    *_, training, dropout = form
    seed = torch.randint(2**63 - 1, ()) if training and (dropout or settings.draws) else None
    compiling = torch.compiler.is_compiling()
    options = (lengths, mask, reset_mask, seed)
    if type(x) in PLAIN and x.is_cpu and is_plain():
        plan, store = settings.plan(*form), settings.store
        if needed:
            found = _apply_recurrence((plan, store, options), x, h0, c0, *weights)
            return found if plan.has_c else (*found, None)
        return compute.forward(plan, store, x, h0, c0, weights, options, False)[:3]
    the = write(settings.text, *form), settings.store.slot
    if not compiling and _transform() is not None:
        y, h_n, c_n, _ = _Transformed.apply(the, x, h0, c0, *options, *weights)
    else:
        # An exported program is for inference; should a gradient be asked of it, the forward call is made again.
        keep = needed and not (compiling and _exporting())
        y, h_n, c_n, _ = torch.ops.fastrnn.forward(x, h0, c0, list(weights), *options, *the, keep)
    return y, h_n, c_n if settings.has_c else None
