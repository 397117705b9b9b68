"""The adding problem: which of the three cells can remember for a hundred steps?

Every step shows a random number in [0, 1) and a marker; the marker is 1 at two steps, one in each half. Wanted at the
end: the sum of the two marked numbers (Hochreiter & Schmidhuber 1997). Always answering 1 gives a mean squared error
of 1/6 = 0.167. An Elman network hardly gets below that, gated cells do.

The LSTM starts with forget gates that remember for 1 to 100 steps ("chrono initialization", Tallec & Ollivier 2018).
With Keras' start, a forget bias of 1, it remembers for three or four steps and takes far longer to get going.

Reached: test MSE SimpleRNN 0.160, LSTM 0.0019, GRU 0.0003 in 22 seconds on one AVX2 core; with the seeds 1
and 2 SimpleRNN no better than always 1, LSTM at most 0.0021, GRU at most 0.0009.

    python examples/adding_problem.py [--steps 100] [--epochs 10]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np

import fastrnn
from fastrnn.layers import GRU, LSTM, Dense, Input, Layer, SimpleRNN
from fastrnn.optimizers import Adam
from fastrnn.schedules import CosineDecay

CELLS = ("SimpleRNN", "LSTM", "GRU")


def cell(name: str, units: int, steps: int, seed: int) -> Layer:
    """Return the recurrent layer called `name`."""
    if name != "LSTM":
        return {"SimpleRNN": SimpleRNN, "GRU": GRU}[name](units)

    def chrono(shape, dtype):
        """Biases of the gates i, f, c, o: a forget gate of sigmoid(log(n)) forgets over some n steps."""
        forget = np.log(np.random.default_rng(seed).uniform(1, steps - 1, units))
        return np.concatenate([-forget, forget, np.zeros(2 * units)]).astype(dtype)

    return LSTM(units, bias_initializer=chrono, unit_forget_bias=False)


def adding(examples: int, steps: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return x (examples, steps, 2): number and marker, and y (examples, 1)."""
    x = np.zeros((examples, steps, 2), np.float32)
    x[:, :, 0] = rng.random((examples, steps))
    rows, half = np.arange(examples), steps // 2
    first, second = rng.integers(0, half, examples), rng.integers(half, steps, examples)
    x[rows, first, 1] = x[rows, second, 1] = 1
    return x, (x[rows, first, 0] + x[rows, second, 0])[:, np.newaxis]


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Run the example; return the mean squared error of each cell on fresh examples."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--units", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", type=int, default=1)
    args = parser.parse_args(argv)

    rng = np.random.default_rng(args.seed)
    x, y = adding(args.examples, args.steps, rng)
    x_test, y_test = adding(2000, args.steps, rng)
    errors = {}
    for name in args.cells:
        fastrnn.set_random_seed(args.seed)
        model = fastrnn.Sequential([Input((args.steps, 2)), cell(name, args.units, args.steps, args.seed), Dense(1)])
        rate = CosineDecay(0.01, args.epochs * -(-args.examples // args.batch_size), alpha=0.02)
        model.compile(Adam(rate, global_clipnorm=1.0), "mse")
        start = time.perf_counter()
        print(name)
        model.fit(x, y, batch_size=args.batch_size, epochs=args.epochs, verbose=args.verbose)
        errors[name] = model.evaluate(x_test, y_test, batch_size=500)
        print(f"{name}: test MSE {errors[name]:.5f} after {time.perf_counter() - start:.0f} s\n")
    print(f"always 1: test MSE {np.mean((y_test - 1) ** 2):.5f}")
    return errors


if __name__ == "__main__":
    main()
