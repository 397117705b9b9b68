"""Callbacks: what `fit` calls around epochs and batches. Names, arguments and behaviour are Keras'.

A model, as seen from here, has ``stop_training``, ``optimizer.learning_rate``, ``get_weights()``,
``set_weights(weights)`` and ``save(path)``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .._log import log
from .._registry import positive
from .._typing import Array
from .base import Callback, Logs
from .monitor import Monitor

__all__ = ["EarlyStopping", "LambdaCallback", "LearningRateScheduler", "ReduceLROnPlateau"]


class EarlyStopping(Callback):
    """Stop when a monitored figure has not improved for `patience` epochs.

    Args:
        monitor: name in the logs.
        min_delta: a smaller change is no improvement.
        patience: epochs without improvement that are tolerated.
        verbose: 1 tells when it acts.
        mode: "min", "max" or "auto" (by the name).
        baseline: improvements short of this figure do not reset the patience.
        restore_best_weights: when training ends, however it ends, go back to the weights of the best epoch.
        start_from_epoch: epochs before this one (counted from 0) are ignored.

    Attributes:
        best, best_epoch: the best figure and its epoch.
        stopped_epoch: the epoch it stopped at, None if it did not.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 1)), fastrnn.GRU(2), fastrnn.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((8, 4, 1), np.float32), np.ones((8, 1), np.float32)
        >>> stop = fastrnn.callbacks.EarlyStopping("loss", min_delta=10.0, patience=2)
        >>> len(model.fit(x, y, epochs=50, verbose=0, callbacks=stop).history["loss"])
        3
    """

    kept = ("wait", "best", "best_epoch", "stopped_epoch", "best_weights")

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__()
        self.monitor = monitor
        self._monitor = Monitor(monitor, mode, min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.best = self._monitor.worst
        self.best_epoch = 0
        self.stopped_epoch: int | None = None

    def on_train_begin(self, logs: Logs = None) -> None:
        """Forget the last training."""
        self.wait = 0
        self.best, self.best_epoch, self.stopped_epoch = self._monitor.worst, 0, None
        self.best_weights: list[Array] | None = None

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Compare, and stop if it is time."""
        current = self._monitor.read(self, logs)
        if current is None or epoch < self.start_from_epoch:
            return
        improved = self._monitor.better(current, self.best)
        # The first epoch's weights are kept in any case: with a figure that is NaN from the start there are no better.
        if improved or (self.restore_best_weights and self.best_weights is None):
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.best_weights = [w.copy() for w in self.model.get_weights()]
        self.wait += 1
        if improved:
            self.best = current
            if self.baseline is None or self._monitor.better(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            log.info(
                "epoch %d: early stopping, the best was %s %g in %d",
                epoch + 1,
                self._monitor.name,
                self.best,
                self.best_epoch + 1,
            )
            self.model.stop_training = True

    def on_train_end(self, logs: Logs = None) -> None:
        """Restore the best weights, if asked to."""
        if self.stopped_epoch is not None and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                print(f"Restoring the weights of epoch {self.best_epoch + 1}, the best.")
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(Callback):
    """Multiply the learning rate by `factor` when a monitored figure has not improved for `patience` epochs.

    Args:
        monitor, verbose, mode: see `EarlyStopping`.
        factor: in (0, 1).
        patience: epochs without improvement before the rate is reduced.
        min_delta: a smaller change is no improvement.
        cooldown: epochs to wait after a reduction before counting again.
        min_lr: lower bound of the rate.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 1)), fastrnn.GRU(2), fastrnn.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((8, 4, 1), np.float32), np.ones((8, 1), np.float32)
        >>> reduce = fastrnn.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=10.0)
        >>> history = model.fit(x, y, epochs=3, verbose=0, callbacks=reduce)
        >>> model.optimizer.learning_rate < 0.001
        True
    """

    kept = ("best", "wait", "cooldown_counter")

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 < factor < 1:
            raise ValueError(f"factor: expected a number in (0, 1), got {factor!r}")
        self.monitor = monitor
        self._monitor = Monitor(monitor, mode, min_delta)
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = positive("min_lr", min_lr, zero=True)

    def on_train_begin(self, logs: Logs = None) -> None:
        """Forget the last training."""
        self.best = self._monitor.worst
        self.wait = 0
        self.cooldown_counter = 0

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Compare, and reduce if it is time."""
        rate = float(self.model.optimizer.learning_rate)
        if logs is not None:
            logs["learning_rate"] = rate
        current = self._monitor.read(self, logs)
        if current is None:
            return
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.wait = 0
        if self._monitor.better(current, self.best):
            self.best = current
            self.wait = 0
        elif self.cooldown_counter <= 0:
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                new = max(rate * self.factor, self.min_lr)
                self.model.optimizer.learning_rate = new
                log.info("epoch %d: learning rate %g -> %g", epoch + 1, rate, new)
                if self.verbose:
                    print(f"Epoch {epoch + 1}: learning rate {rate:g} -> {new:g}")
                self.cooldown_counter = self.cooldown
                self.wait = 0


class LearningRateScheduler(Callback):
    """Set the learning rate at the beginning of every epoch.

    Args:
        schedule: ``schedule(epoch, rate) -> rate``, or ``schedule(epoch)``; epochs counted from 0.
        verbose: 1 tells.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 1)), fastrnn.GRU(2), fastrnn.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((8, 4, 1), np.float32), np.ones((8, 1), np.float32)
        >>> halve = fastrnn.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
        >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=halve)
        >>> model.optimizer.learning_rate
        0.00025
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule = schedule
        self.verbose = verbose
        try:
            inspect.signature(schedule).bind(0, 0.0)
            self._takes_rate = True
        except TypeError:
            self._takes_rate = False

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Ask the schedule and set the rate."""
        rate = float(self.model.optimizer.learning_rate)
        new = self.schedule(epoch, rate) if self._takes_rate else self.schedule(epoch)
        try:
            new = float(new)
        except TypeError:
            raise TypeError(f"schedule: expected it to return a float, got {type(new).__name__}") from None
        self.model.optimizer.learning_rate = new
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {new:g}")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Put the rate into the logs."""
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)


class LambdaCallback(Callback):
    """A callback from functions: ``LambdaCallback(on_epoch_end=lambda epoch, logs: ...)``.

    Args:
        **hooks: any hooks of `Callback` by name, called with the hook's arguments: ``(logs)`` for train and test,
            ``(epoch, logs)`` and ``(batch, logs)`` for the others.

    Raises:
        ValueError: a name that is no hook.
        TypeError: a hook that cannot be called.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 1)), fastrnn.GRU(2), fastrnn.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((8, 4, 1), np.float32), np.ones((8, 1), np.float32)
        >>> tell = fastrnn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print("epoch", epoch))
        >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=tell)
        epoch 0
        epoch 1
    """

    def __init__(self, **hooks: Callable[..., Any] | None) -> None:
        super().__init__()
        known = [name for name in vars(Callback) if name.startswith("on_")]
        for name, function in hooks.items():
            if name not in known:
                raise ValueError(f"LambdaCallback: expected one of {', '.join(known)}, got {name!r}")
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"{name}: expected a function, got {type(function).__name__}")
            setattr(self, name, function)
