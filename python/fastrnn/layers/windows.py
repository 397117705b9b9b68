"""Windows over time: which steps a convolution or a pooling layer reads for each step that it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._hints import warn
from .._registry import choice_error
from .._typing import Array
from .base import check_size

__all__ = ["Windows", "check_format", "check_one", "check_padding", "warn_of_mask"]


class Windows(NamedTuple):
    """Windows of `size` steps that are `dilation` apart, one window every `strides` steps.

    With padding "valid" they lie within the sequence; with "same" there are ceil(T / strides), the odd step of padding
    at the end, as in TensorFlow; with "causal" the last step of a window is the step that it belongs to.
    """

    size: int
    strides: int
    padding: str
    dilation: int = 1

    @property
    def span(self) -> int:
        """From the first step of a window to its last, both counted."""
        return (self.size - 1) * self.dilation + 1

    def count(self, steps: int) -> int:
        """How many windows there are over so many steps, 0 if a "valid" one has no room."""
        if self.padding == "valid":
            return max(0, (steps - self.span) // self.strides + 1)
        return -(-steps // self.strides)

    def pad(self, steps: int) -> tuple[int, int]:
        """How many steps of padding stand before the sequence and after it."""
        if self.padding == "valid":
            return 0, 0
        if self.padding == "causal":
            return self.span - 1, 0
        missing = max(0, (self.count(steps) - 1) * self.strides + self.span - steps)
        return missing // 2, missing - missing // 2

    def padded(self, x: Array, value: float = 0.0) -> Array:
        """x (B, T, I) with its padding; x itself where there is none."""
        before, after = self.pad(x.shape[1])
        if before == after == 0:
            return x
        result = np.full((x.shape[0], before + x.shape[1] + after, x.shape[2]), value, x.dtype)
        result[:, before : before + x.shape[1]] = x
        return result

    def part(self, place: int, count: int) -> slice:
        """The steps that `count` windows over padded x have at position `place` of 0..size-1."""
        first = place * self.dilation
        return slice(first, first + (count - 1) * self.strides + 1, self.strides)

    def frames(self, x: Array) -> Array:
        """A view (B, T', size, I) of the windows over padded x, which has at least one."""
        view = np.lib.stride_tricks.sliding_window_view(x, self.span, axis=1)  # (B, T', I, span)
        frames: Array = view[:, :: self.strides, :, :: self.dilation].transpose(0, 1, 3, 2)
        return frames

    def output_steps(self, steps: int | None, name: str) -> int | None:
        """`count`, None for an unknown number of steps; ValueError that names the layer where there is no window."""
        if steps is None:
            return None
        count = self.count(steps)
        if count == 0 and self.padding == "valid":
            raise ValueError(f"x: expected at least {self.span} steps for layer {name}, got {steps}")
        return count


def check_one(value: Any, argument: str) -> int:
    """Return a size that Keras also takes as a tuple of one."""
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 1:
        value = value[0]
    return check_size(value, argument)


def check_padding(value: Any, choices: Sequence[str]) -> str:
    """Return the name of a padding in lower case, or raise."""
    if not isinstance(value, str) or value.lower() not in choices:
        raise choice_error("padding", choices, value)
    return value.lower()


def check_format(value: Any) -> None:
    """ValueError for another layout than (B, T, I)."""
    if value not in (None, "channels_last"):
        raise ValueError(f"data_format: expected None or 'channels_last', which is (B, T, I), got {value!r}")


def warn_of_mask(name: str, mask: Array | None) -> None:
    """Say that a layer reads masked steps as any others, and hands on no mask, as Keras' does."""
    if mask is not None:
        warn(f"{name}: the mask ends here; masked steps are read as all others, as in Keras", UserWarning)
