"""What every layer is: something with weights, a shape rule, a forward pass and its backward pass.

Layers are batch-first, as in Keras: features (B, I), sequences (B, T, I). A layer keeps nothing between two calls but
what `backward` needs after `forward(..., training=True)`; after an inference pass it keeps nothing at all.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np

from .. import config, regularizers
from .._hints import unknown_keyword
from .._registry import Configured, argument_names, choice_error, serialize
from .._typing import Array, Config
from ..initializers import Initializer
from ..parameters import Parameter

__all__ = ["Layer", "Shape", "layer_from_config", "register_layer"]

Shape = tuple["int | None", ...]

LAYERS: dict[str, type[Layer]] = {}
_LayerType = TypeVar("_LayerType", bound="type[Layer]")
_name_counts: dict[str, int] = {}


class _WeightBudget:
    """How many bytes the weights of a model may still take, while it is made to be filled from a file."""

    def __init__(self, size: int) -> None:
        self.left = size

    def zeros(self, name: str, shape: tuple[int, ...], dtype: str) -> Array:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size > self.left:
            raise ValueError(f"{name}: expected a shape that has room in the file's arrays, got {shape}")
        self.left -= size
        return np.zeros(shape, dtype)


_weight_budget: contextvars.ContextVar[_WeightBudget | None] = contextvars.ContextVar("weight_budget", default=None)


@contextlib.contextmanager
def weights_from_file(size: int) -> Iterator[None]:
    """Make new weights zeros, to be read from a file whose arrays have `size` bytes, without drawing initial values.

    ValueError for a weight that is far larger than what the file has; one that is a little larger is left to the
    comparison of shapes, which says more.
    """
    token = _weight_budget.set(_WeightBudget(2 * size + 2**20))
    try:
        yield
    finally:
        _weight_budget.reset(token)


def register_layer(cls: _LayerType) -> _LayerType:
    """Class decorator: let `load_model` find the class by its name. Your own layers take it too.

    Example:
        >>> @fastrnn.layers.register_layer
        ... class Same(fastrnn.Layer):
        ...     def forward(self, x, mask=None, training=False):
        ...         return x
        ...
        >>> fastrnn.Sequential.from_config(fastrnn.Sequential([Same()]).get_config()).layers[0].__class__.__name__
        'Same'
    """
    LAYERS[cls.__name__] = cls
    return cls


def layer_from_config(entry: Any) -> Layer:
    """Make a layer from `{"class_name": ..., "config": {...}}`.

    Raises:
        ValueError: if the entry has another form, the class is not registered or the config does not fit it.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("config"), dict) or "class_name" not in entry:
        raise ValueError(f"layer config: expected a dict with class_name and config, got {entry!r}")
    cls = LAYERS.get(entry["class_name"])
    if cls is None:
        raise choice_error("class_name", sorted(LAYERS), entry["class_name"])
    return cls.from_config(entry["config"])


def snake_case(class_name: str) -> str:
    """Return "simple_rnn" for "SimpleRNN", and "conv1d" for "Conv1D", as Keras writes them."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def unique_name(class_name: str) -> str:
    """Return "simple_rnn", "simple_rnn_1", ... for "SimpleRNN", as Keras counts."""
    base = snake_case(class_name)
    count = _name_counts.get(base, 0)
    _name_counts[base] = count + 1
    return f"{base}_{count}" if count else base


def check_size(value: object, argument: str) -> int:
    """Return `value` as an int >= 1, or raise an error that names `argument`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{argument}: expected an integer, got {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{argument}: expected at least 1, got {value}")
    return int(value)


def check_number(value: object, argument: str) -> float:
    """Return `value` as a float, or raise a TypeError that names `argument`."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating, np.integer)):
        raise TypeError(f"{argument}: expected a number, got {type(value).__name__}")
    return float(value)


def check_rate(value: object, argument: str) -> float:
    """Return a dropout rate as a float in 0..1 (1 excluded), or raise an error that names `argument`."""
    rate = check_number(value, argument)
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"{argument}: expected a value in [0, 1), got {value}")
    return rate


def check_flag(value: object, argument: str) -> bool:
    """Return a bool, or 0 or 1, as a bool, or raise a TypeError that names `argument`: "no" would be true."""
    if isinstance(value, (bool, np.bool_)) or (isinstance(value, (int, np.integer)) and value in (0, 1)):
        return bool(value)
    raise TypeError(f"{argument}: expected a bool, got {type(value).__name__}")


class Layer(Configured):
    """Base class of all layers.

    A subclass sets `input_ndim`, overrides `build`, `forward`, `backward` and `compute_output_shape`, registers its
    weights with `add_weight`, and keeps its constructor's arguments as attributes of the same names.

    Args:
        name: unique within a model; made from the class name when None.
        trainable: False freezes all weights of the layer.
        dtype: "float32" or "float64"; None takes `fastrnn.config.floatx()`.
        input_shape: shape of one example, without the batch axis; lets a `Sequential` build at once.
        unknown: refused by name.

    Example:
        >>> class Twice(fastrnn.Layer):
        ...     def forward(self, x, mask=None, training=False):
        ...         return 2 * x
        ...
        ...     def backward(self, dy):
        ...         return 2 * dy
        ...
        >>> Twice()(np.ones((1, 2), np.float32)).tolist()
        [[2.0, 2.0]]
    """

    input_ndim: ClassVar[int | None] = None  # expected number of axes with the batch, None: any
    regularized: ClassVar[dict[str, tuple[str, ...]]] = {}  # keywords of regularizers, and the weights they are of
    statistics: ClassVar[tuple[str, ...]] = ()  # weights that training moves, and no optimizer
    only_hands_on: ClassVar[bool] = False  # whether `backward` does nothing but return the gradient of x

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        dtype: str | None = None,
        input_shape: Sequence[int | None] | None = None,
        **unknown: Any,
    ) -> None:
        given = {keyword: regularizers.get(unknown.pop(keyword, None)) for keyword in self.regularized}
        self._regularizers = {keyword: found for keyword, found in given.items() if found is not None}
        for keyword in unknown:
            raise unknown_keyword(type(self).__name__, keyword, self._keywords())
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name: expected a str, got {type(name).__name__}")
        self.name = name if name is not None else unique_name(type(self).__name__)
        self.dtype = config.floatx() if dtype is None else config.check_float(dtype, "dtype")
        self.batch_input_shape: Shape | None = None
        if input_shape is not None:
            self.batch_input_shape = (None, *check_shape(input_shape, "input_shape"))
        self.built = False
        self.built_shape: Shape | None = None
        self._trainable = check_flag(trainable, "trainable")
        self._parameters: list[Parameter] = []
        self._weight_rng: np.random.Generator | None = None
        self._cache: Any = None

    # -- weights ---------------------------------------------------------------------------------------------------

    @property
    def trainable(self) -> bool:
        """Whether an optimizer may change the weights; setting it reaches every weight of the layer."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = check_flag(value, "trainable")
        for parameter in self.parameters():
            parameter.trainable = self._trainable and parameter.own_name not in self.statistics

    def add_weight(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: Initializer,
        convert: Callable[[Array], Array] | None = None,
    ) -> Parameter:
        """Create, register and return a weight.

        Args:
            name: last part of the parameter's name.
            shape: the Keras shape, which the initializer sees.
            initializer: draws the values.
            convert: maps them to the layout the kernels read, when that is another one.
        """
        if self._weight_rng is None:
            self._weight_rng = config.random_generator()
        budget = _weight_budget.get()
        if budget is None:
            value = initializer(shape, self.dtype, self._weight_rng)
        else:
            value = budget.zeros(f"{self.name}/{name}", shape, self.dtype)
        trainable = self._trainable and name not in self.statistics
        parameter = Parameter(f"{self.name}/{name}", convert(value) if convert else value, trainable)
        for keyword, regularizer in self._regularizers.items():
            if name in self.regularized[keyword]:
                parameter.regularizer = regularizer
        self._parameters.append(parameter)
        return parameter

    def parameters(self) -> list[Parameter]:
        """The weights in the library's own layout, as optimizers see them."""
        return list(self._parameters)

    @property
    def weights(self) -> list[Parameter]:
        """The same as `parameters()`, under Keras' name."""
        return self.parameters()

    @property
    def trainable_weights(self) -> list[Parameter]:
        """The weights an optimizer may change."""
        return [p for p in self.parameters() if p.trainable]

    @property
    def non_trainable_weights(self) -> list[Parameter]:
        """The frozen weights."""
        return [p for p in self.parameters() if not p.trainable]

    def count_params(self) -> int:
        """The number of scalars in the weights. ValueError before the layer is built."""
        if not self.built:
            raise ValueError(f"{self.name}: count_params needs a built layer; call build(input_shape) first")
        return sum(p.size for p in self.parameters())

    def get_weights(self) -> list[Array]:
        """Copies of the weights in the shapes, order and gate order of Keras."""
        return [p.value.copy() for p in self.parameters()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set the weights from arrays as `get_weights` returns them. Nothing is changed when one does not fit.

        Raises:
            ValueError: if the number of arrays or a shape differs, or the layer is not built.
        """
        arrays = self.check_weights(weights)
        for parameter, array in zip(self.parameters(), arrays, strict=True):
            parameter.assign(array)

    def check_weights(self, weights: Sequence[Any]) -> list[Array]:
        """Return `weights` as arrays, or raise the ValueError of `set_weights`."""
        if not self.built:
            raise ValueError(f"{self.name}: set_weights needs a built layer; call build(input_shape) first")
        current = self.get_weights()
        if len(weights) != len(current):
            raise ValueError(f"weights: expected {len(current)} arrays for layer {self.name}, got {len(weights)}")
        arrays = [np.asarray(w) for w in weights]
        for index, (array, old) in enumerate(zip(arrays, current, strict=True)):
            where = f"weights[{index}] of layer {self.name}"
            if array.shape != old.shape:
                raise ValueError(f"{where}: expected shape {old.shape}, got {array.shape}")
            if array.dtype.kind not in "fiub":
                raise ValueError(f"{where}: expected numbers, got {array.dtype}")
        return arrays

    # -- shapes and masks ------------------------------------------------------------------------------------------

    def build(self, input_shape: Shape) -> None:
        """Create the weights for inputs of `input_shape`, batch axis included (None where unknown)."""
        self.built = True
        self.built_shape = tuple(input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The output's shape, batch axis included, for an input's."""
        return tuple(input_shape)

    def compute_mask(self, x: Array, mask: Array | None) -> Array | None:
        """The mask (B, T) handed to the next layer, given the input and its own mask."""
        return mask

    def check_input(self, shape: tuple[int | None, ...]) -> None:
        """Raise ValueError when an input of this shape (batch axis included) cannot go through the layer."""
        if self.input_ndim is not None and len(shape) != self.input_ndim:
            form = {2: "(B, I)", 3: "(B, T, I)"}.get(self.input_ndim, f"of {self.input_ndim} axes")
            raise ValueError(f"x: expected shape {form} for layer {self.name}, got {shape}")
        if self.built_shape is not None and self.built_shape[-1] is not None and len(shape) == len(self.built_shape):
            expected, got = self.built_shape[-1], shape[-1]
            if len(shape) > 1 and expected != got:
                raise ValueError(f"x: expected a last axis of {expected} for layer {self.name}, got shape {shape}")

    # -- computing -------------------------------------------------------------------------------------------------

    def cast(self, x: Any, argument: str = "x") -> Array:
        """Return `x` as an array of the layer's dtype (no copy when it is one); TypeError for non-numbers."""
        if isinstance(x, Layer) or type(x).__name__ == "KerasTensor":
            raise TypeError(
                f"{argument}: expected an array for layer {self.name}, got {type(x).__name__}; layers are put together "
                "by fastrnn.Sequential([Input(...), LSTM(8), ...]), a functional API is what Keras has"
            )
        array = np.asarray(x)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{argument}: expected numbers, got dtype {array.dtype}")
        return array if array.dtype == self.dtype else array.astype(self.dtype)

    def forward(self, x: Array, mask: Array | None = None, training: bool = False) -> Array:
        """The layer's output for `x`; with training=True keep what `backward` needs, else drop what was kept."""
        raise self._incomplete("forward(x, mask, training)")

    def backward(self, dy: Array) -> Array | None:
        """Store the gradient of every weight in `Parameter.grad` and return that of x (None where x is not real)."""
        raise self._incomplete("backward(dy)")

    def backward_weights(self, dy: Array) -> None:
        """As `backward` of the first layer with weights, whose gradient of x is not needed and not computed."""
        self.backward(dy)

    def drop_cache(self) -> None:
        """Let go of what a forward pass kept for a backward pass that will not come."""
        self._cache = None

    def _incomplete(self, method: str) -> NotImplementedError:
        call = "; call(x), as Keras has it, is not enough: nothing is differentiated by itself here"
        return NotImplementedError(
            f"{type(self).__name__}: a layer of your own needs a method {method}, see fastrnn.Layer"
            f"{call if hasattr(self, 'call') else ''}"
        )

    def __call__(self, x: Any, mask: Any = None, training: bool = False) -> Any:
        """Run the layer on an array, building it first when needed."""
        array = self.cast(x)
        self.ensure_built(array.shape)
        return self.forward(array, None if mask is None else np.asarray(mask, dtype=bool), training)

    def ensure_built(self, shape: tuple[int, ...]) -> None:
        """Check the shape of an input and build the layer if it is not yet built."""
        self.check_input(shape)
        if not self.built:
            self.build((None, *shape[1:]))

    def _take_cache(self) -> Any:
        """Hand out what the forward pass kept, and let go of it: a backward pass frees memory as it goes."""
        cache, self._cache = self._cache, None
        if cache is None:
            raise RuntimeError(f"{self.name}: each backward needs a forward pass with training=True before it")
        return cache

    # -- checkpoints -----------------------------------------------------------------------------------------------

    def get_training_state(self) -> dict[str, Any]:
        """What training changes beside the weights, for a checkpoint: numbers, texts, arrays, lists and dicts of these.

        A layer of your own that draws or carries something returns it here and takes it back in `set_training_state`.
        """
        return {}

    def set_training_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_training_state` returned, in another process perhaps."""

    # -- activation of the output ------------------------------------------------------------------------------------

    @property
    def output_activation(self) -> str | None:
        """Name of the activation that ends the layer, when `backward_logits` can start before it; else None."""
        return None

    def backward_logits(self, dz: Array) -> Array | None:
        """As `backward`, given the gradient of the loss with respect to the input of the output activation."""
        raise NotImplementedError

    # -- config ----------------------------------------------------------------------------------------------------

    def get_config(self) -> Config:
        """The arguments which make this layer again; JSON-serialisable."""
        settings: Config = {"name": self.name, "trainable": self._trainable, "dtype": self.dtype}
        if self.batch_input_shape is not None:
            settings["input_shape"] = list(self.batch_input_shape[1:])
        settings.update((keyword, serialize(found)) for keyword, found in self._regularizers.items())
        return {**settings, **super().get_config()}

    @classmethod
    def from_config(cls: type[_Self], settings: Config) -> _Self:
        """Make a layer, without its weights, from `get_config()`.

        Raises:
            ValueError: if a key is not an argument of the class.
        """
        known = cls._keywords()
        for key in settings:
            if key not in known:
                raise ValueError(f"{cls.__name__} config: unknown key {key!r}")
        try:
            return cls(**settings)
        except TypeError as error:
            raise ValueError(f"{cls.__name__} config: {error}") from None

    @classmethod
    def _keywords(cls) -> list[str]:
        """The names of all arguments of the class."""
        return sorted({*argument_names(cls), *cls.regularized})

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: all but what a forward pass kept for its backward pass."""
        return {**self.__dict__, "_cache": None}

    def __repr__(self) -> str:
        what = f"{self.built_shape}, {self.count_params():,} params" if self.built else "not built"
        return f"<{type(self).__name__} {self.name!r}: {what}>"


_Self = TypeVar("_Self", bound=Layer)


def check_shape(shape: object, argument: str) -> Shape:
    """Return a shape given by a user as a tuple of ints >= 1 and Nones, or raise an error that names `argument`."""
    if isinstance(shape, (int, np.integer)) and not isinstance(shape, bool):
        shape = (shape,)
    if not isinstance(shape, (tuple, list)):
        raise TypeError(f"{argument}: expected a tuple, got {type(shape).__name__}")
    return tuple(None if size is None else check_size(size, argument) for size in shape)
