"""See which way a digit moves: a tiny video classifier.

A digit of scikit-learn's (8 x 8 pixels) drifts over a noisy 16 x 16 frame in one of eight directions, for eight
frames. It starts anywhere, and what leaves at one edge comes in at the other: a single frame tells nothing about the
direction. A Dense layer, the same for every frame (TimeDistributed), looks; an LSTM compares one frame with the next.
The digits that test are not among those that train.

Reached: test accuracy 0.998 (guessing: 0.125), 8 seconds on one AVX2 core; 0.997 with the seed 1.

    python examples/video.py [--epochs 10] [--units 64]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from sklearn.datasets import load_digits

import fastrnn
from fastrnn.data import train_test_split
from fastrnn.layers import LSTM, Dense, Input, TimeDistributed
from fastrnn.optimizers import Adam

SIZE = 16  # of a frame
FRAMES = 8
DIRECTIONS = {
    "E": (0, 1),
    "NE": (-1, 1),
    "N": (-1, 0),
    "NW": (-1, -1),
    "W": (0, -1),
    "SW": (1, -1),
    "S": (1, 0),
    "SE": (1, 1),
}


def videos(digits: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return frames (count, FRAMES, SIZE * SIZE) and direction numbers (count,)."""
    steps = np.array(list(DIRECTIONS.values()))
    directions = rng.integers(0, len(steps), count)
    frames = rng.normal(0, 0.3, (count, FRAMES, SIZE, SIZE)).astype(np.float32)
    for video, direction in zip(frames, directions, strict=True):
        digit = digits[rng.integers(len(digits))]
        sight = np.zeros((SIZE, SIZE), np.float32)
        sight[:8, :8] = digit
        sight = np.roll(sight, rng.integers(SIZE, size=2), axis=(0, 1))
        for time, frame in enumerate(video):
            frame += np.roll(sight, time * steps[direction], axis=(0, 1))
    return frames.reshape(count, FRAMES, SIZE * SIZE), directions


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Run the example; return {"accuracy": ...} on digits not trained on."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--examples", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", type=int, default=1)
    args = parser.parse_args(argv)
    fastrnn.set_random_seed(args.seed)

    rng = np.random.default_rng(args.seed)
    train, test = train_test_split(load_digits().images / 16.0, seed=args.seed)
    x, y = videos(train, args.examples, rng)
    x_test, y_test = videos(test, max(1, args.examples // 4), rng)

    model = fastrnn.Sequential(
        [
            Input((FRAMES, SIZE * SIZE)),
            TimeDistributed(Dense(args.units, activation="relu")),
            LSTM(args.units),
            Dense(len(DIRECTIONS), activation="softmax"),
        ]
    )
    model.compile(Adam(0.003), "sparse_categorical_crossentropy", ["accuracy"])
    model.fit(x, y, batch_size=args.batch_size, epochs=args.epochs, validation_split=0.1, verbose=args.verbose)
    accuracy = model.evaluate(x_test, y_test, batch_size=256, return_dict=True)["accuracy"]
    print(f"test accuracy: {accuracy:.4f} (guessing: {1 / len(DIRECTIONS):.4f})")
    return {"accuracy": accuracy}


if __name__ == "__main__":
    main()
