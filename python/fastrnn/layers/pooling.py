"""Pooling over time: of the whole sequence, or of windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._typing import Array, Config
from .base import Layer, Shape, check_flag, register_layer
from .windows import Windows, check_format, check_one, check_padding, warn_of_mask

__all__ = ["AveragePooling1D", "GlobalAveragePooling1D", "GlobalMaxPooling1D", "MaxPooling1D"]


class _GlobalPooling(Layer):
    """x (B, T, I) to (B, I), or (B, 1, I) with `keepdims`."""

    input_ndim = 3
    only_hands_on = True

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_format(data_format)
        self.keepdims = check_flag(keepdims, "keepdims")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, I) or (B, 1, I)."""
        return (input_shape[0], *([1] if self.keepdims else []), input_shape[2])

    def compute_mask(self, x: Array, mask: Array | None) -> Array | None:
        """None: the axis that the mask belongs to goes."""
        return None

    def _shaped(self, y: Array) -> Array:
        return y if self.keepdims else y[:, 0]

    def _unshaped(self, dy: Array) -> Array:
        return dy if self.keepdims else dy[:, np.newaxis]

    def get_config(self) -> Config:
        """The constructor's arguments."""
        return {**super().get_config(), "keepdims": self.keepdims}


@register_layer
class GlobalAveragePooling1D(_GlobalPooling):
    """The mean over the steps of x (B, T, I) that the mask leaves; NaN where it leaves none, as in Keras.

    Args:
        data_format: None or "channels_last": (B, T, I).
        keepdims: keep the axis of time, with one step.
        name, trainable, dtype, input_shape: as every layer.

    Example:
        >>> fastrnn.layers.GlobalAveragePooling1D()(np.ones((2, 6, 3), np.float32)).shape
        (2, 3)
    """

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """The mean."""
        with np.errstate(invalid="ignore", divide="ignore"):
            if mask is None:
                share = x.dtype.type(1) / x.dtype.type(x.shape[1])
                y = x.sum(axis=1, keepdims=True) * share
            else:
                kept = mask[..., np.newaxis]
                share = kept / kept.sum(axis=1, keepdims=True).astype(x.dtype)
                y = np.where(kept, x, 0).sum(axis=1, keepdims=True) / kept.sum(axis=1, keepdims=True).astype(x.dtype)
        self._cache = (share, x.shape) if training else None
        return self._shaped(y)

    def backward(self, dy: Array) -> Array:
        """dy, spread over the steps."""
        share, shape = self._take_cache()
        return np.broadcast_to(self._unshaped(dy) * share, shape).astype(dy.dtype)


@register_layer
class GlobalMaxPooling1D(_GlobalPooling):
    """The largest value over the steps of x (B, T, I).

    Args:
        data_format: None or "channels_last": (B, T, I).
        keepdims: keep the axis of time, with one step.
        use_mask: leave out what the mask does; a row of which it leaves nothing gives -inf. Keras' layer, and this one
            unless asked, reads masked steps as all others, and warns of it.
        name, trainable, dtype, input_shape: as every layer.

    Example:
        >>> fastrnn.layers.GlobalMaxPooling1D()(np.ones((2, 6, 3), np.float32)).shape
        (2, 3)
    """

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, *, use_mask: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(data_format, keepdims, **kwargs)
        self.use_mask = check_flag(use_mask, "use_mask")

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """The maximum."""
        if not self.use_mask:
            warn_of_mask(self.name, mask)
        elif mask is not None:
            x = np.where(mask[..., np.newaxis], x, -np.inf).astype(x.dtype)
        y = x.max(axis=1, keepdims=True, initial=-np.inf)
        self._cache = (x == y, mask if self.use_mask else None) if training else None
        return self._shaped(y)

    def backward(self, dy: Array) -> Array:
        """dy at the step of the maximum; several that are equal share it."""
        largest, mask = self._take_cache()
        if mask is not None:
            largest &= mask[..., np.newaxis]
        share = self._unshaped(dy) / np.maximum(1, largest.sum(axis=1, keepdims=True)).astype(dy.dtype)
        return np.asarray(largest * share)

    def get_config(self) -> Config:
        """The constructor's arguments."""
        return {**super().get_config(), "use_mask": self.use_mask}


class _Pooling(Layer):
    """x (B, T, I) to (B, T', I): a number for each window."""

    input_ndim = 3
    only_hands_on = True
    padding_value: float

    def __init__(
        self,
        pool_size: int | tuple[int] = 2,
        strides: int | tuple[int] | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_format(data_format)
        size = check_one(pool_size, "pool_size")
        step = size if strides is None else check_one(strides, "strides")
        self.windows = Windows(size, step, check_padding(padding, ("valid", "same")))

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        """(B, T, I), with steps enough for one window where there is no padding."""
        super().check_input(shape)
        self.windows.output_steps(shape[1], self.name)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, T', I)."""
        return (input_shape[0], self.windows.output_steps(input_shape[1], self.name), input_shape[2])

    def compute_mask(self, x: Array, mask: Array | None) -> Array | None:
        """None: the windows of the output are no steps of the input."""
        return None

    def _parts(self, x: Array) -> list[Array]:
        """For each place in the windows, what all of them have there: views (B, T', I) of padded x."""
        padded, count = self.windows.padded(x, self.padding_value), self.windows.count(x.shape[1])
        if count == 0:
            return [padded[:, :0]] * self.windows.size
        return [padded[:, self.windows.part(place, count)] for place in range(self.windows.size)]

    def _spread(self, parts: list[Array], steps: int) -> Array:
        """Add up what each place in the windows has: the reverse of `_parts`."""
        before, after = self.windows.pad(steps)
        batch, count, features = parts[0].shape
        dx = np.zeros((batch, before + steps + after, features), parts[0].dtype)
        if count:
            for place, part in enumerate(parts):
                dx[:, self.windows.part(place, count)] += part
        inner: Array = dx[:, before : before + steps]
        return inner

    def get_config(self) -> Config:
        """The constructor's arguments."""
        settings = {
            "pool_size": self.windows.size,
            "strides": self.windows.strides,
            "padding": self.windows.padding,
        }
        return {**super().get_config(), **settings}


@register_layer
class MaxPooling1D(_Pooling):
    """The largest value of each window over the steps of x (B, T, I): (B, T', I).

    Args:
        pool_size: steps of a window.
        strides: steps from a window to the next; None is `pool_size`.
        padding: "valid" (windows within the sequence) or "same" (ceil(T / strides) windows; padding does not count).
        data_format: None or "channels_last": (B, T, I).
        name, trainable, dtype, input_shape: as every layer.

    A mask ends here, with a warning, as in Keras.

    Example:
        >>> fastrnn.layers.MaxPooling1D(2)(np.ones((2, 6, 3), np.float32)).shape
        (2, 3, 3)
    """

    padding_value = -np.inf

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """The maxima."""
        warn_of_mask(self.name, mask)
        parts = self._parts(x)
        y: Array = parts[0].copy()
        for part in parts[1:]:
            np.maximum(y, part, out=y)
        self._cache = (parts, y, x.shape[1]) if training else None
        return y

    def backward(self, dy: Array) -> Array:
        """dy at the first step of each window that has its maximum."""
        parts, y, steps = self._take_cache()
        left = np.ones(y.shape, bool)
        found = []
        for part in parts:
            first = left & (part == y)
            left &= ~first
            found.append(dy * first)
        return self._spread(found, steps)


@register_layer
class AveragePooling1D(_Pooling):
    """The mean of each window over the steps of x (B, T, I): (B, T', I).

    Args:
        pool_size: steps of a window.
        strides: steps from a window to the next; None is `pool_size`.
        padding: "valid" (windows within the sequence) or "same" (ceil(T / strides) windows; padding does not count).
        data_format: None or "channels_last": (B, T, I).
        name, trainable, dtype, input_shape: as every layer.

    A mask ends here, with a warning, as in Keras.

    Example:
        >>> fastrnn.layers.AveragePooling1D(2)(np.ones((2, 6, 3), np.float32)).shape
        (2, 3, 3)
    """

    padding_value = 0.0

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """The means."""
        warn_of_mask(self.name, mask)
        share = self._share(x.shape[1]).astype(x.dtype)
        first, *others = self._parts(x)
        y = sum(others, start=first) * share
        self._cache = (share, x.shape[1]) if training else None
        return np.asarray(y)

    def backward(self, dy: Array) -> Array:
        """dy, spread over the steps of each window."""
        share, steps = self._take_cache()
        return self._spread([dy * share] * self.windows.size, steps)

    def _share(self, steps: int) -> Array:
        """One by the number of steps of each window that are no padding, (T', 1)."""
        first = np.arange(self.windows.count(steps)) * self.windows.strides - self.windows.pad(steps)[0]
        inside = np.minimum(first + self.windows.size, steps) - np.maximum(first, 0)
        return 1 / inside[:, np.newaxis]
