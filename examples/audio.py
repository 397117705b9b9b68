"""Hear what a noisy sound does: classify tones, chirps and pulses from their spectrograms.

Half a second at 8 kHz of a steady tone, a rising or falling chirp, a warble (the pitch swings) or a pulse train (the
tone goes on and off), at random pitch, loudness and phase, in noise as strong as the sound. A NumPy FFT turns it into
30 frames of 65 bands; a bidirectional GRU reads the frames. No single frame tells the classes apart: the order does.

Reached: test accuracy 0.935 to 0.982 over the seeds 0 to 4 (guessing: 0.2), 12 seconds on one AVX2 core. The figure
also changes in its second place when something rounds differently, as another instruction set does.

    python examples/audio.py [--epochs 10] [--units 32] [--noise 1.0]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

import fastrnn
from fastrnn.data import to_categorical, windows
from fastrnn.layers import GRU, Bidirectional, Dense, Input
from fastrnn.optimizers import Adam

RATE = 8000
SAMPLES = 4000
CLASSES = ("tone", "rising", "falling", "warble", "pulses")


def sounds(count: int, noise: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return waveforms (count, SAMPLES) and classes (count,); `noise` is its power relative to a full-on tone."""
    t = np.arange(SAMPLES) / RATE
    classes = rng.integers(0, len(CLASSES), count)
    waves = np.empty((count, SAMPLES), np.float32)
    for wave, kind in zip(waves, classes, strict=True):
        pitch = np.full(SAMPLES, rng.uniform(500, 3000))
        sweep = rng.uniform(300, 900)
        if CLASSES[kind] in ("rising", "falling"):
            sign = 1 if CLASSES[kind] == "rising" else -1
            pitch += sign * sweep * (t / t[-1] - 0.5)
        elif CLASSES[kind] == "warble":
            pitch += sweep / 2 * np.sin(2 * np.pi * (rng.uniform(4, 8) * t + rng.random()))
        wave[:] = np.sin(2 * np.pi * (np.cumsum(pitch) / RATE + rng.random()))
        if CLASSES[kind] == "pulses":
            wave *= np.sin(2 * np.pi * (rng.uniform(4, 8) * t + rng.random())) > 0
        wave += rng.normal(0, np.sqrt(noise / 2), SAMPLES)
        wave *= rng.uniform(0.2, 1.0)
    return waves, classes


def spectrogram(waves: np.ndarray, size: int = 128) -> np.ndarray:
    """Return log power (N, frames, size // 2 + 1) of Hann-windowed frames, each sound normalised on its own."""
    frames = np.stack([windows(wave, size, size) for wave in waves])[:, :30] * np.hanning(size)
    power = np.log(np.abs(np.fft.rfft(frames, axis=-1)) ** 2 + 1e-6)
    power -= power.mean(axis=(1, 2), keepdims=True)
    return (power / power.std(axis=(1, 2), keepdims=True)).astype(np.float32)


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Run the example; return {"accuracy": ...} on fresh sounds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--units", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--examples", type=int, default=8000)
    parser.add_argument("--noise", type=float, default=1.0, help="power of the noise; 1: as strong as the sound")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", type=int, default=1)
    args = parser.parse_args(argv)
    fastrnn.set_random_seed(args.seed)

    rng = np.random.default_rng(args.seed)
    waves, classes = sounds(args.examples, args.noise, rng)
    test_waves, test_classes = sounds(max(1, args.examples // 4), args.noise, rng)
    x, x_test = spectrogram(waves), spectrogram(test_waves)

    model = fastrnn.Sequential(
        [Input(x.shape[1:]), Bidirectional(GRU(args.units)), Dense(len(CLASSES), activation="softmax")]
    )
    model.compile(Adam(0.003), "categorical_crossentropy", ["accuracy"])
    model.fit(
        x,
        to_categorical(classes, len(CLASSES)),
        batch_size=args.batch_size,
        epochs=args.epochs,
        validation_split=0.1,
        verbose=args.verbose,
    )
    guesses = model.predict(x_test, batch_size=256).argmax(axis=1)
    for number, name in enumerate(CLASSES):
        share = np.bincount(guesses[test_classes == number], minlength=len(CLASSES)) / max(
            1, (test_classes == number).sum()
        )
        print(f"{name:>8}: " + "  ".join(f"{c} {s:.0%}" for c, s in zip(CLASSES, share, strict=True) if s >= 0.005))
    accuracy = float((guesses == test_classes).mean())
    print(f"test accuracy: {accuracy:.4f}")
    return {"accuracy": accuracy}


if __name__ == "__main__":
    main()
