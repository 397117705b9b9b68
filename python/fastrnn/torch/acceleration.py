"""An existing model, its recurrent layers computed by fastrnn, and the way back."""

from __future__ import annotations

from typing import Any

import torch

from .._acceleration import Report
from . import cells, modules
from .settings import Settings, function_name, weight_dtype

_OURS = {
    ours._counterpart: ours
    for ours in (modules.LSTM, modules.GRU, modules.RNN, cells.LSTMCell, cells.GRUCell, cells.RNNCell)
}
_RECURRENT = (torch.nn.RNNBase, torch.nn.RNNCellBase)


def accelerate(module: Any, dtype: Any = None, backend: str | None = None) -> Report:
    """Have every recurrent layer and cell of a model computed by fastrnn, in place.

    The modules stay the same objects, with their parameters, hooks, names and whatever else they have; what changes is
    their class. An optimizer that has the parameters goes on with them, and ``state_dict`` is as before.

    Args:
        module: the model, or a layer itself.
        dtype: of the weights where no gradient is needed: "bfloat16" (or torch.bfloat16), "bfloat16_weights" or "int8";
            None is theirs.
        backend: as of :class:`fastrnn.torch.LSTM`; only layers have it.

    Returns:
        Report: what was replaced, what was left, and why; print it.

    Raises:
        TypeError: no module. ValueError: an unknown dtype or backend. Nothing is changed then.

    Example:
        >>> import torch
        >>> import fastrnn.torch
        >>> model = torch.nn.Sequential(torch.nn.LSTM(3, 4))
        >>> fastrnn.torch.accelerate(model).replaced
        ('0',)
    """
    _check(module)
    dtype = weight_dtype("dtype", dtype)
    replaced, left = [], {}
    changes: list[tuple[Any, Any, Settings]] = []
    for name, one in module.named_modules():
        ours = _OURS.get(type(one))
        if type(one) in _OURS.values():
            left[name] = "it is fastrnn's already"
        elif ours is None:
            if isinstance(one, _RECURRENT):
                left[name] = f"{type(one).__name__} is no class of torch.nn, and may compute something else"
            elif isinstance(one, torch.jit.ScriptModule) and one.original_name in {c.__name__ for c in _OURS}:
                left[name] = "it is compiled by TorchScript"
        elif {p.dtype for p in one.parameters()} not in ({torch.float32}, {torch.float64}):
            found = ", ".join(sorted({str(p.dtype) for p in one.parameters()}))
            left[name] = f"its parameters are {found}, not all torch.float32 or all torch.float64"
        elif isinstance(one, torch.nn.RNNBase) and one.dropout == 1:
            left[name] = "a dropout of 1 has nothing to divide by"
        else:
            changes.append((one, ours, _settings(one, ours, dtype, backend)))
            replaced.append(name)
    for one, ours, settings in changes:
        one.__class__, one._fast = ours, settings
    return Report(tuple(replaced), left)


def _settings(one: Any, ours: Any, dtype: str | None, backend: str | None) -> Settings:
    relu = getattr(one, "mode", None) == "RNN_RELU" or getattr(one, "nonlinearity", "tanh") == "relu"
    options = {"activation": "relu"} if relu else {}
    if isinstance(one, torch.nn.RNNBase):
        names = [function_name(name) for name in one._all_weights[0]]
        return Settings(ours.__name__, ours._cell, names, options, dtype, backend)
    names = ["w_ih", "w_hh", "b_ih", "b_hh"][: 4 if one.bias else 2]
    return Settings(ours.__name__, ours._cell, names, options, dtype)


def restore(module: Any) -> Report:
    """Undo :func:`accelerate`: every layer and cell of fastrnn becomes torch.nn's again, in place.

    Args:
        module: the model, or a layer itself.

    Returns:
        Report: what was replaced, and what was left, as it has options that torch.nn lacks.

    Raises:
        TypeError: no module.

    Example:
        >>> import torch
        >>> import fastrnn.torch
        >>> model = torch.nn.Sequential(torch.nn.LSTM(3, 4))
        >>> _ = fastrnn.torch.accelerate(model)
        >>> fastrnn.torch.restore(model).replaced
        ('0',)
    """
    _check(module)
    replaced, left = [], {}
    for name, one in module.named_modules():
        if type(one) not in _OURS.values():
            continue
        if not one._fast.plain():
            left[name] = "it has options that torch.nn lacks"
            continue
        one.__class__ = type(one)._counterpart
        del one._fast
        replaced.append(name)
    return Report(tuple(replaced), left)


def _check(module: Any) -> None:
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module: expected a torch.nn.Module, got {type(module).__name__}")
