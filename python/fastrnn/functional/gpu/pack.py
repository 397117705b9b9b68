"""``pack_cuda``: weights in the memory of a GPU."""

from __future__ import annotations

from typing import Any

from ... import _core
from ..._core import CudaWeights
from ..._typing import ArrayLike
from .._arguments import check_keywords
from .._cells import CELLS
from .calls import weights_on_gpu


def pack_cuda(
    cell: str,
    w_ih: ArrayLike,
    w_hh: ArrayLike,
    b_ih: ArrayLike | None = None,
    b_hh: ArrayLike | None = None,
    *,
    dtype: str = "float32",
    device: str = "cuda",
    **options: Any,
) -> CudaWeights:
    """Copy the parameters of a layer to a GPU once, for any number of calls.

    ``<cell>_forward`` and ``stack_forward`` take the result in place of packed weights, and run where it is.

    Args:
        cell: "rnn", "lstm", "gru", "indrnn", "mgu" or "slstm". w_ih, w_hh, b_ih, b_hh: as of ``pack_<cell>``, float32.
        dtype: "float32", "tf32", "bfloat16" or "float16": what the weights, and what they meet, are rounded to there.
        device: "cuda" or "cuda:N".
        options: all further arguments of ``pack_<cell>``, but for its dtype and fast_activations.

    Returns:
        CudaWeights: an immutable copy; later changes to the arrays do not reach it.

    Raises:
        TypeError, ValueError: an argument is wrong. CudaError: the GPU is not there, and why.

    Example:
        >>> try:
        ...     weights = fastrnn.pack_cuda("gru", np.zeros((12, 3), np.float32), np.zeros((12, 4), np.float32))
        ... except fastrnn.CudaError:
        ...     weights = None  # no GPU here
        ...
    """
    if cell not in CELLS:
        raise ValueError(f"cell: expected one of {', '.join(map(repr, CELLS))}, got {cell!r}")
    known = CELLS[cell].weights | CELLS[cell].defaults.keys() | {"seed"}
    check_keywords(pack_cuda, options, known)
    given = {"w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh, **options}
    return weights_on_gpu(cell, given, _core.parse_cuda_device(device), dtype)
