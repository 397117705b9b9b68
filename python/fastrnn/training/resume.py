"""What a checkpoint holds of a run, collected from those who know it and given back to them."""

from __future__ import annotations

from typing import Any

from ..callbacks import CallbackList
from .position import Position
from .step import BatchTrainer, Data

__all__ = ["check", "collect", "restore"]


def collect(trainer: BatchTrainer, data: Data, hooks: CallbackList, position: Position) -> dict[str, Any]:
    """Return the state of a run as dicts, lists, numbers, texts and arrays."""
    model, optimizer = trainer.model, trainer.optimizer
    return {
        "position": position._asdict(),
        "stop_training": trainer.stop_training,
        "input_shape": model.input_shape,
        "weights": [parameter.value for parameter in model.parameters()],
        "layers": [[type(layer).__name__, layer.get_training_state()] for layer in model.layers],
        "optimizer": {
            "class": type(optimizer).__name__,
            # A schedule's follows from the iterations, in `state`.
            "rate": None if optimizer.scheduled else optimizer.learning_rate,
            "state": optimizer.state_dict(),
        },
        "metrics": [[metric.name, metric.get_state()] for metric in trainer.metrics],
        "data": data.get_state(position.batch),
        "callbacks": [[type(callback).__name__, callback.get_state()] for callback in hooks.callbacks],
    }


def check(state: dict[str, Any], trainer: BatchTrainer, data: Data, hooks: CallbackList) -> None:
    """Build the model if need be, and find out whether this is the run that the state is of.

    Raises:
        ValueError: if it has another model, optimizer, data or callbacks.
    """
    model = trainer.model
    classes = [name for name, _ in state["layers"]]
    _compare("layers", classes, [type(layer).__name__ for layer in model.layers])
    _compare("optimizer", state["optimizer"]["class"], type(trainer.optimizer).__name__)
    _compare("metrics", [name for name, _ in state["metrics"]], [metric.name for metric in trainer.metrics])
    _matching(state["callbacks"], hooks)
    data.check_state(state["data"])
    model.ensure_built(tuple(state["input_shape"]))
    parameters = model.parameters()
    _compare("weights", [w.shape for w in state["weights"]], [p.shape for p in parameters])
    _compare("weights", [str(w.dtype) for w in state["weights"]], [str(p.value.dtype) for p in parameters])


def restore(state: dict[str, Any], trainer: BatchTrainer, data: Data, hooks: CallbackList) -> Position:
    """Give each part of the run the state that `collect` took from it, after `check`; return what comes next."""
    model = trainer.model
    data.set_state(state["data"])
    for parameter, value in zip(model.parameters(), state["weights"], strict=True):
        parameter.assign(value)
    for layer, (_, own) in zip(model.layers, state["layers"], strict=True):
        layer.set_training_state(own)
    trainer.optimizer.load_state_dict(state["optimizer"]["state"])
    if state["optimizer"]["rate"] is not None:
        trainer.optimizer.learning_rate = state["optimizer"]["rate"]
    for metric, (_, own) in zip(trainer.metrics, state["metrics"], strict=True):
        metric.set_state(own)
    for callback, own in _matching(state["callbacks"], hooks):
        callback.set_state(own)
    trainer.stop_training = state["stop_training"]
    return Position(**state["position"])


def _matching(saved: list[Any], hooks: CallbackList) -> list[tuple[Any, dict[str, Any]]]:
    """The callbacks with their states, the first of a class with the first of that class. New ones begin anew."""
    left = list(hooks.callbacks)
    found = []
    for name, own in saved:
        callback = next((c for c in left if type(c).__name__ == name), None)
        if callback is not None:
            left.remove(callback)
            found.append((callback, own))
        elif own:  # a missing callback matters if it had a state
            raise ValueError(f"callbacks: expected {name} as in the checkpoint, got {hooks.callbacks}")
    return found


def _compare(argument: str, expected: Any, got: Any) -> None:
    if expected != got:
        raise ValueError(f"resume: expected a checkpoint with {argument} {got}, got one with {expected}")
