"""The hooks around epochs and batches, and how several callbacks act as one. The callbacks are in `callbacks`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from .._hints import kind_of, warn

Logs = dict[str, Any] | None


class Callback:
    """Base class; every hook does nothing. `logs` maps names such as "loss" to numbers.

    Attributes:
        model: the model being trained.
        params: "epochs", "steps", "samples" and "verbose" of the call to `fit`.
        kept: names of the attributes that change while training and are to be what they were when a run is resumed; of
            a class.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 1)), fastrnn.GRU(2), fastrnn.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((8, 4, 1), np.float32), np.ones((8, 1), np.float32)
        >>> class Tell(fastrnn.callbacks.Callback):
        ...     def on_epoch_end(self, epoch, logs=None):
        ...         print(epoch, sorted(logs))
        ...
        >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=Tell())
        0 ['loss']
        1 ['loss']
    """

    kept: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.model: Any = None
        self.params: dict[str, Any] = {}

    def __repr__(self) -> str:
        """The name, and those arguments of the constructor that are not at their default, as far as they were kept."""
        arguments = inspect.signature(type(self)).parameters.values()
        kept = [(a.name, repr(vars(self)[a.name]), repr(a.default)) for a in arguments if a.name in vars(self)]
        shown = [f"{name}={value}" for name, value, default in kept if value != default]
        return f"{type(self).__name__}({', '.join(shown)})"

    def get_state(self) -> dict[str, Any]:
        """What a checkpoint holds of the callback: numbers, texts, arrays, None, and lists and dicts of these."""
        return {name: getattr(self, name) for name in self.kept}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` returned; called after `on_train_begin`."""
        for name, value in state.items():
            setattr(self, name, value)

    def set_model(self, model: Any) -> None:
        """Take the model, before training."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Take the parameters of `fit`, before training."""
        self.params = params

    def on_train_begin(self, logs: Logs = None) -> None:
        """Called once, before the first epoch."""

    def on_train_end(self, logs: Logs = None) -> None:
        """Called once, after the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Called before epoch `epoch`, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Called after epoch `epoch` and its validation; `logs` has "loss", metrics and ``"val_..."`` of both."""

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called before batch `batch` of the epoch, counted from 0."""

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called after batch `batch`; `logs` are the means over the epoch so far."""

    def on_test_begin(self, logs: Logs = None) -> None:
        """Called before an evaluation."""

    def on_test_end(self, logs: Logs = None) -> None:
        """Called after an evaluation."""

    def on_test_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Called before a batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Called after a batch of an evaluation."""


class History(Callback):
    """Record the logs of every epoch.

    Attributes:
        epoch: the epochs' numbers.
        history: name to the list of its values, one per epoch.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 1)), fastrnn.GRU(2), fastrnn.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((8, 4, 1), np.float32), np.ones((8, 1), np.float32)
        >>> history = model.fit(x, y, epochs=3, verbose=0)
        >>> history.epoch, sorted(history.history)
        ([0, 1, 2], ['loss'])
    """

    kept = ("epoch", "history")

    def __init__(self) -> None:
        super().__init__()
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def __repr__(self) -> str:
        last = {name: values[-1] for name, values in self.history.items()}  # a callback may log what is no number
        shown = (f", {k}={f'{v:.4g}' if isinstance(v, (int, float)) else repr(v)}" for k, v in last.items())
        return f"History({len(self.epoch)} epochs{''.join(shown)})"

    def plot(self, names: str | Sequence[str] = "loss", ax: Any = None, *, log: bool = False) -> Any:
        """Draw figures of the epochs and return the Axes; see `fastrnn.plot.learning_curves`. Needs matplotlib."""
        from ..plot import learning_curves

        return learning_curves(self, names, ax, log=log)

    def on_train_begin(self, logs: Logs = None) -> None:
        """Start anew."""
        self.epoch, self.history = [], {}

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Append the logs."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class DivergenceWarning(RuntimeWarning):
    """The loss of a `fit` is not a finite number any more.

    Example:
        >>> import warnings
        >>> warnings.simplefilter("ignore", fastrnn.callbacks.DivergenceWarning)
    """


class TerminateOnNaN(Callback):
    """Stop training when the loss is NaN or infinite.

    Example:
        >>> model = fastrnn.Sequential([fastrnn.Input((None, 1)), fastrnn.GRU(2), fastrnn.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((8, 4, 1), np.float32), np.ones((8, 1), np.float32)
        >>> history = model.fit(x, y, verbose=0, callbacks=fastrnn.callbacks.TerminateOnNaN())
    """

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Look at the loss."""
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            print(f"Batch {batch}: invalid loss ({loss}), terminating training")
            self.model.stop_training = True


class _Watch(Callback):
    """Warn, once, when the loss is NaN or infinite."""

    kept = ("_warned",)

    def on_train_begin(self, logs: Logs = None) -> None:
        self._warned = False

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not self._warned and not math.isfinite(loss):
            self._warned = True
            warn(
                f"loss became {loss} in epoch {self._epoch + 1}, batch {batch + 1}; a lower learning rate, or "
                "clipnorm=1 of the optimizer, may help; the callback TerminateOnNaN ends training there",
                DivergenceWarning,
            )


class CallbackList(Callback):
    """Several callbacks as one; they are called in order.

    Args:
        callbacks: a callback, several, or None.
        add_history: append a `History` if there is none.
        add_progbar: append a `ProgressBar` if there is none.
        add_watch: append what warns of a loss that is not finite, unless a `TerminateOnNaN` tells of it.
        model: given to `set_model`.
        **params: given to `set_params`.

    Attributes:
        callbacks: the list.
        history: the first `History` in it, or None.

    Example:
        >>> several = fastrnn.callbacks.CallbackList([fastrnn.callbacks.History()])
        >>> several.on_train_begin()
        >>> several.on_epoch_end(0, {"loss": 0.5})
        >>> several.callbacks[0].history
        {'loss': [0.5]}
    """

    def __init__(
        self,
        callbacks: Callback | Iterable[Callback] | None = None,
        *,
        add_history: bool = False,
        add_progbar: bool = False,
        add_watch: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        super().__init__()
        self.callbacks = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or [])
        for index, callback in enumerate(self.callbacks):
            if not isinstance(callback, Callback):
                got = f"{kind_of(callback)} at index {index}"
                raise TypeError(f"callbacks: expected Callback objects, got {got}")
        if add_progbar:
            from .progress import ProgressBar

            if not any(isinstance(c, ProgressBar) for c in self.callbacks):
                self.callbacks.append(ProgressBar())
        if add_watch and not any(isinstance(c, TerminateOnNaN) for c in self.callbacks):
            self.callbacks.append(_Watch())
        self.history = next((c for c in self.callbacks if isinstance(c, History)), None)
        if add_history and self.history is None:
            self.history = History()
            self.callbacks.append(self.history)
        if model is not None:
            self.set_model(model)
        if params:
            self.set_params(params)

    def __repr__(self) -> str:
        return f"CallbackList({self.callbacks!r})"

    def set_model(self, model: Any) -> None:
        """Hand on to every callback."""
        super().set_model(model)
        self._each("set_model", model)

    def set_params(self, params: dict[str, Any]) -> None:
        """Hand on to every callback."""
        super().set_params(params)
        self._each("set_params", params)

    def _each(self, hook: str, *args: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(*args)

    def on_train_begin(self, logs: Logs = None) -> None:
        """Hand on to every callback."""
        self._each("on_train_begin", logs)

    def on_train_end(self, logs: Logs = None) -> None:
        """Hand on to every callback."""
        self._each("on_train_end", logs)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Hand on to every callback."""
        self._each("on_epoch_begin", epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Hand on to every callback."""
        self._each("on_epoch_end", epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Hand on to every callback."""
        self._each("on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Hand on to every callback."""
        self._each("on_train_batch_end", batch, logs)

    def on_test_begin(self, logs: Logs = None) -> None:
        """Hand on to every callback."""
        self._each("on_test_begin", logs)

    def on_test_end(self, logs: Logs = None) -> None:
        """Hand on to every callback."""
        self._each("on_test_end", logs)

    def on_test_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Hand on to every callback."""
        self._each("on_test_batch_begin", batch, logs)

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Hand on to every callback."""
        self._each("on_test_batch_end", batch, logs)
