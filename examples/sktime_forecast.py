"""Forecast three years of airline passengers with sktime, and beat its seasonal naive forecast.

The series comes with sktime (144 months, Box & Jenkins 1976). sktime takes the logarithm and the difference to the year
before, and undoes both; what is left is forecast by an LSTM of fastrnn, twelve months at a time, from windows of
twenty-four. `evaluate` refits it for every year, on the years before.

Reached: mean absolute percentage error 0.049 to 0.075 (three seeds); seasonal naive 0.081; 4 seconds.

    pip install 'fastrnn[sktime]' && python examples/sktime_forecast.py [--years 3] [--max-iter 30]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from sktime.datasets import load_airline
from sktime.forecasting.base import ForecastingHorizon
from sktime.forecasting.compose import TransformedTargetForecaster
from sktime.forecasting.model_evaluation import evaluate
from sktime.forecasting.naive import NaiveForecaster
from sktime.performance_metrics.forecasting import MeanAbsolutePercentageError
from sktime.split import ExpandingWindowSplitter
from sktime.transformations.series.boxcox import LogTransformer
from sktime.transformations.series.difference import Differencer

from fastrnn.sklearn import SequenceForecaster
from fastrnn.sktime import RNNForecaster

YEAR = 12


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Run the example; return the mean absolute percentage errors."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--years", type=int, default=3, help="years that are forecast, one after the other")
    parser.add_argument("--units", type=int, default=32)
    parser.add_argument("--max-iter", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", type=int, default=0)
    args = parser.parse_args(argv)

    network = SequenceForecaster(
        args.units,
        window=2 * YEAR,
        learning_rate_init=0.01,
        max_iter=args.max_iter,
        random_state=args.seed,
        verbose=args.verbose,
    )
    forecaster = TransformedTargetForecaster([
        ("log", LogTransformer()),
        ("year", Differencer(lags=YEAR)),
        ("rnn", RNNForecaster(network)),
    ])  # fmt: skip
    passengers = load_airline()
    horizon = ForecastingHorizon(np.arange(1, YEAR + 1))
    split = ExpandingWindowSplitter(horizon, initial_window=len(passengers) - args.years * YEAR, step_length=YEAR)
    errors = {}
    for name, one in (("rnn", forecaster), ("seasonal_naive", NaiveForecaster(sp=YEAR))):
        table = evaluate(
            one, split, passengers, scoring=MeanAbsolutePercentageError(symmetric=False), error_score="raise"
        )
        errors[name] = float(table["test_MeanAbsolutePercentageError"].mean())
        print(f"{name:>15}: mean absolute percentage error {errors[name]:.3f}")
    return errors


if __name__ == "__main__":
    main()
