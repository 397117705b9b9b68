"""`Model.forward`: whole sequences through layers that look ahead, row by row what the model in Python gives."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import fastrnn
from fastrnn import io
from fastrnn._registry import serialize
from fastrnn.layers import (
    GRU,
    LSTM,
    SLSTM,
    Activation,
    AveragePooling1D,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Input,
    LayerNormalization,
    Masking,
    MaxPooling1D,
    RepeatVector,
    SimpleRNN,
    TimeDistributed,
)
from fastrnn.layers.base import layer_from_config
from fastrnn.model import Sequential

pytest.importorskip("safetensors")

I, WORDS, T, B = 3, 7, 9, 4  # noqa: E741 - I is the input size everywhere
LENGTHS = [T, 1, 5, 3]

WHOLE = {
    "bidirectional": [Bidirectional(LSTM(4, return_sequences=True)), Dense(2)],
    "last of both": [Bidirectional(GRU(4), merge_mode="sum"), Dense(2, "softmax")],
    "merged": [
        Bidirectional(LSTM(4, return_sequences=True), merge_mode="ave"),
        Bidirectional(SimpleRNN(3, return_sequences=True), merge_mode="mul"),
    ],
    "own backward layer": [
        Bidirectional(SLSTM(4, learned_initial_state=True), backward_layer=SLSTM(3, go_backwards=True))
    ],
    "turned": [Bidirectional(GRU(4, return_sequences=True, go_backwards=True)), Dense(2)],
    "backwards": [GRU(4, go_backwards=True, return_sequences=True), LSTM(3, go_backwards=True, forget_bias=1.0)],
    "pooled": [GRU(4, return_sequences=True), GlobalAveragePooling1D(), Dense(2), Activation("relu6")],
    "largest": [Conv1D(5, 4, padding="same", activation="relu"), Dropout(0.5), GlobalMaxPooling1D(use_mask=True)],
    "pooled at once": [GlobalAveragePooling1D(), Dense(2)],
    "centred groups": [Conv1D(9, 3, padding="same", groups=3), Conv1D(9, 4, padding="same", groups=9), GRU(2)],
    "centred": [Conv1D(5, 3, padding="same", dilation_rate=2), LayerNormalization(), Conv1D(4, 2, padding="same")],
    "normalised": [
        Bidirectional(GRU(2, return_sequences=True)), BatchNormalization(center=False), TimeDistributed(Dense(2)),
        LayerNormalization(center=False, scale=False), BatchNormalization(scale=False),
    ],
}  # fmt: skip
# Windows change how many steps there are: the layers, the fewest that give one, and how many T of them give.
WINDOWS = {
    "as deployed": ([Conv1D(8, 3, strides=2, activation="relu"), MaxPooling1D(2), LSTM(4), Dense(2)], 5, 1),
    "valid": ([Conv1D(5, 3, dilation_rate=2), GRU(4, return_sequences=True), Dense(2)], 5, 5),
    "valid groups": ([Conv1D(16, 1), Conv1D(32, 2, dilation_rate=3, groups=2), Conv1D(32, 2, groups=32)], 5, 5),
    "one step of two": ([Conv1D(4, 1, strides=2, groups=1), AveragePooling1D(2, 1)], 3, 4),
    "same": ([Conv1D(6, 4, 3, padding="same", groups=3), AveragePooling1D(4, 2, "same"), LayerNormalization()], 1, 2),
    "causal": ([Conv1D(4, 3, 2, padding="causal"), MaxPooling1D(3, 1, "same"), Bidirectional(GRU(2))], 1, 1),
    "after words": ([MaxPooling1D(3, 2, "same"), Conv1D(4, 2), GlobalAveragePooling1D(), Dense(2, "softmax")], 3, 1),
    "both directions": ([
        Bidirectional(GRU(3, return_sequences=True)), MaxPooling1D(2, 2), GRU(2, go_backwards=True,
        return_sequences=True), GlobalMaxPooling1D(use_mask=True)], 2, 1),
}  # fmt: skip
OF_WORDS = {
    "words": [Embedding(WORDS, 5), Bidirectional(GRU(3, return_sequences=True)), GlobalAveragePooling1D(), Dense(2)],
    "words step by step": [Embedding(WORDS, 5), LSTM(3, return_sequences=True, learned_initial_state=True), Dense(2)],
}
STEPWISE = {
    "normalisation": [
        Conv1D(5, 2, padding="causal"), BatchNormalization(), GRU(4, return_sequences=True), LayerNormalization(),
        Dense(2),
    ],
    "groups": [
        Conv1D(6, 3, padding="causal", groups=3, dilation_rate=2), Conv1D(6, 4, padding="causal", groups=6),
        Conv1D(32, 1, groups=2, use_bias=False), Conv1D(16, 3, padding="causal", groups=2, dilation_rate=2),
        Conv1D(16, 1, groups=2, activation="tanh"), Conv1D(8, 2, padding="causal", groups=4),
        GRU(3, return_sequences=True),
    ],
    "learned states": [
        LSTM(4, learned_initial_state=True, return_sequences=True, projection_units=3),
        SLSTM(4, learned_initial_state=True, return_sequences=True),
        GRU(2, learned_initial_state=True, return_sequences=True),
    ],
}  # fmt: skip


def made(layers, shape=(None, I)):
    fastrnn.set_random_seed(4)
    model = Sequential([Input(shape), *(layer_from_config(serialize(layer)) for layer in layers)])
    rng = np.random.default_rng(5)
    for parameter in model.parameters():
        value = parameter.value + rng.uniform(-0.5, 0.5, parameter.shape)
        parameter.assign(np.abs(value) + 0.1 if "variance" in parameter.name else value)
    return model


def check(model, x, fewest=0):
    """Whole, and row by row by its length if that is enough for a window; returns the native model."""
    native = model.to_native()
    steps = np.moveaxis(x, 0, 1)
    y, expected = native.forward(steps), model.predict(x)
    assert native.return_sequences == (expected.ndim == 3)
    assert y.shape == (*((native.output_steps(T),) if native.return_sequences else ()), B, native.output_size)
    np.testing.assert_allclose(y, np.moveaxis(expected, 0, 1) if native.return_sequences else expected, 2e-5, 2e-6)
    ragged = native.forward(steps, LENGTHS, threads=2)
    np.testing.assert_array_equal(ragged, native.forward(steps, LENGTHS))
    for b, length in enumerate(LENGTHS):
        if length >= fewest:
            alone, there = model.predict(x[b : b + 1, :length])[0], native.output_steps(length)
            np.testing.assert_allclose(ragged[:there, b] if native.return_sequences else ragged[b], alone, 2e-5, 2e-6)
        if native.return_sequences:
            assert not ragged[native.output_steps(length) :, b].any()
    return native


@pytest.mark.parametrize("case", WHOLE)
def test_layers_that_look_ahead(case, tmp_path):
    model, x = made(WHOLE[case]), np.random.default_rng(6).standard_normal((B, T, I)).astype(np.float32)
    native = check(model, x)
    assert not native.stepwise
    for make in (fastrnn.Session, lambda one: fastrnn.StreamPool(one, capacity=2)):
        with pytest.raises(ValueError, match=r"model: expected one that runs step by step, got layer \d+, which"):
            make(native)
    model.save(tmp_path / "m.safetensors")
    y = native.forward(np.moveaxis(x, 0, 1))
    for again in (
        fastrnn.Model.load(tmp_path / "m.safetensors"),
        pickle.loads(pickle.dumps(native)),
        copy.copy(native),
    ):
        np.testing.assert_array_equal(again.forward(np.moveaxis(x, 0, 1)), y)
    np.testing.assert_array_equal(fastrnn.load_model(tmp_path / "m.safetensors").predict(x), model.predict(x))


@pytest.mark.parametrize("case", WINDOWS)
def test_windows_over_time(case, tmp_path):
    layers, fewest, steps = WINDOWS[case]
    model, x = made(layers), np.random.default_rng(6).standard_normal((B, T, I)).astype(np.float32)
    native = check(model, x, fewest)
    assert native.output_steps(T) == steps
    for length in range(T):  # as many as the layers in Python say
        if length >= fewest:
            shape = model.predict(x[:1, :length]).shape
            assert native.output_steps(length) == (shape[1] if native.return_sequences else 1)
    assert not native.stepwise
    with pytest.raises(ValueError, match=r"got layer \d+, which (gives a step for each window of steps|begins at the)"):
        fastrnn.Session(native)
    model.save(tmp_path / "m.safetensors")
    time_major = np.moveaxis(x, 0, 1)
    y = native.forward(time_major)
    for again in (fastrnn.Model.load(tmp_path / "m.safetensors"), pickle.loads(pickle.dumps(native))):
        np.testing.assert_array_equal(again.forward(time_major), y)
    few = native.forward(time_major[: fewest - 1])
    assert few.shape[0] == (0 if native.return_sequences else B)


def test_values_of_as_many_steps(tmp_path):
    """Branches may meet where windows give the same number of steps, whatever the sequence."""
    path, start = tmp_path / "m.safetensors", {"kind": "power", "number": 1.0, "inputs": I}
    two = {"stride": 2, "from": [1]}
    branches = [
        start, {"kind": "window_maximum", "size": 4, "before": 2, **two}, {"kind": "window_mean", "size": 2, **two},
        {"kind": "windows", "size": 1, "from": [2]}, {"kind": "concatenate", "from": [2, 3, 4]},
    ]  # fmt: skip
    io.save_layers(path, branches)
    x = np.random.default_rng(1).standard_normal((T, B, I)).astype(np.float32)
    y = fastrnn.Model.load(path).forward(x)
    mean = (x[:-1:2] + x[1::2]) / 2
    largest = np.stack([x[max(0, 2 * t - 2) : 2 * t + 2].max(axis=0) for t in range(4)])
    np.testing.assert_allclose(y, np.concatenate([largest, mean, largest], axis=-1), 1e-6)
    for entry, message in (
        ({"kind": "window_mean", "size": 3, **two}, r"from: expected values of as many steps, got values 2 and 6, whi"),
        ({"kind": "window_mean", "size": 2, "from": [1]}, "from: expected values of as many steps"),
        ({"kind": "window_mean", "size": 2, "same": True, **two}, "from: expected values of as many steps"),
        ({"kind": "window_mean", "size": 2, "before": 2}, "before and after: expected fewer than 2, which a window"),
        ({"kind": "windows", "size": 2, "after": 1, "same": True}, "same: expected no padding beside it"),
        ({"kind": "windows", "size": 2**28}, "size: expected windows of at most"),
    ):
        with pytest.raises(ValueError, match=message):
            io.save_layers(path, [*branches, entry, {"kind": "concatenate", "from": [2, 6]}])
    with pytest.raises(ValueError, match="steps: expected"):
        fastrnn.Model.load(path).output_steps(-1)


@pytest.mark.parametrize("case", OF_WORDS)
def test_words(case):
    model, words = made(OF_WORDS[case], (None,)), np.random.default_rng(6).integers(0, WORDS, (B, T))
    native = check(model, words)
    np.testing.assert_array_equal(native.forward(words.T), native.forward(words.T[..., np.newaxis].astype(np.float32)))
    for bad, got in ((WORDS, "7"), (-1, "-1"), (0.5, "0.5")):
        odd = words.T.astype(np.float32)
        odd[4, 1] = bad
        with pytest.raises(
            ValueError, match=rf"x: expected whole numbers in 0\.\.6, got {got}[\d.]* at step 4 of row 1"
        ):
            native.forward(odd)
        assert native.forward(odd, LENGTHS) is not None  # row 1 is shorter than that
    if native.stepwise:
        session = fastrnn.Session(native, B)
        x = words.T[..., np.newaxis].astype(np.float32)
        np.testing.assert_array_equal(session.run(x), native.forward(words.T))
        x[3, 2] = WORDS
        session.reset()
        assert np.isnan(session.run(x)[3:, 2]).all()  # a step does not throw


@pytest.mark.parametrize("case", STEPWISE)
def test_a_stepwise_model_gives_the_bits_of_a_session_and_of_a_pool(case):
    model, x = made(STEPWISE[case]), np.random.default_rng(6).standard_normal((B, T, I)).astype(np.float32)
    native = check(model, x)
    assert native.stepwise
    steps = np.ascontiguousarray(np.moveaxis(x, 0, 1))
    y = native.forward(steps)
    session = fastrnn.Session(native, B)
    for _ in range(2):
        np.testing.assert_array_equal(session.run(steps), y)
        session.reset()
    pool = fastrnn.StreamPool(native, capacity=B, queue=T)
    streams = [pool.open() for _ in range(B)]
    for b, stream in enumerate(streams):
        pool.push(stream, steps[:, b])
    while pool.advance():
        pass
    for b, stream in enumerate(streams):
        np.testing.assert_array_equal(pool.pull(stream), y[:, b])
    again = pickle.loads(pickle.dumps(native))
    np.testing.assert_array_equal(again.forward(steps), y)


def test_rows_of_nothing():
    native = made([Bidirectional(GRU(3, return_sequences=True)), GlobalAveragePooling1D()]).to_native()
    assert native.forward(np.zeros((0, 2, I), np.float32)).shape == (2, 6)
    assert native.forward(np.zeros((5, 0, I), np.float32)).shape == (0, 6)
    y = native.forward(np.ones((5, 2, I), np.float32), [0, 5])
    assert np.isnan(y[0]).all()  # as of GlobalAveragePooling1D
    assert np.isfinite(y[1]).all()
    native = made([Bidirectional(GRU(3))]).to_native()
    np.testing.assert_array_equal(native.forward(np.ones((5, 2, I), np.float32), [0, 5])[0], 0)
    largest = made([GlobalMaxPooling1D()]).to_native()
    x = np.zeros((3, 2, I), np.float32)
    x[1, 0, 2] = np.nan
    assert np.isnan(largest.forward(x)[0, 2])
    assert largest.forward(x, [1, 0]).tolist() == [[0, 0, 0], [-np.inf] * 3]


REFUSED = {
    "masks": ([Masking(), Bidirectional(GRU(2))], r"layer 0 .*, Masking: lengths take the place of a mask"),
    "repeat": ([Bidirectional(GRU(2)), RepeatVector(3), GRU(2)], "layer 1 .*, RepeatVector: it makes several steps"),
    "kept": ([GlobalMaxPooling1D(keepdims=True), GRU(2)], "layer 0 .*: keepdims=True: a value of all steps is no seq"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_native_form_says_why(case):
    layers, message = REFUSED[case]
    with pytest.raises(ValueError, match=f"expected a model with a native form, got {message}"):
        made(layers).to_native()
    with pytest.raises(ValueError, match="Embedding: mask_zero: lengths take the place of a mask"):
        made([Embedding(5, 2, mask_zero=True), Bidirectional(GRU(2))], (None,)).to_native()
    with pytest.raises(ValueError, match="Flatten: it makes one vector of all steps"):
        made([Bidirectional(GRU(2, return_sequences=True)), Flatten()], (T, I)).to_native()


def test_arguments():
    native = made([Bidirectional(GRU(3))]).to_native()
    x = np.zeros((5, 2, I), np.float32)
    out = np.empty((2, 6), np.float32)
    assert native.forward(x, out=out) is out
    for arguments, message in (
        ({"x": x[0]}, r"x: expected shape \(T, B, I\), got \(2, 3\)"),
        ({"x": x[..., :2]}, r"x: expected shape \(5, 2, 3\), got \(5, 2, 2\)"),
        ({"x": x, "lengths": [5]}, r"lengths: expected shape \(2,\), got \(1,\)"),
        ({"x": x, "lengths": [5, 6]}, r"lengths: expected values in 0..5, got 6 at index 1"),
        ({"x": x, "out": out[:1]}, r"out: expected shape \(2, 6\)"),
        ({"x": x, "threads": 0}, r"threads: expected"),
    ):
        with pytest.raises(ValueError, match=message):
            native.forward(**arguments)


def test_save_layers(tmp_path):
    """The kinds as arrays, connected by hand."""
    rng = np.random.default_rng(0)
    table, mean, shift = (rng.standard_normal(s).astype(np.float32) for s in ((WORDS, 4), 4, 4))
    variance, scale = (rng.uniform(0.5, 2, 4).astype(np.float32) for _ in range(2))
    statistics = {"scale": scale, "shift": shift, "mean": mean, "variance": variance}
    io.save_layers(
        tmp_path / "m.safetensors",
        [
            {"kind": "embedding", "inputs": 1, "outputs": 4, "table": table},
            {"kind": "batch_normalization", "inputs": 4, "number": 0.01, **statistics},
            {"kind": "delay", "inputs": 4, "steps": 2, "ahead": 1},
            {"kind": "reverse", "from": [3]},
            {"kind": "last", "from": [4]},
            {"kind": "mean", "from": [3]},
            {"kind": "maximum", "from": [3]},
            {"kind": "concatenate", "from": [5, 6, 7]},
        ],
    )
    native = fastrnn.Model.load(tmp_path / "m.safetensors")
    words = rng.integers(0, WORDS, (T, B))
    normal = (table[words] - mean) / np.sqrt(variance + 0.01) * scale + shift
    padded = np.concatenate([np.zeros((1, B, 4)), normal, np.zeros((1, B, 4))])
    windows = np.concatenate([padded[:-2], padded[1:-1], padded[2:]], axis=-1)
    expected = np.concatenate([windows[0], windows.mean(0), windows.max(0)], axis=-1)
    np.testing.assert_allclose(native.forward(words), expected, 1e-5, 1e-6)
    for entry, message in (
        ({"kind": "delay", "inputs": 4, "steps": 2, "ahead": 3}, "ahead: expected 0 to 2, the steps, got 3"),
        (
            {"kind": "batch_normalization", "inputs": 4, "number": 0.01, **statistics, "variance": -scale},
            "variance: exp",
        ),
        ({"kind": "add", "from": [1, 2]}, "from: expected values that all have every step, or none, got value 2"),
        ({"kind": "reverse", "from": [2]}, "from: expected a value with every step, got one for the whole sequence"),
    ):
        first = [{"kind": "power", "number": 1.0, "inputs": 4}, *([{"kind": "mean"}] if "from" in entry else [])]
        with pytest.raises(ValueError, match=message):
            io.save_layers(tmp_path / "n.safetensors", [*first, entry])
