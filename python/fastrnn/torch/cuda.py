"""Tensors on a GPU, computed by fastrnn's kernels: `backend="fastrnn"`. They are not faster than cuDNN's everywhere.

The functions for one layer take PyTorch's tensors where they are (docs/cuda-arrays.md); a stack is a loop over them.
"""

from __future__ import annotations

from typing import Any

import torch

from ..functional._cells import CELLS
from .plan import Plan


class _Layer(torch.autograd.Function):
    """One layer in one direction."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, options: dict[str, Any], x: Any, h0: Any, c0: Any, *weights: Any) -> Any:
        needed = any(ctx.needs_input_grad)
        if needed:
            plan.check_gradient()
        states = {"h0": h0, "c0": c0} if plan.has_c else {"h0": h0}
        tensors = {name: None if t is None else t.detach() for name, t in states.items()}
        tensors |= {name: w.detach() for name, w in zip(plan.names, weights, strict=True)}
        found = CELLS[plan.cell].forward(
            x.detach(), **tensors, **plan.weights, **options, training=needed or plan.random
        )
        results = found[: 2 + plan.has_c]
        if needed:
            ctx.plan, ctx.cache, ctx.states = plan, found[-1], (h0 is not None, c0 is not None)
            ctx.save_for_backward(x, results[0], *weights)
        return tuple(results)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dy: Any, dh_n: Any, *dc_n: Any) -> Any:
        _ = ctx.saved_tensors  # raises where x or y was edited in place
        dy, *dstates = (g.contiguous() for g in (dy, dh_n, *dc_n))
        grads = CELLS[ctx.plan.cell].backward(dy, ctx.cache, *dstates)
        dh0 = grads.h0 if ctx.states[0] else None
        dc0 = grads.c0 if ctx.states[1] else None
        return None, None, grads.x, dh0, dc0, *(getattr(grads, name) for name in ctx.plan.names)


def call(
    plan: Plan, x: Any, h0: Any, c0: Any, weights: Any, lengths: Any, mask: Any, reset_mask: Any
) -> tuple[Any, Any, Any]:
    """As `operators.call`, on the GPU of x.

    Raises:
        CudaError: fastrnn cannot run there, and why. TypeError: x is not float32.
    """
    if x.dtype is not torch.float32:
        raise TypeError(f"input: expected torch.float32 on a GPU, got {x.dtype}")
    if plan.dtype is not None:
        raise ValueError(f"weight_dtype: expected None on a GPU, got {plan.dtype!r}")
    options = dict(plan.run)
    options["batch_first"] = plan.batch_first
    tensors = {"batch_sizes" if plan.packed else "lengths": lengths, "mask": mask, "reset_mask": reset_mask}
    options |= {name: tensor.cpu().numpy() for name, tensor in tensors.items() if tensor is not None}
    count, index, last = len(plan.names), 0, []
    for layer in range(plan.layers):
        outputs = []
        for direction in range(plan.directions):
            seed = {"seed": int(torch.randint(2**63 - 1, ()))} if plan.random else {}
            states = (None if s is None else s[index : index + 1].contiguous() for s in (h0, c0))
            part = weights[index * count : (index + 1) * count]
            y, *ends = _Layer.apply(plan, {**options, **seed, "reverse": direction == 1}, x, *states, *part)
            outputs.append(y)
            last.append(ends)
            index += 1
        x = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
        if layer + 1 < plan.layers and plan.dropout:
            x = torch.nn.functional.dropout(x, plan.dropout)
    ends = [torch.cat(parts) for parts in zip(*last, strict=True)]
    return x, ends[0], ends[1] if plan.has_c else None
