"""Where a call runs: ``device=`` of the functions."""

from __future__ import annotations

from .. import _core


def choose_device(device: object) -> None:
    """Check ``device=``; return if it is the CPU.

    Args:
        device: "cpu", "cuda" (the first GPU) or "cuda:N".

    Raises:
        TypeError: not a string. ValueError: none of these. CudaError: there is no such GPU, and why; or there is, but
            this version has no kernel for the call.
    """
    if not isinstance(device, str):
        raise TypeError(f"device: expected a str, got {type(device).__name__}")
    if device == "cpu":
        return
    _core.require_cuda_device(_core.parse_cuda_device(device))
    raise _core.CudaError(f"device: expected 'cpu', got {device!r}: this version has no CUDA kernel for the call yet")
