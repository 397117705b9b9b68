"""Sequential: a stack of layers, trained and used as one model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from . import _summary
from ._core import Model
from ._hints import kind_of
from ._registry import serialize
from ._typing import Array, Config
from .callbacks import History
from .layers import Embedding, Input
from .layers.base import Layer, Shape, check_shape, layer_from_config, unique_name
from .losses import Loss
from .metrics import Metric
from .parameters import Parameter
from .training.handed_on import HandedOn, handed_on
from .training.trainer import Trainer

__all__ = ["Sequential"]


class Sequential:
    """A linear stack of layers with Keras' interface.

        model = Sequential([LSTM(128), Dense(9, activation="softmax")])
        model.compile("adam", "categorical_crossentropy", ["accuracy"])
        model.fit(x, y, epochs=10, batch_size=64)

    The weights are made as soon as the shape of an example is known: from an `Input`, from the first layer's
    `input_shape`, from `build`, or from the first data.

    Args:
        layers: added one after the other.
        name: of the model.

    Attributes:
        metadata: a dict of your own, of what JSON has, that goes into the model's file and comes back from it: class
            names, a vocabulary, the scale of the inputs.
        compiled: whether `compile` was called.
        optimizer, loss: what it was given, as objects; None before.
        metrics: the metrics, those of `weighted_metrics` last.
        stop_training: a callback sets it to end `fit` after the current epoch.
        history: the `History` of the last `fit`.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 3)), fastrnn.LSTM(8), fastrnn.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> x = np.ones((20, 5, 3), np.float32)
        >>> history = model.fit(x, x[:, 0, :1], epochs=2, verbose=0)
        >>> model.predict(x).shape
        (20, 1)
    """

    compiled: HandedOn[bool] = HandedOn()
    optimizer: HandedOn[Any] = HandedOn()
    loss: HandedOn[Loss | None] = HandedOn()
    metrics: HandedOn[list[Metric]] = HandedOn()
    stop_training: HandedOn[bool] = HandedOn()
    history: HandedOn[History | None] = HandedOn()

    compile = handed_on(Trainer.compile)
    get_compile_config = handed_on(Trainer.get_compile_config)
    fit = handed_on(Trainer.fit)
    evaluate = handed_on(Trainer.evaluate)
    predict = handed_on(Trainer.predict)
    train_on_batch = handed_on(Trainer.train_on_batch)
    test_on_batch = handed_on(Trainer.test_on_batch)
    predict_on_batch = handed_on(Trainer.predict_on_batch)

    def __init__(self, layers: Iterable[Layer] | None = None, name: str | None = None) -> None:
        self._trainer = Trainer(self)
        self.name = name if name is not None else unique_name("Sequential")
        self.metadata: dict[str, Any] = {}
        self._layers: list[Layer] = []
        self._input_shape: Shape | None = None  # with the batch axis
        self._declared = False  # whether the user gave that shape; then data must have it
        self._output_shape: Shape | None = None
        for layer in layers or ():
            self.add(layer)

    # -- building --------------------------------------------------------------------------------------------------

    @property
    def layers(self) -> list[Layer]:
        """The layers; an `Input` is not among them."""
        return list(self._layers)

    @property
    def built(self) -> bool:
        """Whether the weights exist."""
        return bool(self._layers) and all(layer.built for layer in self._layers)

    def add(self, layer: Layer) -> None:
        """Put a layer on top.

        Raises:
            TypeError: if it is no layer.
            ValueError: if it cannot stand there: its name is taken, its input does not fit, or it has several outputs.
        """
        if not isinstance(layer, Layer):
            raise TypeError(f"layer: expected a fastrnn layer, got {kind_of(layer)}")
        if isinstance(layer, Input):
            if self._layers or self._input_shape is not None:
                raise ValueError("layer: expected an Input to come first and once")
            self._input_shape, self._declared = layer.batch_input_shape, True
            return
        if any(layer.name == other.name for other in self._layers):
            raise ValueError(f"layer: expected a name not in the model yet, got {layer.name!r}")
        if getattr(layer, "return_state", False):
            raise ValueError(f"{layer.name}: return_state=True gives several outputs, a Sequential passes on one")
        if getattr(layer, "merge_mode", "") is None:
            raise ValueError(f"{layer.name}: merge_mode=None gives two outputs, a Sequential passes on one")
        if isinstance(layer, Embedding) and self._layers:
            raise ValueError(f"{layer.name}: expected an Embedding to be the first layer")
        if self._layers and layer.dtype != self._layers[0].dtype:
            raise ValueError(f"{layer.name}: expected dtype {self._layers[0].dtype} as before it, got {layer.dtype}")
        if not self._layers and self._input_shape is None and layer.batch_input_shape is not None:
            self._input_shape, self._declared = layer.batch_input_shape, True
        if self._input_shape is not None:
            shape = self._input_shape if self._output_shape is None else self._output_shape
            self._output_shape = _build_layer(layer, shape, self._layers)
        self._layers.append(layer)

    def pop(self) -> Layer:
        """Take the last layer off and return it. ValueError if there is none."""
        if not self._layers:
            raise ValueError("layers: expected at least one to pop, got none")
        layer = self._layers.pop()
        if self._input_shape is not None:
            self._output_shape = self.compute_output_shape(self._input_shape) if self._layers else None
        return layer

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the weights for inputs of `input_shape`, batch axis included (None where a size varies)."""
        self._build(tuple(input_shape))
        self._declared = True

    def _build(self, input_shape: Shape) -> None:
        if not self._layers:
            raise ValueError("layers: expected at least one, got an empty Sequential")
        shape = input_shape
        for index, layer in enumerate(self._layers):
            shape = _build_layer(layer, shape, self._layers[:index])
        self._input_shape, self._output_shape = input_shape, shape

    def ensure_built(self, input_shape: Shape) -> None:
        """Create the weights for inputs of that shape, as the first data would, unless they are there."""
        if not self.built:
            self._build(input_shape)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """The shape of the output, batch axis included, for an input's."""
        shape: Shape = tuple(input_shape)
        for layer in self._layers:
            shape = layer.compute_output_shape(shape)
        return shape

    @property
    def input_shape(self) -> Shape | None:
        """Batch axis included; None while unknown."""
        return self._input_shape

    @property
    def output_shape(self) -> Shape | None:
        """Batch axis included; None while unknown."""
        return self._output_shape

    # -- computing -------------------------------------------------------------------------------------------------

    def __call__(self, x: Any, training: bool = False) -> Array:
        """Return the output for one batch; training=True applies dropout."""
        return self.forward_batch(x, training)[0]

    def forward_batch(self, x: Any, training: bool = False) -> tuple[Array, Array | None]:
        """Return the output for one batch and its mask, building the model first when needed."""
        if not self._layers:
            raise ValueError("layers: expected at least one, got an empty Sequential")
        x = self._layers[0].cast(x)
        expected = self._input_shape
        if expected is not None and self._declared:
            fits = len(x.shape) == len(expected)
            if not fits or any(e not in (None, s) for e, s in zip(expected, x.shape, strict=True)):
                raise ValueError(f"x: expected shape {_show(expected)}, got {x.shape}")
        if x.ndim == 2 and self._layers[0].input_ndim == 3:
            raise ValueError(
                f"x: expected shape (B, T, I) for layer {self._layers[0].name}, got {x.shape}; x[:, :, numpy.newaxis] "
                "has one feature a step, x[numpy.newaxis] is a batch of one sequence"
            )
        if not self.built and x.ndim < 2:
            raise ValueError(f"x: expected at least two axes, the batch first, got shape {x.shape}")
        self.ensure_built((None, *x.shape[1:]))
        mask: Array | None = None
        for layer in self._layers:
            layer.check_input(x.shape)
            y = layer.forward(x, mask, training)
            mask = layer.compute_mask(x, mask)
            x = y
        return x, mask

    def backward_batch(self, dy: Array, from_logits: bool = False, left: Callable[[Layer], None] | None = None) -> None:
        """Store all gradients but that of x; needs `forward_batch(x, training=True)` before it.

        `left` is called with each layer whose gradients are stored, the last first.
        """
        # Layers below the first weights have nothing to learn; a user's own layer is called in any case.
        hands_on = [vars(type(layer)).get("only_hands_on", False) for layer in self._layers]
        lowest = hands_on.index(False) if False in hands_on else 0
        d: Array | None = dy
        for index in range(len(self._layers) - 1, lowest - 1, -1):
            layer = self._layers[index]
            assert d is not None  # an Embedding, which gives None, is the first layer
            if from_logits and index == len(self._layers) - 1:
                d = layer.backward_logits(d)
            elif index == lowest:
                layer.backward_weights(d)
            else:
                d = layer.backward(d)
            if left is not None:
                left(layer)
        for layer in reversed(self._layers[:lowest]):
            layer.drop_cache()
            if left is not None:
                left(layer)

    @property
    def output_activation(self) -> str | None:
        """That of the last layer."""
        return self._layers[-1].output_activation if self._layers else None

    def reset_states(self) -> None:
        """Let stateful layers forget what they carry."""
        for layer in self._layers:
            reset = getattr(layer, "reset_states", None)
            if reset is not None:
                reset()

    # -- weights ---------------------------------------------------------------------------------------------------

    def parameters(self) -> list[Parameter]:
        """All weights in the library's layout, as the optimizer sees them."""
        return [p for layer in self._layers for p in layer.parameters()]

    @property
    def weights(self) -> list[Parameter]:
        """The same as `parameters()`, under Keras' name."""
        return self.parameters()

    @property
    def trainable_weights(self) -> list[Parameter]:
        """Those an optimizer may change."""
        return [p for p in self.parameters() if p.trainable]

    @property
    def non_trainable_weights(self) -> list[Parameter]:
        """The frozen ones."""
        return [p for p in self.parameters() if not p.trainable]

    def get_weights(self) -> list[Array]:
        """Copies of all weights in Keras' shapes and order."""
        return [w for layer in self._layers for w in layer.get_weights()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all weights from arrays as `get_weights` returns them. Nothing is changed when one does not fit."""
        if not self.built:
            raise ValueError("weights: expected a built model; call build(input_shape) or give the data first")
        counts = [len(layer.get_weights()) for layer in self._layers]
        if len(weights) != sum(counts):
            raise ValueError(f"weights: expected {sum(counts)} arrays, got {len(weights)}")
        parts, start = [], 0
        for layer, count in zip(self._layers, counts, strict=True):
            parts.append(weights[start : start + count])
            layer.check_weights(parts[-1])
            start += count
        for layer, part in zip(self._layers, parts, strict=True):
            layer.set_weights(part)

    def count_params(self) -> int:
        """The number of scalars in the weights. ValueError before the model is built."""
        if not self.built:
            raise ValueError("count_params needs a built model; call build(input_shape) or give the data first")
        return sum(p.size for p in self.parameters())

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by its name or its index. ValueError if there is none."""
        if (name is None) == (index is None):
            raise ValueError("name: expected either a name or an index")
        for position, layer in enumerate(self._layers):
            if position == index or layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in self._layers)
        raise ValueError(f"{'name' if index is None else 'index'}: no such layer, the model has {names}")

    # -- pickling ---------------------------------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: the attributes, those of the trainer among them."""
        return {**self._trainer.settings(), **{k: v for k, v in vars(self).items() if k != "_trainer"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._trainer = Trainer(self)
        trainers = vars(self._trainer)
        for name, value in state.items():
            (trainers if name in trainers else vars(self))[name] = value

    # -- showing, saving -------------------------------------------------------------------------------------------

    def summary(self, print_fn: Callable[[str], object] = print) -> None:
        """Print a table of the layers, their output shapes and their numbers of parameters."""
        for line in _summary.text(self):
            print_fn(line)

    def __repr__(self) -> str:
        return _summary.line(self)

    def _repr_html_(self) -> str:
        return _summary.table(self)

    def get_config(self) -> Config:
        """Name, input shape, the layers' configs and the metadata; JSON-serialisable."""
        shape = None if self._input_shape is None else list(self._input_shape)
        layers = [serialize(layer) for layer in self._layers]
        settings: Config = {"name": self.name, "input_shape": shape, "declared": self._declared, "layers": layers}
        if self.metadata:
            settings["metadata"] = dict(self.metadata)
        return settings

    @classmethod
    def from_config(cls, settings: Config) -> Sequential:
        """Make the model, with new weights, from `get_config()`. ValueError if the config is not one."""
        if not isinstance(settings, dict) or not isinstance(settings.get("layers"), list):
            raise ValueError(f"model config: expected a dict with a list of layers, got {type(settings).__name__}")
        model = cls([layer_from_config(entry) for entry in settings["layers"]], name=settings.get("name"))
        metadata = settings.get("metadata", {})
        if not isinstance(metadata, dict):
            raise ValueError(f"model config: expected metadata to be a dict, got {type(metadata).__name__}")
        model.metadata = dict(metadata)
        shape = settings.get("input_shape")
        if shape is not None:
            model._build(check_shape(shape, "input_shape"))
            model._declared = bool(settings.get("declared", True))
        return model

    def save(self, path: str | os.PathLike[str], include_optimizer: bool = True) -> None:
        """Write architecture, weights and training state to one file; see `fastrnn.io.save_model`."""
        from .saving import save_model

        save_model(self, path, include_optimizer=include_optimizer)

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write the weights alone to one file; see `fastrnn.io.save_weights`."""
        from .saving import save_weights

        save_weights(self, path)

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Set the weights from a file of `save_weights` or `save`; see `fastrnn.io.load_weights`."""
        from .saving import load_weights

        load_weights(self, path)

    def to_native(self, dtype: str = "float32", fast_activations: bool = False) -> Model:
        """The layers for `fastrnn.Session` and `fastrnn.StreamPool`, as `fastrnn.Model.load` reads them from a file.

        A model with layers that need later steps runs on whole sequences, by `fastrnn.Model.forward`. Later training
        does not change it. ValueError for a model with a layer that has no native form; ImportError without
        `pip install fastrnn[io]`.

        Args:
            dtype: to store the recurrent weights in: "float32", "bfloat16", "bfloat16_weights" or "int8".
            fast_activations: sigmoid and tanh with a larger error, in float32 alone.
        """
        from .saving.files import native_model

        return native_model(self, dtype, fast_activations)


def _build_layer(layer: Layer, shape: Shape, below: Sequence[Layer]) -> Shape:
    """Build the layer unless it is built; return its output's shape. ValueError when the input does not fit.

    Args:
        layer: to stand on top.
        shape: of its input.
        below: the layers before it.
    """
    try:
        layer.check_input(shape)
    except ValueError as error:
        if not below or getattr(below[-1], "return_sequences", True):
            raise
        hint = f"{below[-1].name} gives its last step alone, with return_sequences=True all of them"
        raise ValueError(f"{error}; {hint}") from None
    if not layer.built:
        layer.build((None, *shape[1:]))
    return layer.compute_output_shape(shape)


def _show(shape: Shape) -> str:
    return str(tuple(shape))
