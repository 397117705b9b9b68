"""A small amplifier model, trained here, written as Neural Amp Modeler and RTNeural write theirs, and read back.

The amplifier is a formula: a high pass, a drive into an asymmetric tanh whose bias sags with loudness, a low pass. One
LSTM of 16 units and a Dense learn it from a few seconds of sound at 48 kHz: the size of a "feather" model. The states
before the first sample are learned, as NAM's are; RTNeural's file has none and begins with zeros.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import fastrnn
from fastrnn import LSTM, Dense, Input, Sequential
from fastrnn.interop import nam, rtneural

from .models_audio import voice
from .work import Array

RATE = 48000
UNITS = 16
WINDOW = 2048  # samples of an example


def amplifier(x: Array) -> Array:
    """What the model has to learn: samples (T,) to samples (T,)."""
    y = np.empty(len(x))
    low = sag = previous = 0.0
    for t, sample in enumerate(x.astype(np.float64)):
        previous, high = sample, sample - 0.95 * previous
        sag += 0.0005 * (abs(high) - sag)
        driven = np.tanh(12 * high + 0.2 - 2 * sag) - np.tanh(0.2 - 2 * sag)
        low += 0.35 * (driven - low)
        y[t] = low
    return y.astype(np.float32)


def build(learned: bool) -> Sequential:
    """One LSTM and its head; with states of its own before the first sample, or zeros."""
    layers = [LSTM(UNITS, return_sequences=True, learned_initial_state=learned), Dense(1)]
    return Sequential([Input((None, 1)), *layers])


@dataclass(frozen=True)
class Amp:
    """A trained model, a sound that it did not see, and what is left of the amplifier: the error-to-signal ratio."""

    model: Sequential
    sound: Array
    error: float


def train(seconds: float = 6.0, epochs: int = 60, seed: int = 0) -> Amp:
    """Train on a voice; the last quarter of it is kept apart."""
    fastrnn.set_random_seed(seed)
    sound = voice(RATE, seconds)
    target = amplifier(sound)
    count = len(sound) // WINDOW
    x, y = (array[: count * WINDOW].reshape(count, WINDOW, 1) for array in (sound, target))
    learnt = count * 3 // 4
    model = build(learned=True)
    model.compile(fastrnn.optimizers.Adam(0.01, global_clipnorm=1.0), "mse")
    model.fit(x[:learnt], y[:learnt], epochs=epochs, batch_size=16, verbose=0)
    rest = sound[learnt * WINDOW :]
    wanted = target[learnt * WINDOW :]
    error = model.predict(rest[None, :, None])[0, :, 0] - wanted
    warm = WINDOW  # the amplifier is in the middle of a phrase there, and the model begins
    return Amp(model, rest, float(np.square(error[warm:]).sum() / np.square(wanted[warm:]).sum()))


def read_back(amp: Amp, folder: Path) -> dict[str, tuple[Sequential, float]]:
    """Each format's name, the model as its file gives it, and how far its samples are from the trained model's."""
    from_zeros = build(learned=False)
    kernel, recurrent, bias, *_ = amp.model.layers[0].get_weights()
    from_zeros.set_weights([kernel, recurrent, bias, *amp.model.layers[1].get_weights()])
    nam.save(amp.model, folder / "amp.nam", RATE)
    rtneural.save(from_zeros, folder / "amp.json")
    made = {
        "NAM": (amp.model, nam.load(folder / "amp.nam")),
        "RTNeural": (from_zeros, rtneural.load(folder / "amp.json")),
    }
    x = amp.sound[:, None, None]
    result = {}
    for name, (trained, read) in made.items():
        expected = trained.predict(x[None, :, 0])[0]
        streamed = fastrnn.Session(read.to_native()).run(x)[:, 0]
        result[name] = (read, float(np.abs(streamed - expected).max()))
    return result


def models(amp: Amp) -> dict[str, tuple[Sequential, float]]:
    """`read_back` by way of a folder that is removed."""
    with tempfile.TemporaryDirectory() as folder:
        return read_back(amp, Path(folder))
