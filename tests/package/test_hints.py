"""Errors that say what was probably meant."""

from __future__ import annotations

import numpy as np
import pytest

import fastrnn
from fastrnn import GRU, LSTM, Activation, Bidirectional, Dense, Dropout, Input, Layer, Sequential, TimeDistributed
from fastrnn.interop import torch_layers

H, FEATURES = 5, 3


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: LSTM(H, actvation="relu"),
            TypeError,
            "LSTM: unknown keyword 'actvation', .*; did you mean 'activation'",
        ),
        (lambda: GRU(H, return_sequence=True), TypeError, "; did you mean 'return_sequences'"),
        (lambda: LSTM(H, Dropout=0.1), TypeError, "; did you mean 'dropout'"),
        (
            lambda: Dense(H, activaton="relu"),
            TypeError,
            "Dense: unknown keyword 'activaton', .*; did you mean 'activation'",
        ),
        (lambda: Dropout(0.1, sed=1), TypeError, "Dropout: unknown keyword 'sed', .*; did you mean 'seed'"),
        (
            lambda: Dense(H, kernel_constraint="max_norm"),
            TypeError,
            "Dense: unknown keyword 'kernel_constraint', expected one",
        ),
        (lambda: LSTM(H, hidden_size=H), TypeError, "; did you mean 'units'"),
        (lambda: LSTM(H, proj_size=2), TypeError, "; did you mean 'projection_units'"),
        (lambda: GRU(H, variational_dropout=0.1), TypeError, "; did you mean 'recurrent_dropout'"),
        (lambda: Activation("sofmax"), ValueError, "activation: .* got 'sofmax'; did you mean 'softmax'"),
        (lambda: Dense(1, kernel_initializer="glorot_unifrom"), ValueError, "; did you mean 'glorot_uniform'"),
        (lambda: Sequential([Dense(1)]).compile("adm", "mse"), ValueError, "optimizer: .*; did you mean 'adam'"),
        (lambda: Sequential([Dense(1)]).compile("adam", "mse2"), ValueError, "loss: .* got 'mse2'; did you mean 'mse'"),
        (lambda: Sequential([Dense(1)]).compile("sgd", "mse", ["acuracy"]), ValueError, "; did you mean 'accuracy'"),
        (
            lambda: fastrnn.lstm_forward(
                np.zeros((1, 1, FEATURES)), np.zeros((4, FEATURES)), np.zeros((4, 1)), drop_out=0.5
            ),
            TypeError,
            "lstm_forward: unknown keyword 'drop_out', .*; did you mean 'dropout'",
        ),
        (
            lambda: fastrnn.pack_gru(np.zeros((3, FEATURES)), np.zeros((3, 1)), rest="after"),
            TypeError,
            "pack_gru: unknown keyword 'rest', .*; did you mean 'reset'",
        ),
    ],
)
def test_did_you_mean(make, error, message):
    with pytest.raises(error, match=message):
        make()


class Foreign:
    """As an object of Keras is, which is easily taken for ours of the same name."""


Foreign.__module__, Foreign.__name__ = "keras.src.optimizers.adam", "Adam"


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda model: model.compile(Foreign(), "mse"), "optimizer: .* or a serialized dict, got Adam of keras$"),
        (
            lambda model: model.fit(zeros(2, 4, FEATURES), zeros(2), callbacks=[Foreign()]),
            "callbacks: expected Callback objects, got Adam of keras at index 0$",
        ),
        (lambda model: model.add(Foreign()), "layer: expected a fastrnn layer, got Adam of keras$"),
    ],
)
def test_what_is_another_librarys_is_called_so(run, message):
    model = Sequential([GRU(H), Dense(1)])
    model.compile("adam", "mse")
    with pytest.raises(TypeError, match=message):
        run(model)


@pytest.mark.parametrize(
    ("loss", "layers", "y", "hint"),
    [
        ("mse", [GRU(H, return_sequences=True), Dense(1)], (2, 1), "; the model gives an output for every step"),
        ("mse", [GRU(H, return_sequences=True), Dense(1)], (2,), "; the model gives an output for every step"),
        ("mse", [GRU(H), Dense(1)], (2, 4, 1), "; the model gives one output a sequence"),
        ("mse", [GRU(H), Dense(3)], (2, 2), "got \\(2, 2\\)$"),
        ("categorical_crossentropy", [GRU(H), Dense(3)], (2,), "; sparse_categorical_crossentropy takes class numbers"),
        ("categorical_crossentropy", [GRU(H), Dense(3)], (2, 1), "; sparse_categorical_crossentropy takes"),
        ("sparse_categorical_crossentropy", [GRU(H), Dense(3)], (2, 3), "; categorical_crossentropy takes a number"),
        (
            "sparse_categorical_crossentropy",
            [GRU(H, return_sequences=True), Dense(3)],
            (2,),
            "; the model gives an output for every step",
        ),
    ],
)
def test_targets_of_another_shape(loss, layers, y, hint):
    model = Sequential(layers)
    model.compile("adam", loss)
    with pytest.raises(ValueError, match=rf"^y_true: expected shape .*{hint}"):
        model.fit(zeros(2, 4, FEATURES), zeros(*y), verbose=0)


@pytest.mark.parametrize("run", ["fit", "predict"])
def test_sequences_without_an_axis(run):
    model = Sequential([GRU(H), Dense(1)])
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match=r"x: expected shape \(B, T, I\) for layer .*, got \(6, 4\); x\[:, :, numpy"):
        model.fit(zeros(6, 4), zeros(6)) if run == "fit" else model.predict(zeros(6, 4))


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model.onnx", "model.pt"])
def test_files_of_other_libraries(name, tmp_path):
    model = Sequential([Input((4, FEATURES)), GRU(H)])
    for run in (model.save, model.save_weights, fastrnn.load_model, fastrnn.callbacks.ModelCheckpoint):
        with pytest.raises(ValueError, match=r"\.npz or \.safetensors, got .*; fastrnn\.interop\.load reads files of"):
            run(str(tmp_path / name))


def test_a_door_that_was_not_imported():
    with pytest.raises(AttributeError, match=r"no attribute 'sktime'; import fastrnn\.sktime first"):
        fastrnn.sktime.RNNForecaster  # noqa: B018


def test_a_batch_shape_as_keras_has_it():
    model = Sequential([Input(batch_shape=(2, 4, FEATURES)), GRU(H, stateful=True)])
    assert model.input_shape == (2, 4, FEATURES)
    assert fastrnn.Sequential.from_config(model.get_config()).input_shape == (2, 4, FEATURES)
    for options in ({}, {"shape": (4, 3), "batch_shape": (2, 4, 3)}):
        with pytest.raises(ValueError, match="shape: expected either shape or batch_shape"):
            Input(**options)
    with pytest.raises(ValueError, match="batch_size: expected None beside batch_shape, got 2"):
        Input(batch_shape=(2, 4, 3), batch_size=2)


def test_no_hint_where_nothing_is_near():
    with pytest.raises(TypeError, match="unknown keyword 'xyz', ") as caught:
        LSTM(H, xyz=1)
    assert "did you mean" not in str(caught.value)


# -- parameters --------------------------------------------------------------------------------------------------------


def zeros(*shape, dtype="float32"):
    return np.zeros(shape, dtype)


X = zeros(2, 1, FEATURES)


@pytest.mark.parametrize(
    ("cell", "w_ih", "w_hh", "hint"),
    [
        ("lstm", (FEATURES, 4 * H), (4 * H, H), "w_ih.T"),
        ("lstm", (4 * H, FEATURES), (H, 4 * H), "w_hh.T"),
        ("lstm", (FEATURES, 4 * H), (H, 4 * H), "w_ih.T and w_hh.T"),
        ("gru", (3, 3 * H), (H, 3 * H), "w_ih.T and w_hh.T"),
        ("rnn", (FEATURES, H), (H, H), "w_ih.T"),
        ("indrnn", (FEATURES, H), (H,), "w_ih.T"),
        ("gru", (4 * H, FEATURES), (4 * H, H), None),
        ("lstm", (4 * H, FEATURES), (4 * H, H + 1), None),
        ("lstm", (4 * H,), (4 * H, H), None),
        ("lstm", (), (), None),
    ],
)
def test_transposed_weights(cell, w_ih, w_hh, hint):
    for call in (
        lambda: getattr(fastrnn, f"{cell}_forward")(X, zeros(*w_ih), zeros(*w_hh)),
        lambda: getattr(fastrnn, f"pack_{cell}")(zeros(*w_ih), zeros(*w_hh)),
    ):
        with pytest.raises(ValueError, match=r"^w_[ih]h: expected shape \(") as caught:
            call()
        assert str(caught.value).partition("; did you mean ")[2] == (f"{hint}?" if hint else "")


def test_x_of_float64_is_to_blame():
    w_ih, w_hh = zeros(4 * H, FEATURES), zeros(4 * H, H)
    message = r"^x: expected float32 \(the dtype of the weights\), got float64; convert it, x\.astype\('float32'\)$"
    for call in (
        lambda: fastrnn.lstm_forward(X.astype("float64"), w_ih, w_hh),
        lambda: fastrnn.lstm_cell(X[0].astype("float64"), w_ih, w_hh),
    ):
        with pytest.raises(TypeError, match=message):
            call()
    with pytest.raises(TypeError, match=r"^w_hh: expected float32 \(the dtype of x\), got float64$"):
        fastrnn.lstm_forward(X, w_ih, w_hh.astype("float64"))
    with pytest.raises(TypeError, match=r"^w_hh: expected float64 \(the dtype of x\), got float32$"):
        fastrnn.lstm_forward(X.astype("float64"), w_ih.astype("float64"), w_hh)


def test_torch_layers_prefix():
    names = {"weight_ih": zeros(4 * H, FEATURES), "weight_hh": zeros(4 * H, H)}
    state = {f"encoder.lstm.{name}_l0": array for name, array in names.items()}
    state["head.weight"] = zeros(2, H)
    for prefix in ("", "encoder.", "lstm."):
        with pytest.raises(ValueError, match=r"; did you mean prefix='encoder\.lstm\.'\?$"):
            torch_layers(state, prefix)
    ((packed,),) = torch_layers(state, "encoder.lstm.")
    assert packed.hidden_size == H
    both = {**state, **{f"decoder.{name}_l0": array for name, array in names.items()}}
    with pytest.raises(ValueError, match=r"; did you mean prefix='decoder\.' or 'encoder\.lstm\.'\?$"):
        torch_layers(both)
    with pytest.raises(ValueError, match=r", got 'weight'$"):
        torch_layers({"weight": zeros(2, H)})


# -- layers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("below", [LSTM, lambda units, **kwargs: Bidirectional(GRU(units), **kwargs)], ids=["l", "b"])
@pytest.mark.parametrize(
    "above", [lambda: LSTM(H), lambda: Bidirectional(LSTM(H)), lambda: TimeDistributed(Dense(1))], ids=["l", "b", "t"]
)
def test_return_sequences_is_missing(below, above, declared):
    def run():
        model = Sequential([Input((None, FEATURES))] if declared else [])
        model.add(below(H, name="first"))
        model.add(above())
        model.predict(np.zeros((2, 4, FEATURES), "float32"))

    hint = r"\(None, (5|10)\); first gives its last step alone, with return_sequences=True all of them$"
    with pytest.raises(ValueError, match=hint):
        run()


def test_the_hint_for_data_of_the_wrong_shape_is_another():
    model = Sequential([LSTM(H, return_sequences=True), LSTM(H)])
    with pytest.raises(
        ValueError, match=r"^x: expected shape \(B, T, I\) for layer lstm\w*, got \(2, 4\); x\[:, :, numpy"
    ):
        model.predict(np.zeros((2, 4), "float32"))


def test_the_functional_api_is_keras():
    for call in (
        lambda: LSTM(H)(Input((None, FEATURES))),
        lambda: Bidirectional(LSTM(H))(Input((None, FEATURES))),
        lambda: Dense(H)(LSTM(H)),
        lambda: Sequential([Dense(H)])(Input((FEATURES,))),
    ):
        with pytest.raises(
            TypeError, match=r"^x: expected an array .*; layers are put together by fastrnn\.Sequential"
        ):
            call()


def test_a_layer_of_ones_own_says_what_it_lacks():
    class KerasLike(Layer):
        def call(self, x):
            return x

    class NoBackward(Layer):
        def forward(self, x, mask=None, training=False):
            return x

    x, y = np.zeros((2, FEATURES), "float32"), np.zeros((2, 1))
    with pytest.raises(
        NotImplementedError, match=r"KerasLike: .* needs a method forward\(.*; call\(x\), as Keras has it"
    ):
        Sequential([KerasLike()]).predict(x)
    model = Sequential([NoBackward(), NoBackward(), Dense(1)])
    model.compile("sgd", "mse")
    assert model.predict(x).shape == (2, 1)
    with pytest.raises(NotImplementedError, match=r"NoBackward: .* needs a method backward\(dy\), see fastrnn\.Layer$"):
        model.fit(x, y, verbose=0)


# -- what is not a Sequential, and what takes one ----------------------------------------------------------------------


def test_model_is_not_keras_model():
    for call in (lambda: fastrnn.Model(inputs=1, outputs=2), lambda: fastrnn.Model(1, 2), fastrnn.Model):
        with pytest.raises(
            TypeError, match=r"^Model: expected layers alone, .* a model to train is fastrnn\.Sequential"
        ):
            call()


def test_sessions_and_pools_take_a_sequential():
    pytest.importorskip("safetensors")
    model = Sequential([Input((None, FEATURES)), LSTM(H, return_sequences=True), Dense(2, activation="softmax")])
    x = np.random.default_rng(0).standard_normal((1, 4, FEATURES)).astype("float32")
    session, native = fastrnn.Session(model), fastrnn.Session(model.to_native())
    assert isinstance(session.weights, fastrnn.Model)
    np.testing.assert_array_equal(session.run(x[0][:, None]), native.run(x[0][:, None]))
    np.testing.assert_allclose(session.state[0][0], native.state[0][0])
    pool = fastrnn.StreamPool(model, capacity=2)
    stream = pool.open()
    native.reset()
    np.testing.assert_array_equal(pool.step(stream, x[0, 0]), native.step(x[0, 0]))
    with pytest.raises(ValueError, match="expected a built model"):
        fastrnn.Session(Sequential([LSTM(H)]))
    for wrong in (Sequential, object(), None):
        with pytest.raises(TypeError, match="weights: expected PackedWeights or a Model, got "):
            fastrnn.Session(wrong)
