"""fit, evaluate and predict: the loops over data around a model, as Keras has them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any, Literal, overload

import numpy as np

from .. import _packed, _threads, config
from .._core import BufferPool
from .._log import log
from .._typing import Array
from ..callbacks import Callback, CallbackList, History
from ..callbacks.progress import Progress, level
from ..losses import Loss
from .checkpoints import Checkpoints
from .data_adapter import ArrayData, Batch, BatchData, holds_batches, make_data
from .group import Group
from .interrupts import BatchInterrupts
from .padding import check_masked
from .position import Position
from .resume import check, collect, restore
from .sharding import Shards
from .step import BatchTrainer, Data, Result

__all__ = ["Trainer"]


class Trainer(BatchTrainer):
    """A `BatchTrainer` that goes through whole data sets."""

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Callback | Iterable[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
        *,
        threads: int | None = None,
        resume: str | os.PathLike[str] | Checkpoints | None = None,
        distributed: Group | None = None,
    ) -> History:
        """Train for `epochs - initial_epoch` passes over the data.

        Args:
            x: array (N, ...), or batches (x, y) or (x, y, sample_weight): a list of them, any iterable, or an object
                with `__len__` and `__getitem__` as Keras' Sequence, whose `on_epoch_end` is called after each pass.
            y: targets (N, ...), in the form the loss wants.
            batch_size: 32 when None. Not for an iterable.
            epochs: number of the last epoch.
            verbose: 0 silent, 1 or "auto" a progress bar, 2 a line per epoch.
            callbacks: objects of `fastrnn.callbacks`.
            validation_split: the last part of x and y, taken before shuffling, is held out.
            validation_data: (x, y) or (x, y, sample_weight) or an iterable of batches; goes before validation_split.
            shuffle: draw a new order every epoch. Not for an iterable.
            class_weight: class number to weight; the weight of its examples (or steps) in the loss.
            sample_weight: (N,), or (N, T) for sequence outputs.
            initial_epoch: number of epochs already done.
            steps_per_epoch, validation_steps: batches of a pass over an endless iterable.
            validation_batch_size: batch_size when None.
            validation_freq: validate every so many epochs.
            threads: None for what `fastrnn.set_num_threads` said, and all processors that the process may use if it was
                never called; results do not depend on it.
            resume: a folder, or `fastrnn.Checkpoints` of one, that gets a checkpoint after each epoch. If there is one
                already, the run goes on from it and ends with the bits that it would have had unbroken: call fit again
                with the same arguments, on a model made and compiled alike, with the same data.

        Returns:
            History, whose `history` maps "loss", the metrics, and ``"val_..."`` of these to lists.

        Raises:
            KeyboardInterrupt: on Ctrl-C, once the batch that runs is done, so that the weights are those of whole
                batches; on a second one at once. `self.history` has the epochs that were completed, and the model can
                be used and trained on. Where fit is not called in the main thread, or SIGINT has a handler that is not
                Python's own, nothing is put off.
            RuntimeError: if the model is not compiled.
            ValueError, TypeError: for arguments that do not fit, before anything is trained.
            OSError: if a checkpoint cannot be written; those before it are whole, the weights those of whole batches.
        """
        self._need_compiled()
        checkpoints = _checkpoints(resume)
        threads = _threads.check(threads)
        for name, number, least in (
            ("epochs", epochs, 0), ("initial_epoch", initial_epoch, 0), ("validation_freq", validation_freq, 1)
        ):  # fmt: skip
            if not isinstance(number, (int, np.integer)) or number < least:
                raise ValueError(f"{name}: expected an integer of at least {least}, got {number!r}")
        data = make_data(
            x, y, sample_weight, batch_size=batch_size, steps=steps_per_epoch, shuffle=shuffle,
            rng=config.random_generator(), class_weight=class_weight,
        )  # fmt: skip
        level(verbose, auto=1)  # raises for a wrong `verbose`
        check_masked(self.model.layers, x)
        validation: Data | None = None
        if validation_data is not None:
            given = validation_data
            if not isinstance(given, (tuple, list)) or (isinstance(given, list) and holds_batches(given)):
                given = (given,)
            size = validation_batch_size or (batch_size if len(given) > 1 else None)
            validation = make_data(*given, batch_size=size, steps=validation_steps)
        elif validation_split:
            if not isinstance(data, ArrayData):
                raise ValueError("validation_split: expected 0 when x is an iterable; give validation_data")
            data, validation = data.split(validation_split)
            validation.batch_size = validation_batch_size or data.batch_size
        shards = None if distributed is None else Shards(self, distributed)
        leads = shards is None or shards.leads
        hooks = CallbackList(
            callbacks if leads else None, add_history=True, add_progbar=leads and verbose != 0, add_watch=leads,
            model=self.model, epochs=epochs, steps=data.steps, samples=data.size, verbose=verbose,
        )  # fmt: skip
        saved, note = None, None
        if checkpoints is not None and leads:
            checkpoints.prepare()
            saved = checkpoints.newest()
            note = partial(self._note, checkpoints, data, hooks)
            if saved is not None:
                check(saved, self, data, hooks)
        self.stop_training = False
        self.history = hooks.history
        hooks.on_train_begin()
        position = Position(initial_epoch)
        logs: dict[str, float] = {}
        train, test, batch_end, epoch_end = (
            self._train_step, self._test_step, hooks.on_train_batch_end, hooks.on_epoch_end
        )  # fmt: skip
        try:
            with (
                shards or nullcontext(),
                _threads.sharing(threads),
                BufferPool(),
                BatchInterrupts() as self._interrupts,
            ):
                if shards is not None:
                    saved = shards.agree(saved, data, hooks, position)
                    train, test = shards.train_step, shards.test_step
                    batch_end, epoch_end = shards.batch_end(batch_end), shards.epoch_end(epoch_end)
                if saved is not None:
                    if saved["position"]["batch"]:  # its effects are overwritten by the saved states, which have them
                        hooks.on_epoch_begin(saved["position"]["epoch"])
                    position = restore(saved, self, data, hooks)
                for epoch in range(position.epoch, epochs):
                    if self.stop_training:  # set by the checkpoint, or by a callback
                        break
                    if not position.batch:
                        hooks.on_epoch_begin(epoch)
                    batch_hooks = hooks.on_train_batch_begin, batch_end
                    logs = self._pass(data, train, batch_hooks, position, note, training=True)
                    position = Position(epoch + 1)
                    if validation is not None and (epoch + 1) % validation_freq == 0:
                        tested = self._evaluate(validation, hooks, test)
                        logs = {**logs, **{f"val_{name}": value for name, value in tested.items()}}
                    epoch_end(epoch, logs)
                    log.info("epoch %d of %d: %s", epoch + 1, epochs, logs)
                    if note is not None:
                        note(position)
        finally:  # so that files and progress bars are closed when a step raises, too
            self._interrupts = None
            hooks.on_train_end(logs)
        if shards is not None:
            shards.take_weights()  # a callback may have changed them at the end
        assert hooks.history is not None
        return hooks.history

    def _note(self, checkpoints: Checkpoints, data: Data, hooks: CallbackList, position: Position) -> None:
        """Write a checkpoint, if it is time."""
        if checkpoints.due(position.batch):
            checkpoints.write(position.epoch, position.batch, collect(self, data, hooks, position))

    @overload
    def evaluate(
        self,
        x: Any = ...,
        y: Any = ...,
        batch_size: int | None = ...,
        verbose: str | int = ...,
        sample_weight: Any = ...,
        steps: int | None = ...,
        callbacks: Callback | Iterable[Callback] | None = ...,
        return_dict: Literal[False] = ...,
        *,
        threads: int | None = ...,
    ) -> float | list[float]: ...

    @overload
    def evaluate(
        self,
        x: Any = ...,
        y: Any = ...,
        batch_size: int | None = ...,
        verbose: str | int = ...,
        sample_weight: Any = ...,
        steps: int | None = ...,
        callbacks: Callback | Iterable[Callback] | None = ...,
        *,
        return_dict: Literal[True],
        threads: int | None = ...,
    ) -> dict[str, float]: ...

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Callback | Iterable[Callback] | None = None,
        return_dict: bool = False,
        *,
        threads: int | None = None,
    ) -> Result:
        """Return the loss, or [loss, metrics...], or both by name with `return_dict`.

        Arguments and errors as `fit`, but that "auto" is silent: `verbose` 1 shows a bar, 2 a line at the end.
        """
        self._need_compiled()
        threads = _threads.check(threads)
        data = make_data(x, y, sample_weight, batch_size=batch_size, steps=steps)
        shown = level(verbose, auto=0)
        hooks = CallbackList(
            callbacks, add_progbar=shown != 0, model=self.model, steps=data.steps, samples=data.size, verbose=shown
        )
        with _threads.sharing(threads), BufferPool():
            return self._result(self._evaluate(data, hooks, self._test_step), return_dict)

    def _evaluate(self, data: Data, hooks: CallbackList, step: Callable[[Batch, Loss], float]) -> dict[str, float]:
        hooks.on_test_begin()
        with _packed.keeping():
            logs = self._pass(data, step, (hooks.on_test_batch_begin, hooks.on_test_batch_end))
        hooks.on_test_end(logs)
        return logs

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        *,
        threads: int | None = None,
    ) -> Array:
        """Return the outputs for x, computed in batches of `batch_size` (32 when None).

        NaN in x is no error here and gives NaN out. "auto" is silent: `verbose` 1 shows a bar, 2 a line at the end.
        `threads` as in `fit`.
        """
        threads = _threads.check(threads)
        data = make_data(x, batch_size=batch_size, steps=steps, targets=False)
        progress = Progress("Predict", data.steps, data.size, level(verbose, auto=0))
        try:
            with _threads.sharing(threads), BufferPool(), _packed.keeping():
                result = self._outputs(data, progress)
            progress.finish()
        finally:
            progress.close()
        return result

    def _outputs(self, data: Data, progress: Progress) -> Array:
        def forward(x: Array) -> Array:
            y, _ = self.model.forward_batch(x, training=False)
            progress.advance()
            return y

        if isinstance(data, BatchData):
            return np.concatenate([forward(batch.x) for batch in data])
        if data.size <= data.batch_size:  # no examples at all are a batch, too: the output has a shape
            return forward(data.x)
        result: Array | None = None
        start = 0
        for batch in data:
            y = forward(batch.x)
            if result is None:
                result = np.empty((data.size, *y.shape[1:]), y.dtype)
            result[start : start + len(y)] = y
            start += len(y)
        assert result is not None
        return result


def _checkpoints(resume: Any) -> Checkpoints | None:
    if resume is None or isinstance(resume, Checkpoints):
        return resume
    if not isinstance(resume, (str, os.PathLike)):
        raise TypeError(f"resume: expected a folder or Checkpoints, got {type(resume).__name__}")
    return Checkpoints(resume)
