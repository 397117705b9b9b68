"""Whole models, trained in Keras and here: the same first weights, batches and optimizer, the same losses and weights.

Also what the two do differently on purpose, held to what it is.
"""

from __future__ import annotations

import numpy as np
import pytest

import fastrnn
from tests.support.conformance.keras_cases import DTYPES, keras, quiet, torch

pytestmark = quiet
STEPS, INPUTS, CLASSES, ROWS, BATCH, EPOCHS = 9, 6, 4, 40, 8, 3

MODELS = {
    "LSTM(128), Dense": lambda k: [k.LSTM(128), k.Dense(CLASSES, activation="softmax")],
    "Masking, GRU, LSTM, Dense": lambda k: [
        k.Masking(),
        k.GRU(12, return_sequences=True),
        k.LSTM(10),
        k.Dense(CLASSES, activation="softmax"),
    ],
    "Bidirectional(GRU), SimpleRNN, Dense": lambda k: [
        k.Bidirectional(k.GRU(7, return_sequences=True, reset_after=False), merge_mode="sum"),
        k.SimpleRNN(9),
        k.Dense(CLASSES, activation="softmax"),
    ],
    "LSTM, TimeDistributed(Dense)": lambda k: [
        k.LSTM(11, return_sequences=True),
        k.TimeDistributed(k.Dense(CLASSES, activation="softmax")),
    ],
}
OPTIMIZERS = {  # with rates that are exact in float32, in which Keras keeps them
    "SGD": lambda k: k.SGD(2**-3),
    "SGD, momentum": lambda k: k.SGD(2**-4, momentum=0.9, nesterov=True),
    "Adam": lambda k: k.Adam(2**-8),
    "Adam, clipnorm": lambda k: k.Adam(2**-8, clipnorm=0.1),
    "RMSprop": lambda k: k.RMSprop(2**-9),
}


@pytest.fixture(params=DTYPES)
def dtype(request):
    """The default dtype of both libraries."""
    kept = keras.config.floatx(), fastrnn.config.floatx()

    def use(theirs: str, ours: str) -> None:
        keras.config.set_floatx(theirs)
        keras.config.set_dtype_policy(theirs)  # Keras keeps the one of its first layer otherwise
        fastrnn.set_floatx(ours)

    use(request.param, request.param)
    yield request.param
    use(*kept)


def make_data(dtype: str, sequences: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows of several lengths, zero behind their ends, and one-hot classes: one a row or one a step."""
    rng = np.random.default_rng(10)
    x = (
        rng.standard_normal((ROWS, STEPS, INPUTS))
        * (np.arange(STEPS) < rng.integers(1, STEPS + 1, (ROWS, 1)))[..., None]
    )
    classes = rng.integers(0, CLASSES, (ROWS, STEPS) if sequences else ROWS)
    return x.astype(dtype), np.eye(CLASSES, dtype=dtype)[classes]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_training(conformance, model, optimizer, dtype):
    x, y = make_data(dtype, "TimeDistributed" in model)
    keras.utils.set_random_seed(11)
    theirs = keras.Sequential([keras.Input((STEPS, INPUTS)), *MODELS[model](keras.layers)])
    ours = fastrnn.Sequential([fastrnn.Input((STEPS, INPUTS)), *MODELS[model](fastrnn.layers)])
    for a, b in zip(theirs.layers, ours.layers, strict=True):
        b.set_weights([v.value.detach().numpy() for v in a.weights])
    results = []
    for module, net in ((keras.optimizers, theirs), (fastrnn.optimizers, ours)):
        net.compile(OPTIMIZERS[optimizer](module), "categorical_crossentropy", metrics=["accuracy"])
        history = net.fit(x, y, epochs=EPOCHS, batch_size=BATCH, shuffle=False, verbose=0).history
        evaluated = net.evaluate(x, y, batch_size=BATCH, verbose=0)
        found = {name: np.array(history[name], dtype) for name in ("loss", "accuracy")}
        found |= {"evaluate": np.array(evaluated, dtype), "predict": net.predict(x, verbose=0).astype(dtype)}
        found |= {
            f"layer {k}, weight {i}": np.asarray(w)
            for k, layer in enumerate(net.layers)
            for i, w in enumerate(layer.get_weights())
        }
        results.append(found)
    expected, actual = results
    # An update hands its error on to the next, as a step does.
    updates = EPOCHS * -(-ROWS // BATCH)
    terms = INPUTS + 128 + BATCH * STEPS
    case = f"{model}; {optimizer}; {dtype}"
    conformance.check("Keras, trained models", case, actual, expected, dtype, terms=terms, steps=STEPS + updates)


@pytest.mark.parametrize("layer", ["SimpleRNN", "LSTM", "GRU"])
def test_the_mask_behind_go_backwards_is_in_the_order_of_the_output(conformance, layer):
    """Keras hands on the mask of the input as it was. Given ours, its second layer computes what ours does."""
    rng = np.random.default_rng([12, *layer.encode()])
    x = rng.standard_normal((5, 7, 3)).astype("float32")
    mask = np.arange(7) < np.array([[7], [1], [4], [0], [6]])
    theirs = [getattr(keras.layers, layer)(4, return_sequences=True, go_backwards=True), keras.layers.GRU(6)]
    ours = [getattr(fastrnn, layer)(4, return_sequences=True, go_backwards=True), fastrnn.GRU(6)]
    for a, b, width in zip(theirs, ours, (3, 4), strict=True):
        a.build((None, None, width))
        b.build((None, None, width))
        b.set_weights([v.value.detach().numpy() for v in a.weights])
    handed_on = ours[0].compute_mask(x, mask)
    np.testing.assert_array_equal(handed_on, mask[:, ::-1])
    np.testing.assert_array_equal(theirs[0].compute_mask(x, mask), mask)
    first = theirs[0](torch.from_numpy(x), mask=torch.from_numpy(mask))
    second = theirs[1](first, mask=torch.from_numpy(handed_on.copy()))
    y = ours[1](ours[0](x, mask=mask), mask=handed_on)
    suite = "Keras, mask behind go_backwards"
    conformance.check(suite, layer, {"y": y}, {"y": second.detach().numpy()}, "float32", terms=7, steps=14)
