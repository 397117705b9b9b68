"""What `accelerate` and `restore` of the doors to frameworks tell."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Report"]


class Report(NamedTuple):
    """What `accelerate` or `restore` did: names of layers, "" being the model itself.

    Args:
        replaced: those that changed. left: recurrent ones that did not, and why.

    Example:
        >>> import torch
        >>> import fastrnn.torch
        >>> report = fastrnn.torch.accelerate(torch.nn.Sequential(torch.nn.GRU(3, 4), torch.nn.Tanh()))
        >>> report.replaced, report.left
        (('0',), {})
    """

    replaced: tuple[str, ...]
    left: dict[str, str]

    def __str__(self) -> str:
        lines = [f"replaced {name or 'the model itself'}" for name in self.replaced]
        lines += [f"left {name or 'the model itself'}: {reason}" for name, reason in self.left.items()]
        return "\n".join(lines) or "no recurrent layer"
