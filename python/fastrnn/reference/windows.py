"""Convolution and pooling over time, window by window, as Keras defines them: x (B,T,I) to y (B,T',O)."""

from __future__ import annotations

import numpy as np

from .activations import Array

__all__ = ["average_pooling1d", "conv1d", "max_pooling1d", "window_times"]


def window_times(steps: int, size: int, strides: int = 1, padding: str = "valid", dilation_rate: int = 1) -> Array:
    """Return which steps each window reads, (T', size); those below 0 or from `steps` on are padding.

    "valid": windows within the sequence. "same": ceil(T / strides) of them, centred, the odd step of padding at the
    end. "causal": the last step of a window is a step of its own.

    Example:
        >>> from fastrnn import reference
        >>> reference.window_times(5, 3, 2).tolist()
        [[0, 1, 2], [2, 3, 4]]
    """
    span = (size - 1) * dilation_rate + 1
    count = max(0, (steps - span) // strides + 1) if padding == "valid" else -(-steps // strides)
    first = {"valid": 0, "causal": 1 - span, "same": -(max(0, (count - 1) * strides + span - steps) // 2)}[padding]
    return first + np.arange(count)[:, None] * strides + np.arange(size) * dilation_rate


def conv1d(
    x: Array,
    kernel: Array,
    bias: Array,
    strides: int = 1,
    padding: str = "valid",
    dilation_rate: int = 1,
    groups: int = 1,
) -> Array:
    """Each window times the kernel (size, I / groups, O), plus the bias (O,); an output reads its group of inputs.

    Example:
        >>> from fastrnn import reference
        >>> reference.conv1d(np.ones((1, 4, 1)), np.ones((3, 1, 1)), np.zeros(1))[0, :, 0].tolist()
        [3.0, 3.0]
    """
    x = np.asarray(x, np.float64)
    size, width, outputs = kernel.shape
    times = window_times(x.shape[1], size, strides, padding, dilation_rate)
    y = np.zeros((len(x), len(times), outputs)) + bias
    for t, window in enumerate(times):
        for place, time in enumerate(window):
            for o in range(outputs):
                first = o // (outputs // groups) * width
                if 0 <= time < x.shape[1]:
                    y[:, t, o] += x[:, time, first : first + width] @ kernel[place, :, o]
    return y


def max_pooling1d(x: Array, pool_size: int, strides: int, padding: str = "valid") -> Array:
    """The largest value of each window's steps that are no padding.

    Example:
        >>> from fastrnn import reference
        >>> reference.max_pooling1d(np.arange(4.0).reshape(1, 4, 1), 2, 2)[0, :, 0].tolist()
        [1.0, 3.0]
    """
    return np.stack([part.max(axis=1) for part in _parts(x, pool_size, strides, padding)], axis=1)


def average_pooling1d(x: Array, pool_size: int, strides: int, padding: str = "valid") -> Array:
    """The mean of each window's steps that are no padding.

    Example:
        >>> from fastrnn import reference
        >>> reference.average_pooling1d(np.arange(4.0).reshape(1, 4, 1), 2, 2)[0, :, 0].tolist()
        [0.5, 2.5]
    """
    return np.stack([part.mean(axis=1) for part in _parts(x, pool_size, strides, padding)], axis=1)


def _parts(x: Array, size: int, strides: int, padding: str) -> list[Array]:
    x = np.asarray(x, np.float64)
    times = window_times(x.shape[1], size, strides, padding)
    return [x[:, window[(window >= 0) & (window < x.shape[1])]] for window in times]
