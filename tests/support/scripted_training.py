"""A training without a model, whose figures are given, and a small model."""

from __future__ import annotations

import numpy as np

from fastrnn import Dense, Sequential, callbacks, optimizers


class FakeModel:
    """What callbacks see of a model. Its one weight is the number of the epoch it was trained for."""

    def __init__(self, learning_rate=1.0):
        self.stop_training = False
        self.optimizer = optimizers.SGD(learning_rate)
        self.weights = [np.zeros(1)]
        self.saved = []

    def get_weights(self):
        return self.weights  # not a copy, on purpose

    def set_weights(self, weights):
        self.weights = [w.copy() for w in weights]

    def save(self, path):
        self.saved.append(path)

    def save_weights(self, path):
        self.saved.append("weights:" + path)


def train(callback, figures, model=None, name="val_loss", batches=2, **params):
    """Run the hooks of a training whose epochs end with `figures`; return the model and the epochs run."""
    model = model or FakeModel()
    hooks = callbacks.CallbackList(callback, add_history=True, model=model, epochs=len(figures), **params)
    hooks.on_train_begin()
    for epoch, figure in enumerate(figures):
        hooks.on_epoch_begin(epoch)
        for batch in range(batches):
            hooks.on_train_batch_begin(batch)
            hooks.on_train_batch_end(batch, {"loss": figure})
        model.weights[0][...] = epoch
        hooks.on_epoch_end(epoch, {"loss": figure, name: figure})
        if model.stop_training:
            break
    hooks.on_train_end()
    return model, hooks.history


def regressor():
    model = Sequential([Dense(2)])
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    return model, rng.standard_normal((10, 3)).astype("float32"), rng.standard_normal((10, 2))
