"""Search units and learning rate with Optuna, which ends the trials that fall behind.

`fit` calls a function after each epoch, which tells Optuna the loss, and raises TrialPruned if Optuna says so: pruning
needs no callback of its own. Several processes share a search by `--storage FILE`: run the same command twice.

    pip install fastrnn optuna && python examples/search_optuna.py [--trials 20] [--storage search.log]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.storages.journal import JournalFileBackend, JournalStorage

from fastrnn import LSTM, Dense, Sequential
from fastrnn.callbacks import LambdaCallback
from fastrnn.optimizers import Adam


def waves(rows: int, seed: int) -> tuple[Any, Any]:
    """Noisy sines (rows, 40, 1) and their frequencies (rows, 1)."""
    random = np.random.default_rng(seed)
    frequency, phase = random.uniform(0.1, 1, (rows, 1)), random.uniform(0, 6, (rows, 1))
    x = np.sin(frequency * np.arange(40) + phase) + 0.1 * random.standard_normal((rows, 40))
    return x[..., np.newaxis].astype(np.float32), frequency.astype(np.float32)


def objective(trial: optuna.Trial, epochs: int) -> float:
    """The least loss on data that the model has not seen."""
    model = Sequential([LSTM(trial.suggest_int("units", 4, 64, log=True)), Dense(1)])
    model.compile(Adam(trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)), "mse")

    def report(epoch: int, logs: dict[str, float]) -> None:
        trial.report(logs["val_loss"], epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    history = model.fit(
        *waves(1000, 0), epochs=epochs, validation_data=waves(200, 1), verbose=0, threads=1,
        callbacks=LambdaCallback(on_epoch_end=report),
    )  # fmt: skip
    return min(history.history["val_loss"])


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Run the recipe; return the least loss, and how many trials were run and pruned."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--storage", help="a file that processes share")
    given = parser.parse_args(argv)
    study = optuna.create_study(
        study_name="waves", load_if_exists=True, sampler=optuna.samplers.TPESampler(seed=None if given.storage else 0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
        storage=JournalStorage(JournalFileBackend(given.storage)) if given.storage else None,
    )  # fmt: skip
    study.optimize(lambda trial: objective(trial, given.epochs), n_trials=given.trials)
    pruned = sum(trial.state is optuna.trial.TrialState.PRUNED for trial in study.trials)
    print(f"loss {study.best_value:.4f} by {study.best_params}; {len(study.trials)} trials, {pruned} of them pruned")
    return {"loss": study.best_value, "trials": len(study.trials), "pruned": pruned}


if __name__ == "__main__":
    main()
