"""Pictures: what they show, not how. docs/plots.md has them."""

import importlib.util
import re

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")

import fastrnn
from fastrnn import plot
from tests.support.tree import ROOT

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def _close():
    yield
    matplotlib.pyplot.close("all")


def network(*layers, inputs=3, loss="mse"):
    fastrnn.set_random_seed(0)
    model = fastrnn.Sequential([fastrnn.Input((None, inputs)), *layers])
    model.compile("sgd", loss)
    return model


def data(batch=4, steps=7, inputs=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(batch, steps, inputs)).astype(np.float32), rng.normal(size=(batch, 1)).astype(np.float32)


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def test_learning_curves():
    model = network(fastrnn.GRU(2), fastrnn.Dense(1))
    model.compile("sgd", "mse", ["mae"])
    x, y = data(20)
    history = model.fit(x, y, epochs=3, verbose=0, validation_split=0.25)
    drawn = lines(history.plot(["loss", "mean_absolute_error"] if "mean_absolute_error" in history.history else "loss"))
    assert drawn["loss"].get_xdata().tolist() == [1, 2, 3]
    assert drawn["loss"].get_ydata().tolist() == history.history["loss"]
    assert drawn["val_loss"].get_ydata().tolist() == history.history["val_loss"]
    best = int(np.argmin(history.history["val_loss"])) + 1
    assert drawn[f"best, epoch {best}"].get_xdata().tolist() == [best]
    given = matplotlib.pyplot.subplots()[1]
    figures = {"accuracy": [0.5, 0.9], "val_accuracy": [0.8, 0.7]}
    assert plot.learning_curves(figures, "accuracy", given, log=True) is given
    assert lines(given)["best, epoch 1"].get_ydata().tolist() == [0.8]
    with pytest.raises(ValueError, match="names: expected some of accuracy, val_accuracy, got 'loss'"):
        plot.learning_curves(figures)


def test_confusion_matrix():
    ax = plot.confusion_matrix([0, 0, 1, 2], [0, 1, 1, 2], ["a", "b", "c"])
    assert ax.images[0].get_array().tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a", "b", "c"]
    shares = plot.confusion_matrix(np.eye(2)[[0, 0, 1]], [[0.9, 0.1], [0.2, 0.8], [0, 1]], normalize=True)
    assert shares.images[0].get_array().tolist() == [[0.5, 0.5], [0, 1]]
    assert plot.confusion_matrix([0, 1], [0, 0]).images[0].get_array().sum() == 2
    with pytest.raises(ValueError, match="labels: expected at least 2 names, one a class, got 1"):
        plot.confusion_matrix([0, 1], [0, 0], ["a"])
    with pytest.raises(ValueError, match="y_pred: expected 2 examples as y_true has, got 1"):
        plot.confusion_matrix([0, 1], [0])


def test_forecast():
    ax = plot.forecast([1, 2, 3], [4, 5], [4, 6], start=10)
    drawn = lines(ax)
    assert drawn["past"].get_xdata().tolist() == [10, 11, 12]
    assert drawn["forecast"].get_xdata().tolist() == [13, 14]
    assert drawn["what came"].get_ydata().tolist() == [4, 6]
    many = plot.forecast([1.0], np.arange(21.0)[:, None] + [0, 10])
    assert lines(many)["forecast"].get_ydata().tolist() == [10, 20]
    with pytest.raises(ValueError, match="truth: expected 2 steps as the forecast has"):
        plot.forecast([1], [2, 3], [4])


def test_activations_are_those_of_inference():
    model = network(
        fastrnn.Masking(-1.0),
        fastrnn.Bidirectional(fastrnn.LSTM(5, return_sequences=True, dropout=0.5, name="pair")),
        fastrnn.GRU(4, return_sequences=True, recurrent_dropout=0.5, name="top"),
    )
    x, _ = data()
    x[0, 4:] = -1
    found = plot.activations(model, x)
    assert list(found) == ["pair", "backward_pair", "top"]
    assert list(found["pair"]) == ["i", "f", "g", "o", "c", "h"]
    assert list(found["top"]) == ["r", "z", "n", "h"]
    top = found["top"]["h"]
    assert np.isnan(top[0, 4:]).all()
    assert not np.isnan(top[1:]).any()
    np.testing.assert_allclose(top[1:], model.predict(x)[1:], rtol=1e-6)
    np.testing.assert_allclose(top[0, :4], model.predict(x)[0, :4], rtol=1e-6)
    lstm = found["pair"]
    np.testing.assert_allclose(lstm["h"][1:], (lstm["o"] * np.tanh(lstm["c"]))[1:], rtol=1e-5)


def test_activation_maps():
    model = network(fastrnn.LSTM(5, name="lstm"), fastrnn.Dense(1))
    x, _ = data()
    drawn = plot.activation_maps(model, x, example=2)
    found = plot.activations(model, x)["lstm"]
    assert [ax.get_title() for ax in drawn] == list(found)
    for ax, values in zip(drawn, found.values(), strict=True):
        assert np.array_equal(ax.images[0].get_array(), values[2].T)
    assert drawn[1].images[0].get_clim() == (0, 1)
    ordered = plot.activation_map(np.eye(3)[:, [2, 0, 1]], "h")
    assert np.array_equal(ordered.images[0].get_array(), np.eye(3))
    with pytest.raises(ValueError, match="layer: expected one of lstm, got 'gru'"):
        plot.activation_maps(model, x, "gru")
    with pytest.raises(ValueError, match=r"values: expected \(T, H\) of one example, got shape \(3,\)"):
        plot.activation_map(np.ones(3))


def test_gradient_norms_against_finite_differences():
    model = network(fastrnn.LSTM(4, return_sequences=True, name="low"), fastrnn.GRU(3, name="high"), fastrnn.Dense(1))
    for parameter in model.parameters():
        parameter.value *= 1.5
    x, y = data(2, 5)
    norms = plot.gradient_norms(model, x, y)
    assert list(norms) == ["low", "high"]
    numeric = np.zeros_like(x, dtype=np.float64)
    for index in np.ndindex(x.shape):
        values = []
        for step in (1e-2, -1e-2):
            moved = x.copy()
            moved[index] += step
            values.append(model.loss(y, model(moved)))
        numeric[index] = (values[0] - values[1]) / 2e-2
    np.testing.assert_allclose(norms["low"], np.sqrt((numeric**2).sum(axis=(0, 2))), rtol=2e-2, atol=1e-4)
    drawn = lines(plot.gradient_flow(model, x, y))
    assert np.array_equal(drawn["high"].get_ydata(), norms["high"])
    with pytest.raises(ValueError, match="model: expected a compiled one"):
        plot.gradient_norms(fastrnn.Sequential([fastrnn.GRU(2)]), x, y)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("kind", "letters"), [(fastrnn.SimpleRNN, "h"), (fastrnn.LSTM, "hc"), (fastrnn.SLSTM, "hcnm")])
def test_state_gradient_norms_against_finite_differences(kind, letters, backwards):
    layer = kind(3, return_sequences=True, go_backwards=backwards, name="low", dtype="float64")
    top = fastrnn.GRU(2, name="high", dtype="float64")
    model = network(layer, top, fastrnn.Dense(1, dtype="float64"))
    x, y = (array.astype(np.float64) for array in data(2, 4))
    found = plot.state_gradient_norms(model, x, y)
    assert list(found) == ["low", "high"]
    assert "".join(found["low"]) == letters
    for t in range(4):
        # The states after step t, the outputs so far, and those of the steps after it, in the layer's own order.
        before, after = (slice(t, None), slice(t)) if backwards else (slice(t + 1), slice(t + 1, None))
        first, states = layer.run(x[:, before], None, False, None)

        def loss(moved, first=first, after=after):
            out = first.copy()
            out[:, 0 if backwards else -1] = moved[0]
            rest = layer.run(x[:, after], None, False, tuple(moved))[0] if x[:, after].size else out[:, :0]
            outputs = np.concatenate([rest, out] if backwards else [out, rest], axis=1)
            return model.loss(y, model.layers[2](model.layers[1](outputs[:, :: -1 if backwards else 1])))

        for k, letter in enumerate(letters):
            numeric = np.zeros_like(states[k])
            for index in np.ndindex(numeric.shape):
                values = []
                for step in (1e-6, -1e-6):
                    moved = [state.copy() for state in states]
                    moved[k][index] += step
                    values.append(loss(moved))
                numeric[index] = (values[0] - values[1]) / 2e-6
            np.testing.assert_allclose(found["low"][letter][t], np.linalg.norm(numeric), rtol=1e-5, atol=1e-8)
    drawn = lines(plot.gradient_flow(model, x, y, of="h"))
    assert np.array_equal(drawn["high"].get_ydata(), found["high"]["h"])
    with pytest.raises(ValueError, match=f"of: expected one of {', '.join(letters)} or 'input', got 'q'"):
        plot.gradient_flow(model, x, y, of="q")


def test_state_gradients_pass_masked_steps():
    model = network(fastrnn.Masking(-1.0), fastrnn.LSTM(4, name="lstm"), fastrnn.Dense(1))
    x, y = data()
    x[:, 3:5] = -1
    norms = plot.state_gradient_norms(model, x, y)["lstm"]
    np.testing.assert_allclose(norms["c"][3:5], norms["c"][2], rtol=1e-6)
    assert norms["c"][5] != norms["c"][2]


def test_drawing_of_a_model():
    model = network(fastrnn.LSTM(5, name="lstm"), fastrnn.Dropout(0.1, name="drop"), fastrnn.Dense(2, name="out"))
    texts = [t.get_text() for t in plot.model(model).texts if t.get_text()]
    assert texts == [
        "(B, T, 3)",
        "LSTM  lstm\n180 weights",
        "(B, 5)",
        "Dropout  drop",
        "(B, 5)",
        "Dense  out\n12 weights",
        "(B, 2)",
    ]
    with pytest.raises(ValueError, match="model: expected one that is built"):
        plot.model(fastrnn.Sequential([fastrnn.Dense(2)]))


def pictures():
    """The example's module."""
    spec = importlib.util.spec_from_file_location("example", ROOT / "examples" / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_example_pictures(tmp_path):
    figures = pictures().main(["--out", str(tmp_path), "--epochs", "2", "--examples", "100", "--steps", "6"])
    assert figures.keys() == {"usual", "open"}
    # The page shows what the example draws.
    page = (ROOT / "docs" / "plots.md").read_text(encoding="utf-8")
    drawn = {path.name for path in tmp_path.glob("*.png")}
    assert (
        drawn == set(re.findall(r"plots/(\w+\.png)", page)) == {p.name for p in (ROOT / "docs" / "plots").glob("*.png")}
    )


def test_the_picture_shows_the_gradient_of_an_rnn_vanish_and_that_of_an_open_lstm_not():
    example = pictures()
    x, y = example.keys(64, 40, np.random.default_rng(0))
    drawn = {name: line.get_ydata() for name, line in lines(example.draw_cells(x, y)).items()}
    assert set(drawn) == {"SimpleRNN", "LSTM", "LSTM, forget gates open"}
    share = {name: norms[0] / norms[-1] for name, norms in drawn.items()}  # of the gradient that reaches the first step
    assert share["SimpleRNN"] < 0.05
    assert share["LSTM"] < 0.001
    assert share["LSTM, forget gates open"] > 0.1
    # Within the sequence the open one passes back all of it, while the others lose it step by step.
    assert drawn["LSTM, forget gates open"][0] > drawn["LSTM, forget gates open"][20]
    assert (np.diff(np.log(drawn["SimpleRNN"])) > 0).mean() > 0.9
    assert (np.diff(np.log(drawn["LSTM"])) > 0).all()


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install 'fastrnn\[plot\]'"):
        plot.forecast([1], [2])
