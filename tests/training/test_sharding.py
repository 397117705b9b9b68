"""fit(distributed=...) with a group of one process, which needs no MPI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from fastrnn import (
    GRU,
    LSTM,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Dense,
    Dropout,
    Input,
    Sequential,
    set_random_seed,
)
from fastrnn.metrics import Metric
from fastrnn.training import gradient_row
from fastrnn.training.group import Group, share

X = np.random.default_rng(0).standard_normal((10, 4, 3), dtype=np.float32)
Y = np.eye(2, dtype=np.float32)[np.arange(10) % 2]


class Rows:
    """A sum in one process, which looks at the order of what is ready."""

    def __init__(self, shards: int, pieces: Sequence[slice], dtype: Any) -> None:
        self.pieces, self.waited = list(pieces), []
        self.rows = np.full((shards, pieces[0].stop), np.nan, dtype)

    def row(self, shard: int) -> Any:
        self.waited = list(range(len(self.pieces)))
        return self.rows[shard]

    def ready(self, shard: int, piece: int, weight: float) -> None:
        assert self.waited.pop(0) == piece
        assert np.isfinite(self.rows[shard, self.pieces[piece]]).all()

    def total(self, weights: Sequence[float], whole: float | None) -> Any:
        assert not self.waited
        return sum(row * row.dtype.type(share(weight, whole)) for row, weight in zip(self.rows, weights, strict=True))


class Alone:
    """A group of one."""

    rank, size = 0, 1

    def __init__(self, shards: int = 4) -> None:
        self.shards = shards
        self.error: Any = "not left"

    def exchange(self, value: Any) -> list[Any]:
        return [value]

    def begin_sum(self, pieces: Sequence[slice], dtype: Any) -> Rows:
        return Rows(self.shards, pieces, dtype)

    def left(self, error: BaseException | None) -> None:
        self.error = error


def fit(group: Group | None, loss: Any = "categorical_crossentropy", rate: float = 0.0) -> Any:
    set_random_seed(3)
    model = Sequential([LSTM(5, recurrent_dropout=rate), Dropout(rate), Dense(2, activation="softmax")])
    model.compile("adam", loss, ["accuracy"])
    model.fit(X, Y, 4, 3, verbose=0, validation_data=(X, Y), distributed=group)
    return model


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
def test_shards_add_up_to_the_batch(reduction):
    from fastrnn.losses import CategoricalCrossentropy

    alone, sharded = (fit(group, CategoricalCrossentropy(reduction=reduction)) for group in (None, Alone(3)))
    assert alone.history.history.keys() == sharded.history.history.keys()
    for name, values in alone.history.history.items():
        np.testing.assert_allclose(sharded.history.history[name], values, rtol=1e-5, err_msg=name)
    for a, b in zip(alone.get_weights(), sharded.get_weights(), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-6)


def test_statistics_of_a_batch_are_refused_while_they_are_trained():
    model = Sequential([Conv1D(4, 2, padding="causal"), BatchNormalization(), GRU(3), Dense(2, "softmax")])
    model.compile("adam", "categorical_crossentropy")
    with pytest.raises(ValueError, match="expected no layer with statistics of a batch, got batch_normalization"):
        model.fit(X, Y, verbose=0, distributed=Alone())
    model.build((None, None, 3))
    model.layers[1].trainable = False
    before = [w.copy() for w in model.layers[1].get_weights()]
    kernel = model.layers[0].get_weights()[0]
    model.fit(X, Y, verbose=0, distributed=Alone())
    for now, old in zip(model.layers[1].get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, old)
    assert (model.layers[0].get_weights()[0] != kernel).any()


def test_gradients_are_handed_on_while_earlier_layers_are_computed(monkeypatch):
    """One after the other in each shard: a layer's backward pass, then the piece that it completes."""
    monkeypatch.setattr(gradient_row, "LEAST", 12)
    seen: list[Any] = []

    class Watched(Dense):
        def backward(self, dy: Any) -> Any:
            seen.append(self.name)
            return super().backward(dy)

        def backward_weights(self, dy: Any) -> None:  # of the first layer
            seen.append(self.name)
            super().backward_weights(dy)

    class Watching(Alone):
        def begin_sum(self, pieces: Sequence[slice], dtype: Any) -> Rows:
            rows = super().begin_sum(pieces, dtype)
            ready = rows.ready
            rows.ready = lambda shard, piece, weight: (seen.append(pieces[piece]), ready(shard, piece, weight))
            return rows

    # Of 15, 18, 8 and 15 numbers: the third waits for the second.
    layers = [Watched(3, name="a"), Dropout(0.1), Watched(2, name="b"), Watched(4, name="c"), Watched(3, name="d")]
    model = Sequential([Input((4,)), *layers])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 4)), np.ones((4, 3)), 4, 1, verbose=0, distributed=Watching(2))
    d, c, rest = slice(35, 50), slice(23, 35), slice(0, 23)
    assert seen == ["d", d, "c", c, "b", "a", rest] * 2


def test_every_shard_draws_its_own_masks():
    """Rows alike, each in a shard of its own: with one mask for all shards their outputs would be alike too."""
    seen = []

    class Watched(Dropout):
        def forward(self, x: Any, mask: Any = None, training: bool = False) -> Any:
            y = super().forward(x, mask, training)
            seen.extend(y)
            return y

    model = Sequential([Watched(0.5, seed=1), Dense(2)])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 64)), Y[:4], 4, 2, verbose=0, shuffle=False, distributed=Alone(4))
    assert len({row.tobytes() for row in seen}) == len(seen) == 8


def test_the_group_is_told_how_fit_ended():
    group = Alone()
    fit(group)
    assert group.error is None
    model = Sequential([Dense(2)])
    model.compile("sgd", "mse", [Counting()])
    with pytest.raises(ValueError, match="expected metrics whose state is a sum"):
        model.fit(X[:, 0], Y, verbose=0, distributed=group)
    assert isinstance(group.error, ValueError)


def test_weights_that_differ_between_ranks_are_found():
    class Other(Alone):
        def exchange(self, value: Any) -> list[Any]:
            place, told = value
            digests = isinstance(told, list) and all(isinstance(v, int) for v in told)
            return [value, (place, told[:1] + [v + 1 for v in told[1:]])] if digests else [value]

    message = "expected all ranks to have the same weights, got others of .*/.* on rank 1"
    with pytest.raises(RuntimeError, match=message):
        fit(Other())


class Counting(Metric):
    """Its state is no sum: it begins at one."""

    default_name = "counting"

    def reset_state(self) -> None:
        super().reset_state()
        self.highest = 1.0

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.highest = max(self.highest, 1.0 + len(y_pred))


@pytest.mark.parametrize("layer", [LSTM(3, stateful=True), Bidirectional(GRU(3, stateful=True))])
def test_stateful_layers_are_refused(layer):
    model = Sequential([layer, Dense(2)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=f"distributed: expected no stateful layer, got {layer.name}"):
        model.fit(X, Y, verbose=0, distributed=Alone())


def test_other_refusals():
    model = Sequential([Input((4, 3), batch_size=5), LSTM(2)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="distributed: expected a model for batches of any size, got batch_size=5"):
        model.fit(X, Y, 5, verbose=0, distributed=Alone())
    with pytest.raises(TypeError, match=r"distributed: expected fastrnn.distributed.MPI\(\) or its like, got int"):
        model.fit(X, Y, 5, verbose=0, distributed=2)
    unbuilt = Sequential([LSTM(2)])
    unbuilt.compile("sgd", "mse")
    with pytest.raises(ValueError, match="distributed: expected a built model where x is an iterable"):
        unbuilt.fit([(X, Y)], verbose=0, distributed=Alone())
