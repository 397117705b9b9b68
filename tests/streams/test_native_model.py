"""Model: layers for sessions and pools; a session over it gives the bits of the layers called one after the other."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import fastrnn
from tests.support.packed import pack
from tests.support.streams import DTYPES, bits, stack, weights_of
from tests.support.variants import VARIANTS, assert_same, make_problem

B, I, T = 3, 3, 21  # noqa: E741  # more steps than a session computes at once
OF_EACH_LAYER = "state: expected a tuple with the state of each of 3 layers or None"
BY_ID = {variant.id: variant for variant in VARIANTS}


def layer(name: str, inputs: int, hidden: int, **more: Any) -> Any:
    return pack(make_problem(BY_ID[name], hidden=hidden, inputs=inputs, batch=1, steps=1, dtype="float32"), **more)


def x_of(steps: int = T, batch: int = B) -> Any:
    return np.random.default_rng(0).standard_normal((steps, batch, I), np.float32)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_session_gives_the_bits_of_layer_after_layer(dtype, isa):
    x = x_of()
    layers = [
        layer(*sizes, dtype=dtype) for sizes in (("lstm-none", I, 17), ("gru-before", 17, 33), ("rnn-tanh", 33, 8))
    ]
    y = x
    states = []
    for weights in layers:
        y, *state = getattr(fastrnn, f"{weights.cell}_forward")(y, weights)
        states.append(tuple(a[0] for a in state))
    session = fastrnn.Session(fastrnn.Model(layers), B)
    np.testing.assert_array_equal(session.run(x), y)
    for now, then in zip(session.state, states, strict=True):
        assert_same(now if isinstance(now, tuple) else (now,), then)
    session.reset()
    np.testing.assert_array_equal(np.stack([session.step(x_t) for x_t in x]), y)


def test_many_layers_take_turns_with_two_buffers():
    names = ("lstm-none", "gru-after", "rnn-tanh", "lstm-none", "gru-before", "rnn-relu")
    widths = (I, 17, 5, 3, 200, 8, 3)  # the fourth layer needs all of x for more units than are computed at once
    layers = [layer(name, *sizes) for name, *sizes in zip(names, widths, widths[1:], strict=False)]
    y = x = x_of()
    for weights in layers:
        y = getattr(fastrnn, f"{weights.cell}_forward")(y, weights)[0]
    session = fastrnn.Session(fastrnn.Model(layers), B)
    np.testing.assert_array_equal(session.run(x), y)
    session.reset()
    np.testing.assert_array_equal(np.stack([session.step(x_t) for x_t in x]), y)


def test_weights_are_a_model_of_one_layer():
    weights = weights_of()
    x = x_of(5, 1)
    one, other = fastrnn.Session(weights), fastrnn.Session(fastrnn.Model(weights))
    np.testing.assert_array_equal(one.run(x), other.run(x))
    assert_same(other.state[0], one.state)
    assert other.get_state() == one.get_state()


def of_three_cell_states() -> Any:
    draw = np.random.default_rng(1).standard_normal
    return fastrnn.pack_slstm(*(draw(shape).astype(np.float32) for shape in ((68, I), (68, 17), 68, 68)))


@pytest.mark.parametrize("made", [stack, of_three_cell_states])
def test_a_state_moves_as_arrays_and_as_bytes(made):
    x = x_of()
    whole = fastrnn.Session(made(), B).run(x)
    one = fastrnn.Session(made(), B)
    one.run(x[:9])
    by_arrays, by_bytes = (fastrnn.Session(made(), B) for _ in range(2))
    by_arrays.state = one.state
    by_bytes.set_state(one.get_state())
    for session in (by_arrays, by_bytes):
        assert session.get_state() == one.get_state()
        np.testing.assert_array_equal(session.run(x[9:]), whole[9:])
    one.state = None
    assert one.get_state() == fastrnn.Session(made(), B).get_state()


def test_a_part_of_a_state_may_be_none():
    session = fastrnn.Session(stack(), B)
    session.run(x_of())
    before = session.state
    session.state = (before[0], None, before[2])
    assert_same(session.state[0], before[0])
    assert not session.state[1].any()
    assert bits(session.state[2]) == bits(before[2])


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        ((None, None), TypeError, f"{OF_EACH_LAYER}, got tuple"),
        (np.zeros((B, 17)), TypeError, f"{OF_EACH_LAYER}, got numpy.ndarray"),
        ((np.zeros((B, 17)), None, None), TypeError, "state[0]: expected a tuple (h, c) or None, got numpy.ndarray"),
        ((None, np.zeros((B, 17), np.float32), None), ValueError, "state[1].h: expected shape (3, 33), got (3, 17)"),
    ],
    ids=["two", "array", "lstm", "shape"],
)  # fmt: skip
def test_errors_of_the_state(state, error, message):
    session = fastrnn.Session(stack(), B)
    session.run(x_of())
    before = session.get_state()
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        session.state = state
    assert session.get_state() == before


def test_bytes_of_another_session_are_refused():
    session = fastrnn.Session(stack(), B)
    session.run(x_of())
    before = session.get_state()
    for state in (
        fastrnn.Session(stack(), 1).get_state(),
        fastrnn.Session(weights_of(), B).get_state(),
        b"",
        before[1:],
        before[:8] + (B + 1).to_bytes(4, "little") + before[12:],  # the batch in its header
    ):
        with pytest.raises(ValueError, match=f"^state: expected {len(before)} bytes of a session over such layers"):
            session.set_state(state)
    assert session.get_state() == before
    doubles = fastrnn.Session(layer("lstm-none", I, 8, dtype="float64"))
    with pytest.raises(ValueError, match=r"^state: expected weights of float32, whose states have a form as bytes$"):
        doubles.get_state()


def test_describes_itself():
    model = stack()
    assert (model.input_size, model.output_size, model.layers) == (I, 8, 3)
    assert repr(model) == "Model(3 -> 8, 3 recurrent layers)"
    assert model.nbytes > 4 * (4 * 17 * (I + 17) + 3 * 33 * (17 + 33) + 8 * (33 + 8))
    assert fastrnn.Session(model).weights is model
    assert fastrnn.Session(model, 100).nbytes > fastrnn.Session(model).nbytes


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        (None, TypeError, "layers: expected PackedWeights or a sequence of them, got NoneType"),
        ("lstm", TypeError, "layers: expected PackedWeights or a sequence of them, got str"),
        ([], ValueError, "layers: expected one or more, got none"),
        ([weights_of(), 1], TypeError, "layers[1]: expected PackedWeights, got int"),
        ([weights_of()] * 2, ValueError, "layers[1]: expected 17 inputs, the outputs of the layer before, got 3"),
        ([weights_of(dtype="float64")], TypeError, "layers[0]: expected weights for x of float32, got float64"),
    ],
    ids=["none", "str", "empty", "int", "sizes", "float64"],
)  # fmt: skip
def test_errors_of_the_making(layers, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        fastrnn.Model(layers)


# --------------------------------------------------------------------------------------------- trained models and files


def trained() -> Any:
    """Recurrent layers with options, a dropout that is none here, a layer of its own activation, and a head."""
    layers = fastrnn.layers
    fastrnn.set_random_seed(0)
    model = fastrnn.Sequential(
        [
            layers.Input((None, I)),
            fastrnn.LSTM(17, return_sequences=True),
            fastrnn.GRU(9, return_sequences=True, reset_after=False),
            layers.Dropout(0.5),
            layers.Dense(8, activation="relu"),
            layers.Dense(4, activation="softmax"),
        ]
    )
    assert model.built
    return model


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_trained_model_streams(dtype, isa):
    x = x_of()
    model = trained()
    native = model.to_native(dtype)
    assert (native.input_size, native.output_size, native.layers) == (I, 4, 2)
    session = fastrnn.Session(native, B)
    y = session.run(x)
    wanted = model.predict(x.swapaxes(0, 1)).swapaxes(0, 1)
    np.testing.assert_allclose(y, wanted, atol={"float32": 1e-6, "int8": 0.05}.get(dtype, 0.02))
    pool = fastrnn.StreamPool(native, capacity=B, queue=T)
    streams = pool.open(B)
    pool.push(streams, x)
    while pool.advance():
        pass
    assert bits(pool.pull(streams, T)) == bits(y)


def test_a_file_is_read_from_a_path_and_from_bytes(tmp_path):
    path = tmp_path / "m.safetensors"
    model = trained()
    model.save(path)
    wanted = fastrnn.Session(model.to_native("int8"), B).run(x_of())
    for source in (path, str(path), path.read_bytes()):
        np.testing.assert_array_equal(fastrnn.Session(fastrnn.Model.load(source, "int8"), B).run(x_of()), wanted)


@pytest.mark.parametrize(
    ("source", "more", "error", "message"),
    [
        (3, {}, TypeError, "source: expected a path or bytes, got int"),
        (b"", {}, ValueError, "model: "),
        ("no-such-file", {}, ValueError, "no-such-file: "),
        (b"", {"dtype": "float64"}, ValueError, "dtype: expected one of 'float32', 'bfloat16', 'bfloat16_weights', "
                                                "'int8', got 'float64'"),
    ],
)  # fmt: skip
def test_errors_of_loading(source, more, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        fastrnn.Model.load(source, **more)


@pytest.mark.parametrize(
    "text",
    [
        b"\xe0\x9f\xbf",
        b"\xc1\xbf",
        b"\xf0\x8f\xbf\xbf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\x80",
        b"\xe2\x82",
        b"\xff",
    ],
)
def test_text_that_is_not_utf_8_is_refused(text):
    """Longer than it must be, half of a pair, beyond Unicode, cut short."""

    def load(value: bytes) -> None:
        header = b'{"__metadata__":{"key":"' + value + b'"}}'
        fastrnn.Model.load(len(header).to_bytes(8, "little") + header)

    with pytest.raises(ValueError, match="expected the metadata entry"):
        load("\x7f\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff".encode())
    with pytest.raises(ValueError, match=r"header, byte \d+: expected UTF-8"):
        load(text)


def test_a_model_that_cannot_stream_says_which_layer():
    layers = fastrnn.layers
    model = fastrnn.Sequential([layers.Input((5, I)), fastrnn.Bidirectional(fastrnn.LSTM(4)), layers.Dense(2)])
    with pytest.raises(
        ValueError, match="expected one that runs step by step, got layer 1, which makes one value of all"
    ):
        fastrnn.Session(model)
    with pytest.raises(ValueError, match=r"RepeatVector: it makes several steps of one"):
        fastrnn.Sequential([layers.Input((3,)), layers.RepeatVector(2), fastrnn.GRU(2)]).to_native()
    with pytest.raises(ValueError, match="expected a built model"):
        fastrnn.Sequential([fastrnn.LSTM(4)]).to_native()
