"""Convolution over time, as one product of the native core."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .. import _packed, activations
from .._core import matmul, pack_matrix
from .._registry import serialize
from .._typing import Array, Config
from ..initializers import get as get_initializer
from ..parameters import Parameter
from .base import Shape, check_flag, check_size, register_layer
from .core import Activated
from .recurrent.base import Init
from .windows import Windows, check_format, check_one, check_padding, warn_of_mask

__all__ = ["Conv1D"]


@register_layer
class Conv1D(Activated):
    """Apply y = f(windows of x (B, T, I) times the kernel + b): (B, T', filters).

    Args:
        filters: size of the output's last axis.
        kernel_size: how many steps of x meet in a window.
        strides: steps from a window to the next.
        padding: "valid" (windows within the sequence), "same" (as many windows as steps, centred) or "causal" (none
            reads later steps, as in a stream).
        data_format: None or "channels_last": (B, T, I).
        dilation_rate: steps from one that a window reads to the next.
        groups: I and `filters` are cut into so many parts, each filter reads the inputs of its own.
        activation: a name or object of `fastrnn.activations`; None is linear.
        use_bias, kernel_initializer, bias_initializer: W (kernel_size, I / groups, filters) and b (filters,) as Keras
            has them; the parameter `kernel` is W as a matrix of `filters` columns.
        kernel_regularizer, bias_regularizer: penalties of W and b, names or objects of `fastrnn.regularizers`.
        name, trainable, dtype, input_shape: as every layer.

    A mask ends here, with a warning, as in Keras: padded steps are read as all others.

    Example:
        >>> fastrnn.layers.Conv1D(4, 3)(np.ones((2, 6, 3), np.float32)).shape
        (2, 4, 4)
    """

    input_ndim = 3
    regularized: ClassVar[dict[str, tuple[str, ...]]] = {
        "kernel_regularizer": ("kernel",),
        "bias_regularizer": ("bias",),
    }

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int],
        strides: int | tuple[int] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int] = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Init = "glorot_uniform",
        bias_initializer: Init = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_format(data_format)
        self.filters = check_size(filters, "filters")
        self.groups = check_size(groups, "groups")
        if self.filters % self.groups:
            raise ValueError(f"groups: expected a divisor of {self.filters}, the filters, got {groups}")
        self.windows = Windows(
            check_one(kernel_size, "kernel_size"),
            check_one(strides, "strides"),
            check_padding(padding, ("valid", "same", "causal")),
            check_one(dilation_rate, "dilation_rate"),
        )
        if self.windows.strides > 1 and self.windows.dilation > 1:
            raise ValueError("strides: expected 1 with a dilation_rate above 1, as in Keras, got both above it")
        self.activation = activations.get(activation)
        self.use_bias = check_flag(use_bias, "use_bias")
        self.kernel_initializer = get_initializer(kernel_initializer)
        self.bias_initializer = get_initializer(bias_initializer)
        self.kernel: Parameter
        self.bias: Parameter | None = None

    def build(self, input_shape: Shape) -> None:
        """Create the weights for inputs (B, T, I)."""
        features = input_shape[-1]
        if len(input_shape) != 3 or features is None:
            raise ValueError(f"input_shape: expected (B, T, I) with a known I for {self.name}, got {input_shape}")
        if features % self.groups:
            raise ValueError(f"groups: expected a divisor of {features}, the inputs of {self.name}, got {self.groups}")
        shape = (self.windows.size, features // self.groups, self.filters)
        self.kernel = self.add_weight(
            "kernel", shape, self.kernel_initializer, lambda kernel: kernel.reshape(-1, self.filters)
        )
        if self.use_bias:
            self.bias = self.add_weight("bias", (self.filters,), self.bias_initializer)
        super().build(input_shape)

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        """(B, T, I), with steps enough for one window where there is no padding."""
        super().check_input(shape)
        self.windows.output_steps(shape[1], self.name)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(B, T', filters)."""
        return (input_shape[0], self.windows.output_steps(input_shape[1], self.name), self.filters)

    def compute_mask(self, x: Array, mask: Array | None) -> Array | None:
        """None: the windows of the output are no steps of the input."""
        return None

    def get_weights(self) -> list[Array]:
        """Copies of the weights, the kernel (kernel_size, I / groups, filters)."""
        weights = super().get_weights()
        return [w.reshape(self.windows.size, -1, self.filters) if w.ndim == 2 else w for w in weights]

    def set_weights(self, weights: Any) -> None:
        """Set the weights from arrays as `get_weights` returns them. ValueError when they do not fit."""
        kernel, *bias = self.check_weights(weights)
        self.kernel.assign(kernel.reshape(-1, self.filters))
        if self.bias is not None:
            self.bias.assign(bias[0])

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """f(windows times W + b)."""
        warn_of_mask(self.name, mask)
        padded, count = self.windows.padded(x), self.windows.count(x.shape[1])
        z = np.empty((len(x) * count, self.filters), x.dtype)
        for group, rows in enumerate(self._rows(padded, count)):
            z[:, self._columns(group)] = matmul(rows, self._matrix(group, training))
        if self.bias is not None:
            z += self.bias.value
        y = z if self.activation is activations.linear else self.activation(z)
        y = y.reshape(len(x), count, self.filters)
        self._cache = (padded, x.shape[1], y) if training else None
        return y

    def backward_logits(self, dz: Array) -> Array:
        """See `Layer.backward_logits`."""
        return self._differentiate(dz, need_dx=True)

    def backward_weights(self, dy: Array) -> None:
        """See `Layer.backward_weights`."""
        self._differentiate(self._before_activation(dy), need_dx=False)

    def _differentiate(self, dz: Array, need_dx: bool) -> Array:
        """Store the gradients of the weights; return that of x, or with `need_dx` false nothing of use."""
        padded, steps, _ = self._take_cache()
        count, flat = dz.shape[1], dz.reshape(-1, self.filters)
        gradient = np.empty_like(self.kernel.value)
        dx = np.zeros_like(padded) if need_dx else padded
        for group, rows in enumerate(self._rows(padded, count)):
            columns = self._columns(group)
            gradient[:, columns] = matmul(rows.T, flat[:, columns])
            if need_dx and len(flat):
                drows = matmul(flat[:, columns], self.kernel.value[:, columns].T)
                drows = drows.reshape(len(padded), count, self.windows.size, -1)
                channels = dx[:, :, self._channels(group)]
                for place in range(self.windows.size):
                    channels[:, self.windows.part(place, count)] += drows[:, :, place]
        self.kernel.grad = gradient
        if self.bias is not None:
            self.bias.grad = flat.sum(axis=0)
        before = self.windows.pad(steps)[0]
        inner: Array = dx[:, before : before + steps]
        return inner

    # -- one group ---------------------------------------------------------------------------------------------------

    def _rows(self, padded: Array, count: int) -> list[Array]:
        """For each group its windows, (B * T', kernel_size * I / groups)."""
        if count == 0:
            return [np.zeros((0, len(self.kernel.value)), padded.dtype)] * self.groups
        frames = self.windows.frames(padded)[:, :count]
        shape = (len(padded) * count, len(self.kernel.value))
        return [frames[..., self._channels(group)].reshape(shape) for group in range(self.groups)]

    def _matrix(self, group: int, training: bool) -> Any:
        kernel = self.kernel.value[:, self._columns(group)]
        if training or self.groups > 1:
            return kernel
        return _packed.packed(self, lambda: pack_matrix(kernel))

    def _columns(self, group: int) -> slice:
        """The filters of a group."""
        width = self.filters // self.groups
        return slice(group * width, (group + 1) * width)

    def _channels(self, group: int) -> slice:
        """The inputs of a group."""
        width = len(self.kernel.value) // self.windows.size
        return slice(group * width, (group + 1) * width)

    def get_config(self) -> Config:
        """The constructor's arguments."""
        settings = {
            "filters": self.filters,
            "kernel_size": self.windows.size,
            "strides": self.windows.strides,
            "padding": self.windows.padding,
            "dilation_rate": self.windows.dilation,
            "groups": self.groups,
            "activation": self.activation.name,
            "use_bias": self.use_bias,
            "kernel_initializer": serialize(self.kernel_initializer),
            "bias_initializer": serialize(self.bias_initializer),
        }
        return {**super().get_config(), **settings}
