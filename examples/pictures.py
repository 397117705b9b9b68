"""Draw the pictures of docs/plots.md: how networks learn to remember, and what goes on inside of them.

Two LSTMs are told one of four keys at the first step, and have to name it after forty steps of noise. One begins with
forget gates at 0.73, as usual, through which the gradient vanishes on the way back; the other with gates almost open
(forget_bias=4). A GRU forecasts a sum of two waves.

Reached, on new sequences: 0.73 of the keys named by the first, which never tells two of them apart, 1.00 by the second;
9 seconds.

    pip install 'fastrnn[plot]' && python examples/pictures.py --out docs/plots [--epochs 25]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

import fastrnn
from fastrnn import plot
from fastrnn.data import Scaler, forecast_windows, split_by_time
from fastrnn.layers import GRU, LSTM, Dense, Input, SimpleRNN
from fastrnn.optimizers import Adam

KEYS = 4


def keys(count: int, steps: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sequences (count, steps, KEYS) of noise, whose first step says the key, and the keys."""
    key = rng.integers(0, KEYS, count)
    x = rng.normal(0, 0.3, (count, steps, KEYS)).astype(np.float32)
    x[np.arange(count), 0, key] += 3
    return x, key


def save(ax: object, folder: Path, name: str) -> None:
    """Write the figure of the Axes to a file."""
    figure = np.ravel(ax)[0].figure  # type: ignore[call-overload]
    figure.savefig(folder / f"{name}.png", dpi=80)
    plt.close(figure)


def draw_cells(x: np.ndarray, y: np.ndarray) -> Axes:
    """How the gradient of the loss flows back through the h of three layers that nothing has trained yet."""
    ax = plt.subplots(figsize=(5, 3), layout="constrained")[1]
    ax.set_title("before training")
    for layer in (
        SimpleRNN(16, name="SimpleRNN"),
        LSTM(16, name="LSTM"),
        LSTM(16, forget_bias=4.0, unit_forget_bias=False, name="LSTM, forget gates open"),
    ):
        fastrnn.set_random_seed(3)
        model = fastrnn.Sequential([Input((None, KEYS)), layer, Dense(KEYS, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        plot.gradient_flow(model, x, y, ax, of="h")
    return ax


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Run the example; return the accuracies of the two networks on new sequences."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("."))
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--examples", type=int, default=1500)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--units", type=int, default=16)
    parser.add_argument("--verbose", type=int, default=0)
    args = parser.parse_args(argv)
    plt.switch_backend("Agg")
    args.out.mkdir(parents=True, exist_ok=True)
    fastrnn.set_random_seed(3)
    rng = np.random.default_rng(0)
    x, y = keys(args.examples, args.steps, rng)
    x_new, y_new = keys(400, args.steps, rng)

    accuracy = {}
    models = {}
    for name, forget_bias in (("usual", 0.0), ("open", 4.0)):
        network = [
            Input((None, KEYS)),
            LSTM(args.units, return_sequences=True, forget_bias=forget_bias, name="lstm_1"),
            LSTM(args.units, forget_bias=forget_bias, name="lstm_2"),
            Dense(KEYS, activation="softmax", name="key"),
        ]
        model = fastrnn.Sequential(network)
        model.compile(Adam(0.003, global_clipnorm=1.0), "sparse_categorical_crossentropy", ["accuracy"])
        if name == "open":
            save(plot.model(model), args.out, "model")
        ax = plt.subplots(figsize=(5, 3), layout="constrained")[1]
        ax.set_title(f"forget gates {name}, before training")
        save(plot.gradient_flow(model, x[:64], y[:64], ax), args.out, f"gradients_{name}")
        history = model.fit(x, y, epochs=args.epochs, validation_split=0.2, verbose=args.verbose)
        models[name] = model
        accuracy[name] = float((model.predict(x_new).argmax(axis=1) == y_new).mean())
        if name == "usual":
            save(history.plot(["loss", "accuracy"]), args.out, "curves")
            save(plot.confusion_matrix(y_new, model.predict(x_new), ["A", "B", "C", "D"]), args.out, "confusion")
    save(plot.activation_maps(models["open"], x_new[:1], "lstm_1"), args.out, "activations")

    time = np.arange(1200)
    waves = np.sin(time * 0.21) + 0.6 * np.sin(time * 0.083 + 1) + rng.normal(0, 0.1, len(time))
    past, future = split_by_time(waves[:, None].astype(np.float32), test_size=0.2)
    scaler = Scaler().fit(past)
    model = fastrnn.Sequential([Input((None, 1)), GRU(args.units), Dense(30)])
    model.compile(Adam(0.005), "mse")
    windows, targets = forecast_windows(scaler.transform(past), 60, 30)
    model.fit(windows, targets[:, :, 0], epochs=max(1, args.epochs // 2), verbose=args.verbose)
    said = scaler.inverse_transform(model.predict(scaler.transform(future[None, :60]))[0][:, None])
    save(plot.forecast(future[:60, 0], said[:, 0], future[60:90, 0], start=len(past)), args.out, "forecast")
    save(draw_cells(x[:64], y[:64]), args.out, "gradients_cells")  # last, as it sets the seed
    print(", ".join(f"{name}: {value:.3f}" for name, value in accuracy.items()), "of the keys named")
    return accuracy


if __name__ == "__main__":
    main()
