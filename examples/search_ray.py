"""Search units and learning rate with Ray Tune, whose ASHA scheduler ends the trials that fall behind.

Each trial runs on one core, in a process of its own. `fit` calls a function after each epoch, which reports the loss;
Ray Tune ends a trial there.

    pip install fastrnn 'ray[tune]' && python examples/search_ray.py [--trials 20] [--workers 2]
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.basic_variant import BasicVariantGenerator

from fastrnn import LSTM, Dense, Sequential
from fastrnn.callbacks import LambdaCallback
from fastrnn.optimizers import Adam


def waves(rows: int, seed: int) -> tuple[Any, Any]:
    """Noisy sines (rows, 40, 1) and their frequencies (rows, 1)."""
    random = np.random.default_rng(seed)
    frequency, phase = random.uniform(0.1, 1, (rows, 1)), random.uniform(0, 6, (rows, 1))
    x = np.sin(frequency * np.arange(40) + phase) + 0.1 * random.standard_normal((rows, 40))
    return x[..., np.newaxis].astype(np.float32), frequency.astype(np.float32)


def train(setting: dict[str, Any]) -> None:
    """One trial."""
    model = Sequential([LSTM(setting["units"]), Dense(1)])
    model.compile(Adam(setting["learning_rate"]), "mse")
    report = LambdaCallback(on_epoch_end=lambda epoch, logs: tune.report({"val_loss": logs["val_loss"]}))
    model.fit(
        *waves(1000, 0), epochs=setting["epochs"], validation_data=waves(200, 1), verbose=0, threads=1, callbacks=report
    )


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Run the recipe; return the least loss, and how many trials were run and stopped early."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", help="for the results of the trials; ~/ray_results if left out")
    given = parser.parse_args(argv)
    ray.init(num_cpus=given.workers)
    space = {"units": tune.lograndint(4, 65), "learning_rate": tune.loguniform(1e-4, 1e-1), "epochs": given.epochs}
    scheduler = ASHAScheduler(max_t=given.epochs, grace_period=1, reduction_factor=2)
    config = tune.TuneConfig(
        metric="val_loss", mode="min", num_samples=given.trials, scheduler=scheduler, reuse_actors=True,
        search_alg=BasicVariantGenerator(random_state=0),
    )  # fmt: skip
    run_config = tune.RunConfig(storage_path=given.folder and os.path.abspath(given.folder))
    results = tune.Tuner(train, param_space=space, tune_config=config, run_config=run_config).fit()
    best = results.get_best_result(scope="all")
    loss = float(best.metrics_dataframe["val_loss"].min())
    stopped = sum(result.metrics["training_iteration"] < given.epochs for result in results)
    print(f"loss {loss:.4f} by {best.config}; {len(results)} trials, {stopped} of them stopped early")
    return {"loss": loss, "trials": len(results), "stopped": stopped}


if __name__ == "__main__":
    main()
