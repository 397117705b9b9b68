"""A character language model: an LSTM learns to write like Python's help texts.

The text comes with Python (`pydoc_data.topics`, 465,000 characters). The first nine tenths train, the last tenth
judges. Afterwards the model writes at three temperatures.

Reached: 1.96 bits per character (perplexity 3.9; guessing evenly is 6.7 bits), 45 seconds on one AVX2 core.

    python examples/text.py [--epochs 3] [--units 192] [--prompt "The "]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

import numpy as np

import fastrnn
from fastrnn.callbacks import EarlyStopping
from fastrnn.data import CharVocabulary, python_topics, windows
from fastrnn.layers import LSTM, Dense, Embedding, Input
from fastrnn.optimizers import Adam
from fastrnn.schedules import CosineDecay


def build(vocabulary: int, units: int, **lstm) -> fastrnn.Sequential:
    """Numbers of characters (B, T) in, probabilities of the next character (B, T, vocabulary) out."""
    return fastrnn.Sequential(
        [
            Input((None,), batch_size=1 if lstm.get("stateful") else None),
            Embedding(vocabulary, 32),
            LSTM(units, return_sequences=True, **lstm),
            Dense(vocabulary, activation="softmax"),
        ]
    )


def write(model: fastrnn.Sequential, vocabulary: CharVocabulary, prompt: str, length: int, temperature: float) -> str:
    """Let a stateful `model` continue `prompt`; it sees one character per call and remembers the rest."""
    model.reset_states()
    rng = np.random.default_rng(0)
    text = prompt
    seen = vocabulary.encode(prompt)[np.newaxis]
    for _ in range(length):
        logits = np.log(model.predict_on_batch(seen)[0, -1].astype(float) + 1e-30) / temperature
        p = np.exp(logits - logits.max())
        p[0] = 0.0  # the unknown character
        seen = rng.choice(len(p), size=(1, 1), p=p / p.sum())
        text += vocabulary.decode(seen[0])
    return text


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Run the example; return {"bits_per_character": ...} on held-out text."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--units", type=int, default=192)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--window", type=int, default=64, help="characters per training sequence")
    parser.add_argument("--characters", type=int, default=None, help="use only so much of the text")
    parser.add_argument("--prompt", default="The ")
    parser.add_argument("--length", type=int, default=200, help="characters to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", type=int, default=1)
    args = parser.parse_args(argv)
    fastrnn.set_random_seed(args.seed)

    text = python_topics()[: args.characters]
    vocabulary = CharVocabulary(text)
    numbers = vocabulary.encode(text)
    train, test = (windows(part, args.window + 1, args.window) for part in np.split(numbers, [len(numbers) * 9 // 10]))

    model = build(len(vocabulary), args.units)
    steps = args.epochs * math.ceil(len(train) / args.batch_size)
    model.compile(
        Adam(CosineDecay(0.01, steps, alpha=0.05), global_clipnorm=1.0), loss="sparse_categorical_crossentropy"
    )
    model.fit(
        train[:, :-1],
        train[:, 1:],
        batch_size=args.batch_size,
        epochs=args.epochs,
        validation_data=(test[:, :-1], test[:, 1:]),
        callbacks=[EarlyStopping(patience=2, restore_best_weights=True)],
        verbose=args.verbose,
    )
    bits = model.evaluate(test[:, :-1], test[:, 1:], batch_size=256) / math.log(2)
    print(f"held out: {bits:.3f} bits per character, perplexity {2**bits:.2f}")

    writer = build(len(vocabulary), args.units, stateful=True)
    writer.set_weights(model.get_weights())
    for temperature in (0.3, 0.6, 1.0):
        print(f"\n--- temperature {temperature} ---")
        print(write(writer, vocabulary, args.prompt, args.length, temperature))
    return {"bits_per_character": bits}


if __name__ == "__main__":
    main()
