"""``python -m fastrnn demo``: train a small language model on text that comes with Python, in half a minute.

The model reads characters and predicts the next one. It is trained on the first nine tenths of Python's help topics
and judged on the last tenth.
"""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

import numpy as np

from .._typing import Array
from ..callbacks.base import Callback, Logs
from ..config import set_random_seed
from ..data import CharVocabulary, WordVocabulary, python_topics, windows
from ..layers import LSTM, Dense, Embedding, Input
from ..layers.recurrent.base import Recurrent
from ..model import Sequential
from ..optimizers import Adam
from ..saving import check_path
from ..schedules import CosineDecay
from ._console import at_least_1

__all__ = ["TimeLimit", "character_model", "generate", "next_character_windows", "run", "sample"]

HELP = "train a small character language model, half a minute, nothing is downloaded"
DESCRIPTION = (
    "Train an LSTM on Python's own help texts, report perplexity on held-out text and the speed of training, save the "
    "model with its vocabulary, and print a sample of what it writes; or, with --sample, print a sample of a model "
    "that was saved before."
)
EXAMPLES = """examples:
  fastrnn demo
  fastrnn demo --units 256 --seconds 120 --out larger.npz
  fastrnn demo --sample fastrnn-demo.npz --prompt "def "

exit status: 0, or 2 if the model cannot be saved or read."""

WINDOW = 64  # characters per training sequence
BATCH = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--epochs", type=at_least_1, default=3, help="passes over the text; default: %(default)s")
    parser.add_argument("--units", type=at_least_1, default=128, help="size of the LSTM; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=None, help="stop training after this long")
    parser.add_argument("--characters", type=at_least_1, default=None, help="use only so much of the text")
    parser.add_argument("--out", default="fastrnn-demo.npz", help="file to save the model in; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same model; default: %(default)s")
    parser.add_argument(
        "--sample", metavar="FILE", default=None, help="train nothing; write text from this file's model"
    )
    parser.add_argument("--prompt", default="The ", help="what the sample goes on from")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def command(options: dict[str, Any]) -> int:
    """Run the demo, or write a sample; return the exit status."""
    settings = dict(options)
    quiet, file = settings.pop("quiet"), settings.pop("sample")
    if file is not None:
        print(sample(file, settings["prompt"], seed=settings["seed"]))
        return 0
    run(verbose=0 if quiet else 1, **settings)
    print(
        "What to do next:\n"
        f"  fastrnn inspect {settings['out']}                    its layers\n"
        "  fastrnn train my-text.txt                           the same on a text of your own\n"
        "  fastrnn train my-table.csv --target COLUMN          classify, predict or forecast from a table"
    )
    return 0


class TimeLimit(Callback):
    """End training after so many seconds; of a resumed run, those before its interruption count, too.

    Args:
        seconds: infinity for no limit.

    Attributes:
        spent: seconds so far.
    """

    kept = ("spent",)

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.spent = 0.0

    def on_train_begin(self, logs: Logs = None) -> None:
        """Start the clock."""
        self.spent, self._last = 0.0, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Look at the clock."""
        self._look()
        if self.spent > self.seconds:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Count the validation, too."""
        self._look()

    def _look(self) -> None:
        now = time.perf_counter()
        self.spent, self._last = self.spent + now - self._last, now


def character_model(
    vocabulary: int, units: int, *, batch_size: int | None = None, stateful: bool = False
) -> Sequential:
    """Return an LSTM language model over characters: numbers (B, T) in, probabilities (B, T, vocabulary) out.

    Args:
        vocabulary: number of characters.
        units: size of the LSTM.
        batch_size: B, if it is to be fixed.
        stateful: keep the state between calls, to generate character by character.
    """
    return Sequential(
        [
            Input((None,), batch_size=batch_size),
            Embedding(vocabulary, 32),
            LSTM(units, return_sequences=True, stateful=stateful),
            Dense(vocabulary, activation="softmax"),
        ]
    )


def next_character_windows(numbers: Array, length: int) -> tuple[Array, Array]:
    """Cut a text (N,) into inputs and targets (n, length), each target one character further on."""
    cut = windows(numbers, length + 1, length)
    return cut[:, :-1], cut[:, 1:]


def stateful_twin(model: Sequential) -> Sequential:
    """A copy of a model for one sequence, whose recurrent layers go on where the call before ended."""
    layers = [
        type(layer).from_config({**layer.get_config(), **({"stateful": True} if isinstance(layer, Recurrent) else {})})
        for layer in model.layers
    ]
    twin = Sequential([Input((None,), batch_size=1), *layers])
    twin.set_weights(model.get_weights())
    return twin


def generate(
    model: Sequential,
    vocabulary: CharVocabulary | WordVocabulary,
    prompt: str,
    length: int,
    temperature: float,
    seed: int,
) -> str:
    """Continue `prompt` by `length` characters, or words, drawn from the model's predictions.

    Args:
        model: as `character_model` makes it.
        vocabulary: the model's.
        prompt: one character at least.
        length: characters to draw.
        temperature: > 0; below 1 prefers likely characters, above 1 evens them out.
        seed: of the draws.
    """
    twin = stateful_twin(model)
    rng = np.random.default_rng(seed)
    last = vocabulary.encode(prompt)[np.newaxis]
    drawn: list[int] = []
    for _ in range(length):
        log_p = np.log(twin.predict_on_batch(last)[0, -1].astype(np.float64) + 1e-30) / temperature
        log_p[: 2 if isinstance(vocabulary, WordVocabulary) else 1] = -np.inf  # never the unknown character
        p = np.exp(log_p - log_p.max())
        drawn.append(int(rng.choice(len(p), p=p / p.sum())))
        last = np.array([[drawn[-1]]])
    return vocabulary.decode(drawn)


def sample(path: str, prompt: str = "The ", length: int = 240, temperature: float = 0.5, seed: int = 0) -> str:
    """Return `prompt` and what a model goes on with; the arguments are those of `generate`.

    Args:
        path: a file that `run` has saved: its metadata has the vocabulary.
        prompt, length, temperature, seed: see `generate`.

    Raises:
        ValueError: the file is no such model, or the prompt is empty.
        OSError: it cannot be read.
    """
    from ..saving import load_model

    _check_prompt(prompt)
    model = load_model(path, compile=False)
    characters = model.metadata.get("vocabulary")
    kinds = [type(layer) for layer in model.layers]
    if not isinstance(characters, str) or kinds != [Embedding, LSTM, Dense]:
        raise ValueError(f"{path}: expected a model that `fastrnn demo` has saved, with its vocabulary")
    return prompt + generate(model, CharVocabulary(characters), prompt, length, temperature, seed)


def run(
    *,
    epochs: int = 3,
    units: int = 128,
    seconds: float | None = None,
    characters: int | None = None,
    out: str = "fastrnn-demo.npz",
    seed: int = 0,
    prompt: str = "The ",
    verbose: int = 1,
) -> dict[str, float]:
    """Train, report and save. The same arguments on the same machine give the same model, unless `seconds` cuts in.

    Args:
        epochs: passes over the text.
        units: size of the LSTM.
        seconds: stop training after that long.
        characters: use only so many characters of the text.
        out: file for the model.
        seed: of the weights, the order of the batches and the sample.
        prompt: what the sample goes on from.
        verbose: 0 trains silently, 1 shows progress.

    Returns:
        "loss" (nats per character), "bits_per_character" and "perplexity" on held-out text, "characters_per_second"
        of training.

    Raises:
        ValueError, ImportError, OSError: before training, if `out` is no name of a model's file or cannot be written.
    """
    _check_prompt(prompt)
    check_path(out)
    set_random_seed(seed)
    text = python_topics()[:characters]
    vocabulary = CharVocabulary(text)
    numbers = vocabulary.encode(text)
    held_out = len(numbers) // 10
    x, y = next_character_windows(numbers[:-held_out], WINDOW)
    x_test, y_test = next_character_windows(numbers[-held_out:], WINDOW)
    print(f"Text: Python's help topics, {len(text):,} characters, {len(vocabulary) - 1} distinct; last tenth held out.")

    model = character_model(len(vocabulary), units)
    model.metadata["vocabulary"] = vocabulary.characters
    rate = CosineDecay(0.01, decay_steps=epochs * -(-len(x) // BATCH), alpha=0.05)
    optimizer = Adam(rate, global_clipnorm=1.0)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    print(f"Model: embedding 32, LSTM {units}, softmax; {model.count_params():,} parameters, seed {seed}.", flush=True)
    start = time.perf_counter()
    limit = [TimeLimit(seconds)] if seconds is not None else []
    model.fit(x, y, batch_size=BATCH, epochs=epochs, validation_data=(x_test, y_test), verbose=verbose, callbacks=limit)
    took = time.perf_counter() - start

    loss = float(model.evaluate(x_test, y_test, batch_size=256, return_dict=True)["loss"])
    figures = {
        "loss": loss,
        "bits_per_character": loss / math.log(2),
        "perplexity": math.exp(loss),
        "characters_per_second": optimizer.iterations * BATCH * WINDOW / took,
    }
    model.save(out)
    print(
        f"Held out: {figures['bits_per_character']:.3f} bits per character, perplexity {figures['perplexity']:.2f} "
        f"(guessing evenly: {math.log2(len(vocabulary)):.2f} bits, perplexity {len(vocabulary)})."
    )
    print(f"Trained {took:.0f} s at {figures['characters_per_second']:,.0f} characters/s. Saved {out}")
    print(f"A sample at temperature 0.5; fastrnn demo --sample {out} --prompt TEXT writes more:")
    print("    " + generate(model, vocabulary, prompt, 240, 0.5, seed).replace("\n", "\n    "))
    return figures


def _check_prompt(prompt: str) -> None:
    if not prompt:
        raise ValueError("prompt: expected at least one character, got none")
