"""compile, and the step on one batch: forward, loss, backward, update, metrics. The loop over data is in `trainer`."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple, Protocol

import numpy as np

from .. import _packed, losses, optimizers
from .. import metrics as metrics_module
from .._typing import Array, Config
from ..callbacks import History
from ..layers.base import Layer, Shape
from ..losses import Loss
from ..metrics import Metric
from ..parameters import Parameter
from .data_adapter import ArrayData, Batch, BatchData, class_weight_to_sample_weight
from .interrupts import BatchInterrupts
from .position import Position

__all__ = ["BatchTrainer", "Data", "Forward", "Result", "Trainable", "quiet"]

Data = ArrayData | BatchData
Result = float | list[float] | dict[str, float]


class Forward(NamedTuple):
    """What the forward pass of a batch gives: its loss, the output, its mask and the weights of the loss."""

    loss: float
    output: Array
    mask: Array | None
    weight: Array | None


class Trainable(Protocol):
    """What a model gives to be trained."""

    @property
    def layers(self) -> list[Layer]:
        """Its layers."""

    @property
    def input_shape(self) -> Shape | None:
        """Batch axis included; None while unknown."""

    def ensure_built(self, input_shape: Shape) -> None:
        """Create the weights for inputs of that shape unless they are there."""

    def forward_batch(self, x: Array, training: bool) -> tuple[Array, Array | None]:
        """Return the output and its mask (B, T) or None."""

    def backward_batch(self, dy: Array, from_logits: bool, left: Callable[[Layer], None] | None = None) -> None:
        """Store all gradients, given that of the output, or of what enters its activation.

        `left` is called with each layer whose gradients are stored, the last first.
        """

    def parameters(self) -> list[Parameter]:
        """All weights, always in the same order."""

    @property
    def output_activation(self) -> str | None:
        """Name of the activation which ends the model, if `backward_batch` can start before it."""


class BatchTrainer:
    """Trains a model batch by batch.

    Args:
        model: whose trainer this is. It is not kept alive: it is the model that has a trainer.

    Attributes:
        optimizer, loss: what `compile` was given, as objects; None before.
        metrics: the metrics, those of `weighted_metrics` last.
        stop_training: a callback sets it to end `fit` after the current epoch.
        history: the `History` of the last `fit`.
    """

    def __init__(self, model: Trainable) -> None:
        self._model = weakref.ref(model)
        self.compiled = False
        self.optimizer: Any = None
        self.loss: Loss | None = None
        self.metrics: list[Metric] = []
        self._unweighted = 0  # how many of `metrics`, the first ones, see no sample weights
        self.stop_training = False
        self.history: History | None = None
        self._interrupts: BatchInterrupts | None = None  # None outside of `fit`

    @property
    def model(self) -> Trainable:
        """The model, which is there as long as anybody can call its trainer."""
        model = self._model()
        assert model is not None
        return model

    def settings(self) -> dict[str, Any]:
        """All attributes but the model: what pickle keeps of a trainer."""
        return {name: value for name, value in vars(self).items() if name != "_model"}

    # -- compile ---------------------------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
    ) -> None:
        """Say how to train.

        Args:
            optimizer: name, config or object of `fastrnn.optimizers`.
            loss: name, config or object of `fastrnn.losses`, or a function as `losses.get` takes it.
            metrics: names or objects of `fastrnn.metrics`; they see masks, but no sample or class weights. In
                Keras `loss_weights`, which we have not, comes before them: write `metrics=` in code meant for both.
            weighted_metrics: the same, for metrics which see the weights too.

        Raises:
            ValueError: for an unknown name.
            TypeError: for a value of the wrong type.
        """
        new_optimizer = optimizers.get(optimizer)
        new_loss = None if loss is None else losses.get(loss)
        plain = [metrics_module.get(m, new_loss) for m in _as_list(metrics)]
        weighted = [metrics_module.get(m, new_loss) for m in _as_list(weighted_metrics)]
        names = ["loss", *(m.name for m in plain + weighted)]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise ValueError(f"metrics: expected different names, got {name!r} twice")
        self.optimizer, self.loss, self.metrics = new_optimizer, new_loss, plain + weighted
        self._unweighted = len(plain)
        self.compiled = True

    def get_compile_config(self) -> Config | None:
        """The arguments of `compile` as JSON-serialisable configs; None for a model not compiled.

        Raises:
            TypeError: if the loss or a metric is a function.
        """
        if not self.compiled:
            return None
        serialized = [metrics_module.serialize(m) for m in self.metrics]
        return {
            "optimizer": optimizers.serialize(self.optimizer),
            "loss": None if self.loss is None else losses.serialize(self.loss),
            "metrics": serialized[: self._unweighted],
            "weighted_metrics": serialized[self._unweighted :],
        }

    def _need_compiled(self) -> Loss:
        if not self.compiled:
            raise RuntimeError("You must compile your model before training or testing: model.compile(optimizer, loss)")
        if self.loss is None:
            raise ValueError("loss: expected one to train or test with, got None; give it to model.compile")
        return self.loss

    # -- one batch -------------------------------------------------------------------------------------------------

    def _loss_weight(self, weight: Array | None, mask: Array | None, y_pred: Array) -> Array | None:
        """Return the loss' sample weight: a masked step counts for nothing, as Keras does it."""
        if mask is None or mask.shape != y_pred.shape[:-1]:
            return weight
        assert self.loss is not None
        if self.loss.reduction == "sum_over_batch_size":
            return losses.mask_to_weight(mask, weight)
        return _mask_weight(mask, weight)

    def _update_metrics(self, batch: Batch, y_pred: Array, mask: Array | None) -> None:
        assert batch.y is not None
        if mask is not None and mask.shape != y_pred.shape[:-1]:
            mask = None
        for index, metric in enumerate(self.metrics):
            weight = batch.sample_weight if index >= self._unweighted else None
            metric.update_state(batch.y, y_pred, weight if mask is None else _mask_weight(mask, weight))

    def _train_step(self, batch: Batch, loss: Loss) -> float:
        with quiet():
            forward = value, y_pred, mask, _ = self._forward(batch, loss, training=True)
            self._backward(batch, loss, forward)
            value += self._penalty()
            self._update_weights()
            self._update_metrics(batch, y_pred, mask)
            return value

    def _test_step(self, batch: Batch, loss: Loss) -> float:
        with quiet():
            value, y_pred, mask, _ = self._forward(batch, loss, training=False)
            self._update_metrics(batch, y_pred, mask)
            return value + self._penalty()

    def _forward(self, batch: Batch, loss: Loss, training: bool) -> Forward:
        y_pred, mask = self.model.forward_batch(batch.x, training=training)
        assert batch.y is not None
        weight = self._loss_weight(batch.sample_weight, mask, y_pred)
        return Forward(loss(batch.y, y_pred, weight), y_pred, mask, weight)

    def _backward(
        self, batch: Batch, loss: Loss, forward: Forward, left: Callable[[Layer], None] | None = None
    ) -> None:
        """Store the gradients, after the forward pass of the batch in training; `left` as `backward_batch` has it."""
        assert batch.y is not None
        fused = loss.fused_activation is not None and loss.fused_activation == self.model.output_activation
        gradient = loss.fused_gradient if fused else loss.gradient
        self.model.backward_batch(gradient(batch.y, forward.output, forward.weight), fused, left)

    def _update_weights(self) -> None:
        """Add the gradients of the penalties to those that are stored, and let the optimizer make its step."""
        for parameter in self._penalised():
            assert parameter.grad is not None
            parameter.grad += parameter.regularizer.gradient(parameter.value)
        self.optimizer.apply(self.model.parameters())
        _packed.forget()  # weights packed by an evaluation whose callback called this

    def _penalised(self) -> list[Parameter]:
        """The weights with a regularizer; frozen ones count for nothing, as in Keras."""
        return [p for p in self.model.parameters() if p.trainable and getattr(p, "regularizer", None) is not None]

    def _penalty(self) -> float:
        return sum(float(parameter.regularizer(parameter.value)) for parameter in self._penalised())

    def _pass(
        self,
        data: Data,
        step: Callable[[Batch, Loss], float],
        hooks: tuple[Callable[..., None], Callable[..., None]],
        begin: Position = Position(),  # noqa: B008 - immutable
        note: Callable[[Position], None] | None = None,
        training: bool = False,
    ) -> dict[str, float]:
        """Run `step` over all batches; return the means, each batch's loss weighted by its size as in Keras.

        Args:
            data, step: the batches and what is done with each.
            hooks: called before and after a batch.
            begin: where a resumed pass goes on, the metrics having their state.
            note: called with what comes next after each batch.
            training: end the pass when `stop_training` is set.
        """
        loss = self._need_compiled()
        epoch, first, total, count = begin
        logs: dict[str, float] = {}
        if first:
            logs = self._logs(total / max(1, count))
        else:
            self._reset_metrics()
        running = nullcontext() if self._interrupts is None else self._interrupts.batch
        for index, batch in enumerate(data.batches(first), first):
            with running:
                hooks[0](index, None)
                size = len(batch.x)
                total += step(batch, loss) * size
                count += size
                logs = self._logs(total / max(1, count))
                hooks[1](index, logs)
                if note is not None and not self.stop_training:
                    note(Position(epoch, index + 1, total, count))
            if training and self.stop_training:
                break
        return logs or self._logs(0.0)

    def _reset_metrics(self) -> None:
        for metric in self.metrics:
            metric.reset_state()

    def _logs(self, loss: float) -> dict[str, float]:
        return {"loss": loss, **{m.name: m.result() for m in self.metrics}}

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        return_dict: bool = False,
    ) -> Result:
        """Make one optimizer step on one batch; return its loss (before the step), or [loss, metrics...]."""
        return self._on_batch(self._train_step, x, y, sample_weight, class_weight, return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Result:
        """Return the loss of one batch, or [loss, metrics...]."""
        return self._on_batch(self._test_step, x, y, sample_weight, None, return_dict)

    def _on_batch(
        self,
        step: Callable[[Batch, Loss], float],
        x: Any,
        y: Any,
        sample_weight: Any,
        class_weight: Mapping[int, float] | None,
        return_dict: bool,
    ) -> Result:
        loss = self._need_compiled()
        if y is None:
            raise ValueError("y: expected targets, got None")
        batch = Batch(np.asarray(x), np.asarray(y), None if sample_weight is None else np.asarray(sample_weight))
        if len(batch.x) != len(np.atleast_1d(y)):
            raise ValueError(f"y: expected {len(batch.x)} examples as x has, got {len(np.atleast_1d(y))}")
        if class_weight is not None:
            if sample_weight is not None:
                raise ValueError("class_weight: expected None when sample_weight is given, got both")
            batch = batch._replace(sample_weight=class_weight_to_sample_weight(np.asarray(y), class_weight))
        self._reset_metrics()
        value = step(batch, loss)
        return self._result(self._logs(value), return_dict)

    def _result(self, logs: dict[str, float], return_dict: bool) -> Result:
        if return_dict:
            return logs
        return list(logs.values()) if self.metrics else logs["loss"]

    def predict_on_batch(self, x: Any) -> Array:
        """Return the output for one batch."""
        return self.model.forward_batch(np.asarray(x), training=False)[0]


def quiet() -> np.errstate:
    """NumPy's warnings of overflow and NaN say neither where nor when; the loss shows them, and `fit` warns of that."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


def _mask_weight(mask: Array, weight: Array | None) -> Array:
    """Return mask (B, T) times weight (B,), (B, 1), (B, T) or None."""
    if weight is None:
        return mask.astype(np.float32)
    return mask * (weight[:, np.newaxis] if weight.ndim == 1 else weight.reshape(weight.shape[:2]))


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
