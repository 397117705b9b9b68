"""One training step by several processes: the batch is cut into shards, and what comes of them is put together.

A shard is a range of the batch's rows. How many there are, and which rows and which draws of dropout each has, does not
depend on the number of processes; nor does the order in which losses, metrics and gradients of shards are added. So any
number of processes computes the same bits.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import _core
from ..callbacks import CallbackList
from ..layers.base import Layer
from ..layers.draws import shard_draws
from ..losses import Loss
from .data_adapter import ArrayData, Batch
from .gradient_row import GradientRow
from .group import Group, Sum, share
from .position import Position
from .resume import check, collect
from .step import BatchTrainer, Data, Forward, quiet

__all__ = ["Shards"]


class _Part(NamedTuple):
    """What comes of a shard: its `Loss.count`, its loss, and what it adds to the state of each metric."""

    weight: float
    loss: float
    metrics: list[dict[str, Any]]


class Shards:
    """The steps of a trainer on batches of which each process computes its shards alone.

    Args:
        trainer: compiled.
        group: see `Group`.

    Raises:
        TypeError: `group` is no `Group`.
        ValueError: the model has a layer that carries states from batch to batch or takes statistics of a batch, or a
            fixed batch size.
    """

    def __init__(self, trainer: BatchTrainer, group: Group) -> None:
        if not all(hasattr(group, name) for name in ("rank", "size", "shards", "exchange", "begin_sum", "left")):
            raise TypeError(f"distributed: expected fastrnn.distributed.MPI() or its like, got {type(group).__name__}")
        _refuse(trainer.model.layers)
        shape = trainer.model.input_shape
        if shape is not None and shape[0] is not None:
            raise ValueError(f"distributed: expected a model for batches of any size, got batch_size={shape[0]}")
        self._trainer, self._group = trainer, group
        self.leads = group.rank == 0
        self._own = range(group.shards * group.rank // group.size, group.shards * (group.rank + 1) // group.size)

    def __enter__(self) -> Shards:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._group.left(error)

    # -- the others take over what process 0 has ---------------------------------------------------------------------

    def agree(
        self, saved: dict[str, Any] | None, data: Data, hooks: CallbackList, begin: Position
    ) -> dict[str, Any] | None:
        """Return the state that this process has to begin with, as `resume.restore` takes it.

        Args:
            saved: the checkpoint from which process 0 goes on.
            data, hooks: of the run.
            begin: where a run without a checkpoint begins.
        """
        model, state = self._trainer.model, saved
        if self.leads and saved is None:
            if isinstance(data, ArrayData):
                model.ensure_built((None, *data.x.shape[1:]))
            elif model.input_shape is None:
                raise ValueError("distributed: expected a built model where x is an iterable; call model.build first")
            state = collect(self._trainer, data, hooks, begin)
        self._compare_data(data)
        state = self._exchange("the beginning", state)[0]
        if self.leads:
            return saved
        own = {type(callback).__name__ for callback in hooks.callbacks}
        state["callbacks"] = [entry for entry in state["callbacks"] if entry[0] in own]
        check(state, self._trainer, data, hooks)
        taken: dict[str, Any] = state
        return taken

    def _exchange(self, place: str, value: Any) -> list[Any]:
        """Return the values of all processes, each of which has to be at that place of the run."""
        told = self._group.exchange((place, value))
        for rank, (other, _) in enumerate(told):
            if other != told[0][0]:
                raise RuntimeError(
                    f"distributed: expected all ranks to be at {told[0][0]} as rank 0 is, got rank {rank} at {other}; "
                    "they need the same data, and the same arguments of fit"
                )
        return [value for _, value in told]

    def _compare_data(self, data: Data) -> None:
        """Look whether all processes have one version of the package and, of arrays, one shape and some equal rows."""
        told = self._exchange("the beginning", (_core.version, _digest(data)))
        for rank, own in enumerate(told):
            for what, expected, got in zip(("fastrnn", "data"), told[0], own, strict=True):
                if expected != got:
                    raise ValueError(
                        f"distributed: expected all ranks to have the {what} of rank 0, {expected}, got {got} on rank "
                        f"{rank}"
                    )

    def batch_end(self, hook: Callable[..., None]) -> Callable[..., None]:
        """Return `hook` followed by an exchange: all processes stop if process 0 does."""

        def call(*args: Any) -> None:
            hook(*args)
            self._trainer.stop_training = self._exchange("the end of a batch", self._trainer.stop_training)[0]

        return call

    def epoch_end(self, hook: Callable[..., None]) -> Callable[..., None]:
        """Return `hook` after a check that all have the same weights; after it all take those of process 0."""

        def call(*args: Any) -> None:
            parameters = self._trainer.model.parameters()
            digests = self._exchange("the end of an epoch", [zlib.crc32(p.value.tobytes()) for p in parameters])
            for rank, digest in enumerate(digests):
                wrong = [p.name for p, a, b in zip(parameters, digest, digests[0], strict=True) if a != b]
                if wrong:
                    raise RuntimeError(
                        f"distributed: expected all ranks to have the same weights, got others of {wrong[0]} on rank "
                        f"{rank}; callbacks may change weights at the end of an epoch alone"
                    )
            hook(*args)
            self.take_weights()

        return call

    def take_weights(self) -> None:
        """Take the weights of process 0, and whether to stop."""
        parameters = self._trainer.model.parameters()
        given = (self._trainer.stop_training, [p.value for p in parameters]) if self.leads else None
        self._trainer.stop_training, values = self._exchange("the end of an epoch", given)[0]
        if not self.leads:
            for parameter, value in zip(parameters, values, strict=True):
                parameter.assign(value)

    # -- steps --------------------------------------------------------------------------------------------------------

    def train_step(self, batch: Batch, loss: Loss) -> float:
        """As `BatchTrainer._train_step`."""
        trainer = self._trainer
        layers, optimizer = trainer.model.layers, trainer.optimizer
        gradients = GradientRow(layers)
        dtype = layers[0].dtype if layers else "float32"
        with quiet():
            added = self._group.begin_sum(gradients.pieces, dtype)
            start = [layer.get_training_state() for layer in layers]
            parts = []
            for shard in self._own:
                for layer, state in zip(layers, start, strict=True):
                    layer.set_training_state(state)
                with shard_draws(shard):
                    parts.append(self._train_shard(batch, shard, loss, gradients, added))
            if not any(len(self._rows(batch, shard).x) for shard in self._own):
                # No rows, but layers that count steps have to count this one.
                trainer.model.forward_batch(batch.x[:1], training=True)
            told = self._exchange(_place(batch), (optimizer.learning_rate, parts))
            rates, all_parts = zip(*told, strict=True)
            if not optimizer.scheduled:  # a callback of process 0 may have changed it
                optimizer.learning_rate = rates[0]
            every = [part for parts in all_parts for part in parts]
            value, whole = self._join(every, loss)
            gradients.read(added.total([part.weight for part in every], whole))
            value += trainer._penalty()
            trainer._update_weights()
        return value

    def _train_shard(self, batch: Batch, shard: int, loss: Loss, gradients: GradientRow, added: Sum) -> _Part:
        """Forward and backward pass of a shard; each piece of the gradients is handed on when it is complete."""
        row = added.row(shard)
        piece = self._rows(batch, shard)
        part, forward = self._part(piece, loss, training=True)
        weight = 1.0 if loss.reduction == "sum" else part.weight

        def left(layer: Layer) -> None:
            number = gradients.completed_by(layer)
            if number is not None:
                gradients.write(row, gradients.pieces[number])
                added.ready(shard, number, weight)

        if forward is not None:
            self._trainer._backward(piece, loss, forward, left)
        else:  # no rows: the batch has fewer than there are shards
            row[...] = 0
            for number in range(len(gradients.pieces)):
                added.ready(shard, number, weight)
        return part

    def test_step(self, batch: Batch, loss: Loss) -> float:
        """As `BatchTrainer._test_step`."""
        with quiet():
            own = [self._part(self._rows(batch, shard), loss, False)[0] for shard in self._own]
            parts = self._exchange(f"{_place(batch)} of the validation", own)
            value, _ = self._join([part for some in parts for part in some], loss)
            return value + self._trainer._penalty()

    def _rows(self, batch: Batch, shard: int) -> Batch:
        """The rows of a shard, none where the batch has fewer rows than shards."""
        size, shards = len(batch.x), self._group.shards
        return batch.take(slice(size * shard // shards, size * (shard + 1) // shards))

    def _part(self, piece: Batch, loss: Loss, training: bool) -> tuple[_Part, Forward | None]:
        """The forward pass of a shard, None where it has no rows, and what comes of it."""
        trainer = self._trainer
        if not len(piece.x):
            return _Part(0.0, 0.0, [{} for _ in trainer.metrics]), None
        forward = value, y_pred, mask, weight = trainer._forward(piece, loss, training)
        shape = y_pred.shape[:-1]
        count = loss.count(shape, weight, mask if mask is not None and mask.shape == shape else None)
        before = [metric.get_state() for metric in trainer.metrics]
        trainer._reset_metrics()
        blank = [metric.get_state() for metric in trainer.metrics]
        trainer._update_metrics(piece, y_pred, mask)
        added = [
            {name: now for name, now in metric.get_state().items() if np.any(now != empty[name])}
            for metric, empty in zip(trainer.metrics, blank, strict=True)
        ]
        for metric, state, empty, new in zip(trainer.metrics, before, blank, added, strict=True):
            if any(np.any(empty[name]) for name in new):
                raise ValueError(f"distributed: expected metrics whose state is a sum from 0 on, got {metric!r}")
            metric.set_state(state)
        return _Part(count, value, added), forward

    def _join(self, parts: list[_Part], loss: Loss) -> tuple[float, float | None]:
        """Add the metrics up; return the loss of the batch, and what the counts are divided by, None for nothing."""
        for index, metric in enumerate(self._trainer.metrics):
            for part in parts:
                state = metric.get_state()
                metric.set_state({name: state[name] + more for name, more in part.metrics[index].items()})
        total = None if loss.reduction == "sum" else sum(part.weight for part in parts)
        return sum(share(part.weight, total) * part.loss for part in parts), total


def _place(batch: Batch) -> str:
    return f"a batch of {len(batch.x)} rows"


def _digest(data: Data) -> str:
    """What tells arrays from others without reading all of them; of an iterable nothing is known."""
    if not isinstance(data, ArrayData):
        return "batches"
    text = f"x {data.x.shape}"
    rows = np.unique(np.linspace(0, data.size - 1, min(data.size, 64)).astype(int))
    for name, array in (("x", data.x), ("y", data.y), ("sample_weight", data.sample_weight)):
        if array is not None:
            text += f", {name} {array.dtype} {zlib.crc32(np.ascontiguousarray(array[rows]).tobytes()):08x}"
    return text


def _refuse(layers: list[Layer]) -> None:
    for layer in layers:
        if getattr(layer, "stateful", False):
            raise ValueError(
                f"distributed: expected no stateful layer, got {layer.name}: rows of a batch are computed by several "
                "processes, of which none has the states of all"
            )
        if layer.statistics and layer.trainable:
            raise ValueError(
                f"distributed: expected no layer with statistics of a batch, got {layer.name}: each process sees its "
                "part alone; LayerNormalization has none, and with trainable=False the layer takes those that it has"
            )
        inner = getattr(layer, "layer", None)
        if isinstance(inner, Layer):
            _refuse([inner])
