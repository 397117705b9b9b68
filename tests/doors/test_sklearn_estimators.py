"""The estimators of fastrnn.sklearn: scikit-learn's own checks, and what it has no checks for."""

import pickle
import warnings

import numpy as np
import pytest

sklearn = pytest.importorskip("sklearn", minversion="1.6")

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import estimator_checks

import fastrnn
from fastrnn import _threads
from fastrnn.sklearn import RNNClassifier, RNNRegressor, SequenceForecaster, SequenceScaler

# Small networks that learn what the checks want them to learn.
SMALL = {"hidden_layer_sizes": (16,), "cell": "rnn", "max_iter": 30, "learning_rate_init": 0.03, "batch_size": 32}
QUICK = {"hidden_layer_sizes": (8,), "cell": "gru", "max_iter": 60, "learning_rate_init": 0.03, "random_state": 0}
NOT_MET = {
    "check_sample_weight_equivalence_on_dense_data": "a mini-batch has a number of rows, not a sum of weights, so that "
    "a row of weight 2 and two rows fall into other batches; in one batch they are equal, see the test below",
}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize(
    ("estimator", "not_met"),
    [
        (RNNClassifier(**SMALL), NOT_MET),
        (RNNRegressor(**SMALL), NOT_MET),
        (SequenceForecaster(**SMALL), {}),
        (SequenceScaler(), {}),
    ],
    ids=lambda v: type(v).__name__,
)
def test_the_checks_of_scikit_learn(estimator, not_met):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = estimator_checks.check_estimator(estimator, on_fail=None, on_skip=None)
    assert len(results) > 35
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert failed.keys() == not_met.keys(), failed
    skipped = {r["check_name"] for r in results if r["status"] == "skipped"}
    assert skipped <= {"check_array_api_input"}, skipped  # SCIPY_ARRAY_API is not set


@pytest.mark.parametrize("kind", [RNNClassifier, RNNRegressor])
def test_a_weight_of_two_is_a_row_twice_where_all_rows_are_one_batch(kind):
    estimator = kind(**{**SMALL, "batch_size": 1000, "max_iter": 5}, dtype="float64", shuffle=False)
    estimator_checks.check_sample_weight_equivalence_on_dense_data(kind.__name__, estimator)


def ragged(count=60, features=2, seed=0):
    """Sequences of two classes: one rises, the other falls."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 2
    return [
        (np.linspace(0, 2 * up - 1, n)[:, None] + rng.normal(0, 0.1, (n, features))).astype(np.float32)
        for n, up in zip(rng.integers(3, 12, count), y, strict=True)
    ], np.where(y, "up", "down")


def test_ragged_sequences_are_learned_and_padding_changes_nothing():
    X, y = ragged()
    classifier = RNNClassifier(**QUICK).fit(X, y)
    assert classifier.score(X, y) > 0.95
    assert classifier.n_features_in_ == 2
    assert classifier.classes_.tolist() == ["down", "up"]
    together = classifier.predict_proba(X)
    np.testing.assert_allclose(together.sum(axis=1), 1, rtol=1e-5)
    for i in (0, 7, 59):
        assert np.array_equal(classifier.predict_proba([X[i]])[0], together[i])
    as_objects = np.empty(len(X), object)
    as_objects[:] = X
    assert np.array_equal(classifier.predict_proba(as_objects), together)
    nested = [[step.tolist() for step in x] for x in X]
    np.testing.assert_allclose(classifier.predict_proba(nested), together, rtol=1e-6)


def test_three_kinds_of_the_same_sequences():
    rng = np.random.default_rng(1)
    table = rng.normal(size=(40, 6)).astype(np.float32)
    y = table.sum(axis=1)
    of_table = RNNRegressor(**QUICK).fit(table, y)
    of_array = RNNRegressor(**QUICK).fit(table[:, :, None], y)
    of_list = RNNRegressor(**QUICK).fit([row[:, None] for row in table], y)
    assert (of_table.n_features_in_, of_array.n_features_in_, of_list.n_features_in_) == (6, 1, 1)
    for X in (table, table[:, :, None], list(table[:, :, None])):
        for model in (of_table, of_array, of_list):
            assert np.array_equal(model.predict(X), of_table.predict(table))
    # A network knows no number of steps; a table of another number of columns is refused as scikit-learn wants it.
    assert of_array.predict(table[:, :3]).shape == (40,)
    assert of_table.predict([row[:n] for row, n in zip(table, [3, 4] * 20, strict=True)]).shape == (40,)
    with pytest.raises(ValueError, match="X has 3 features, but RNNRegressor is expecting 6 features"):
        of_table.predict(table[:, :3])


def test_several_targets():
    X, _ = ragged()
    y = np.array([[x.mean(), -x.mean(), 1.0] for x in X])
    regressor = RNNRegressor(**QUICK).fit(X, y)
    assert regressor.predict(X).shape == (60, 3)
    assert regressor.n_outputs_ == 3
    assert regressor.score(X, y[:, :]) > 0.5
    with pytest.raises(ValueError, match="y: expected 3 targets an example as before, got 1"):
        regressor.partial_fit(X, y[:, 0])


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber"])
def test_losses_fall(loss):
    X, _ = ragged()
    regressor = RNNRegressor(**QUICK, loss=loss).fit(X, [x[:, 0].sum() for x in X])
    assert regressor.loss_ == regressor.loss_curve_[-1] < regressor.loss_curve_[0] / 2
    assert regressor.t_ == 60 * regressor.n_iter_


def test_early_stopping_goes_back_to_the_best_weights():
    X, y = ragged(80)
    noise = np.random.default_rng(0).permutation(y)  # nothing to be learned: the score stops rising at once
    settings = {**QUICK, "max_iter": 200, "early_stopping": True, "validation_fraction": 0.25, "n_iter_no_change": 3}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # converged: no warning
        classifier = RNNClassifier(**settings).fit(X, noise)
    scores = classifier.validation_scores_
    assert len(scores) == classifier.n_iter_ < 200
    assert classifier.best_validation_score_ == max(scores)
    assert classifier.best_loss_ is None
    # One epoch after another from the same start: the weights are those of the best epoch.
    best = scores.index(max(scores)) + 1
    stopped = RNNClassifier(**{**settings, "max_iter": best}).fit(X, noise)
    assert np.array_equal(stopped.predict_proba(X), classifier.predict_proba(X))


def test_a_fit_ends_when_the_loss_gets_no_better():
    X, y = ragged(20)
    classifier = RNNClassifier(**{**QUICK, "max_iter": 300}, tol=0.05, n_iter_no_change=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier.fit(X, y)
    assert classifier.n_iter_ < 300
    assert classifier.validation_scores_ is None
    with pytest.warns(sklearn.exceptions.ConvergenceWarning, match=r"Maximum iterations \(2\) reached"):
        RNNClassifier(**{**QUICK, "max_iter": 2}).fit(X, y)


def test_partial_fit_and_warm_start_go_on():
    X, y = ragged()
    classifier = RNNClassifier(**QUICK)
    with pytest.raises(ValueError, match="classes must be passed on the first call to partial_fit"):
        classifier.partial_fit(X, y)
    classifier.partial_fit(X[:2], ["up", "up"], classes=["up", "down", "still"])
    assert classifier.classes_.tolist() == ["down", "still", "up"]
    for _ in range(40):
        classifier.partial_fit(X, y)
    assert classifier.score(X, y) > 0.9
    assert classifier.predict_proba(X).shape == (60, 3)
    with pytest.raises(ValueError, match="`y` has classes not in"):
        classifier.partial_fit(X[:2], ["up", "sideways"])
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping"):
        RNNClassifier(early_stopping=True).partial_fit(X, y, classes=["up", "down"])
    warm = RNNClassifier(**{**QUICK, "max_iter": 2}, warm_start=True).fit(X, y)
    first = warm.loss_
    assert warm.fit(X, y).loss_ < first
    assert len(warm.loss_curve_) == 4


def test_class_weight_is_a_weight_of_samples():
    X, y = ragged()
    keep = np.flatnonzero((y == "up") | (np.arange(60) % 6 == 0))  # 30 up, 10 down
    X, y = [X[i] for i in keep], y[keep]
    weights = np.where(y == "up", len(y) / 2 / 30, len(y) / 2 / 10)
    balanced = RNNClassifier(**QUICK, class_weight="balanced").fit(X, y).predict_proba(X)
    by_hand = RNNClassifier(**QUICK).fit(X, y, sample_weight=weights).predict_proba(X)
    np.testing.assert_allclose(balanced, by_hand, rtol=1e-6)
    by_dict = RNNClassifier(**QUICK, class_weight={"up": weights.min(), "down": weights.max()}).fit(X, y)
    np.testing.assert_allclose(by_dict.predict_proba(X), by_hand, rtol=1e-6)
    assert not np.allclose(RNNClassifier(**QUICK).fit(X, y).predict_proba(X), by_hand, rtol=1e-3)


def test_rows_that_weigh_nothing_are_not_there():
    X, y = ragged()
    weights = np.arange(60) % 3 != 0
    there = np.flatnonzero(weights)
    a = RNNClassifier(**QUICK).fit(X, y, weights.astype(float))
    b = RNNClassifier(**QUICK).fit([X[i] for i in there], y[there], np.ones(len(there)))
    assert np.array_equal(a.predict_proba(X), b.predict_proba(X))
    with pytest.raises(ValueError, match="sample_weight: expected a weight above zero"):
        RNNClassifier(class_weight={"up": 0, "down": 0}).fit(X, y)


def test_threads_are_handed_on_and_change_nothing(monkeypatch):
    X, y = ragged(12)
    seen = []
    forward = fastrnn.Dense.forward
    monkeypatch.setattr(fastrnn.Dense, "forward", lambda *a, **k: (seen.append(_threads.wanted()), forward(*a, **k))[1])
    said = [
        RNNClassifier(**{**QUICK, "cell": "lstm", "max_iter": 2}, threads=n).fit(X, y).predict_proba(X) for n in (1, 2)
    ]
    assert set(seen) == {1, 2}
    assert np.array_equal(*said)
    with pytest.raises(ValueError, match=r"threads: expected 1\.\.4096, got 0"):
        RNNClassifier(threads=0).fit(X, y)


def test_grid_search_cross_validation_and_copies():
    X, y = ragged()
    search = GridSearchCV(RNNClassifier(**{**QUICK, "max_iter": 20}), {"cell": ["rnn", "gru"]}, cv=3).fit(X, y)
    assert search.best_score_ > 0.7
    assert len(cross_val_score(search.best_estimator_, X, y, cv=3)) == 3
    fitted = search.best_estimator_
    for copied in (pickle.loads(pickle.dumps(fitted)), pickle.loads(pickle.dumps(search)).best_estimator_):
        assert np.array_equal(copied.predict_proba(X), fitted.predict_proba(X))
    again = clone(fitted)
    assert not hasattr(again, "model_")
    assert np.array_equal(again.fit(X, y).predict_proba(X), fitted.predict_proba(X))
    a, b = pickle.loads(pickle.dumps(fitted)), fitted
    assert np.array_equal(a.partial_fit(X, y).predict_proba(X), b.partial_fit(X, y).predict_proba(X))


def test_pipelines_and_frames():
    pandas = pytest.importorskip("pandas")
    X, y = ragged()
    three = np.stack([x[:3] for x in X])
    scaled = make_pipeline(FunctionTransformer(lambda a: a * 2), RNNClassifier(**QUICK)).fit(three, y)
    assert scaled.predict(three).shape == (60,)
    frame = pandas.DataFrame(three[:, :, 0], columns=["t0", "t1", "t2"])
    pipeline = make_pipeline(StandardScaler(), RNNClassifier(**QUICK)).set_output(transform="pandas").fit(frame, y)
    assert pipeline[-1].feature_names_in_.tolist() == ["t0", "t1", "t2"]
    assert pipeline.score(frame, y) > 0.8
    with pytest.raises(ValueError, match="feature names"):
        pipeline[-1].predict(frame.rename(columns={"t0": "other"}))
    assert RNNClassifier().__sklearn_tags__().input_tags.three_d_array


def test_progress(capsys):
    X, y = ragged(10)
    RNNClassifier(**{**QUICK, "max_iter": 2}).fit(X, y)
    assert capsys.readouterr().out == ""
    RNNClassifier(**{**QUICK, "max_iter": 2}, verbose=2).fit(X, y)
    assert capsys.readouterr().out.count("loss: ") == 2


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "indrnn", "mgu", "slstm"])
def test_every_cell(cell):
    X, y = ragged(12)
    settings = {**QUICK, "cell": cell, "max_iter": 2, "hidden_layer_sizes": (4, 3), "dtype": "float64"}
    classifier = RNNClassifier(**settings, bidirectional=True, dropout=0.2).fit(X, y)
    assert classifier.predict_proba(X).dtype == np.float64
    assert classifier.n_layers_ == 4  # masking, two, the output
    assert np.array_equal(classifier.predict_proba(X), clone(classifier).fit(X, y).predict_proba(X))
    forward, backward = (getattr(classifier.model_.layers[1], f"{way}_layer") for way in ("forward", "backward"))
    assert not np.array_equal(forward.get_weights()[0], backward.get_weights()[0])


def test_the_seed_of_others_is_left_alone():
    X, y = ragged(12)
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    RNNClassifier(**{**QUICK, "max_iter": 1}, recurrent_dropout=0.1).fit(X, y)
    assert np.random.rand() == expected  # noqa: NPY002


@pytest.mark.parametrize("solver", ["adam", "sgd", "rmsprop", "adamw", "adagrad"])
def test_solvers_and_options_of_the_cell(solver):
    X, y = ragged(12)
    settings = {**QUICK, "cell": "lstm", "max_iter": 2, "solver": solver, "weight_decay": 0.1}
    plain = RNNClassifier(**settings).fit(X, y)
    other = RNNClassifier(**settings, cell_options={"peephole": "diagonal", "layer_norm": True}).fit(X, y)
    assert other.model_.count_params() > plain.model_.count_params()


def sines(count=5, seed=0):
    rng = np.random.default_rng(seed)
    return [np.sin(np.arange(n) * 0.4 + start) * 5 + 20 for n, start in zip(
        rng.integers(60, 90, count), rng.uniform(0, 6, count), strict=True
    )]  # fmt: skip


def test_forecasts():
    X = sines()
    forecaster = SequenceForecaster(**QUICK, horizon=4, window=16).fit(X)
    assert forecaster.score(X) > 0.9
    future = forecaster.predict([x[:-4] for x in X])
    assert future.shape == (5, 4)
    np.testing.assert_allclose(future, [x[-4:] for x in X], atol=2)
    # What lies before the window plays no part.
    assert np.array_equal(forecaster.predict([x[-16:] for x in X]), forecaster.predict(X))
    table = np.stack([x[:50] for x in X])
    assert SequenceForecaster(**QUICK, horizon=3).fit(table).predict(table).shape == (5, 3)
    assert pickle.loads(pickle.dumps(forecaster)).score(X) == forecaster.score(X)


def test_forecasts_of_some_features():
    X = [np.stack([x, np.arange(len(x)) % 7, -x], axis=1) for x in sines()]
    settings = {**QUICK, "max_iter": 40, "horizon": 2, "window": 12}
    both = SequenceForecaster(**settings, target=[0, 2]).fit(X)
    assert both.predict(X).shape == (5, 2, 2)
    assert both.score(X) > 0.5
    first = SequenceForecaster(**settings, target=0, stride=2).fit(X)
    assert first.predict(X).shape == (5, 2)
    assert SequenceForecaster(**settings).fit(X).predict(X).shape == (5, 2, 3)
    with pytest.raises(ValueError, match=r"target: expected numbers of features in 0\.\.2, got 3"):
        SequenceForecaster(**settings, target=3).fit(X)


def test_forecasts_hold_the_end_of_each_series_back():
    seen = []

    class Watched(SequenceForecaster):
        def _train(self, sequences, targets, weights, validation, incremental):
            seen.append((targets, validation))
            super()._train(sequences, targets, weights, validation, incremental)

    X = [np.arange(100.0)[:, None], np.arange(1000.0, 1060)[:, None]]
    settings = {**QUICK, "max_iter": 2, "horizon": 3, "window": 5}
    forecaster = Watched(**settings, early_stopping=True, validation_fraction=0.2).fit(X)
    targets, (_, held, _) = seen[0]
    train = forecaster.scaler_.inverse_transform(targets.reshape(-1, 3, 1)).round()
    last = forecaster.scaler_.inverse_transform(held.reshape(-1, 3, 1)).round()
    assert len(last) == 19 + 11  # a fifth of 93 and of 53 windows, rounded up
    for low, high in ((0, 500), (500, 2000)):
        a, b = (part[(part >= low) & (part < high)] for part in (train, last))
        assert a.max() < b.min()
    assert forecaster.scaler_.shift[0] == pytest.approx(np.mean([*range(80), *range(1000, 1048)]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda X, y: RNNClassifier(cell="lstn").fit(X, y), "cell: expected one of .* did you mean 'lstm'"),
        (lambda X, y: RNNClassifier(solver="lbfgs").fit(X, y), "solver: expected one of 'adam'"),
        (lambda X, y: RNNClassifier(hidden_layer_sizes=()).fit(X, y), "hidden_layer_sizes: expected one or more"),
        (lambda X, y: RNNClassifier(max_iter=0).fit(X, y), "max_iter: expected an integer >= 1, got 0"),
        (lambda X, y: RNNClassifier(batch_size="all").fit(X, y), "batch_size: expected an integer >= 1, got 'all'"),
        (lambda X, y: RNNRegressor(loss="mse").fit(X, range(60)), "loss: expected one of 'squared_error'"),
        (lambda X, y: RNNClassifier().fit([*X[:-1], X[0][:, :1]], y), "X: expected sequences with 2 features .* 59"),
        (lambda X, y: RNNClassifier().fit([*X[:-1], X[0][:0]], y), r"X: expected a sequence .* index 59, .*\(0, 2\)"),
        (lambda X, y: RNNClassifier().fit([*X[:-1], X[0] * np.nan], y), "X: expected finite numbers, .* index 59"),
        (lambda X, y: RNNClassifier().fit([["a", "b"], ["c"]], y[:2]), "X: expected an array of numbers at index 0"),
        (lambda X, y: RNNClassifier().fit(np.ones((4, 0, 2)), y[:4]), "X: expected sequences with steps and features"),
        (lambda X, y: RNNClassifier(**QUICK).fit(X, y).predict(np.ones((2, 4, 3))), "X has 3 features a step, but"),
        (lambda X, y: RNNClassifier(early_stopping=True).fit(X[:4], y[:4]), "validation_fraction: "),
        (lambda X, y: SequenceForecaster().fit(np.arange(50.0)), r"X: expected several .* one of 50 numbers\. Resh"),
        (lambda X, y: SequenceForecaster(horizon=0).fit(X), "horizon: expected an integer >= 1"),
        (lambda X, y: SequenceForecaster(horizon=40).fit(X), r"X: expected series of at least 41 steps .* index 0"),
    ],
)  # fmt: skip
def test_errors(make, message):
    X, y = ragged()
    with pytest.raises(ValueError, match=message):
        make(X, y)


def test_a_loss_that_is_no_number_is_an_error():
    with (
        pytest.warns(RuntimeWarning, match="loss became"),
        pytest.raises(ValueError, match="the input may need scaling, or learning_rate_init"),
    ):
        RNNRegressor(**{**QUICK, "learning_rate_init": 1e30}, global_clipnorm=None).fit(np.eye(9), np.ones(9) * 1e9)


@pytest.mark.parametrize(
    ("version", "message"), [("1.5.2", r"needs scikit-learn 1\.6 or later, got 1\.5\.2"), (None, "pip install")]
)
def test_what_is_missing_is_said(version, message, monkeypatch):
    import runpy

    from fastrnn.sklearn import _version

    if version is None:
        monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    else:
        monkeypatch.setattr(sklearn, "__version__", version)
    with pytest.raises(ImportError, match=message):
        runpy.run_path(_version.__file__)


def test_a_scaler_in_a_pipeline_takes_what_the_estimators_take():
    X, y = ragged()
    search = GridSearchCV(
        make_pipeline(SequenceScaler(), RNNClassifier(**QUICK)), {"sequencescaler__kind": ["standard", "minmax"]}, cv=2
    )
    assert search.fit([10 * x + 7 for x in X], y).score([10 * x + 7 for x in X], y) > 0.5
    for data in (X, np.stack([x[:3] for x in X]), np.stack([x[:3, 0] for x in X])):  # ragged, (N, T, I), a table
        scaler = SequenceScaler().fit(data)
        scaled = scaler.transform(data)
        rows = np.concatenate([np.reshape(x, (-1, scaler.scaler_.shift.size)) for x in scaled])
        np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(rows.std(axis=0), 1)
        for a, b in zip(scaler.inverse_transform(scaled), data, strict=True):
            assert np.shape(a) == np.shape(b)
            np.testing.assert_allclose(a, b, atol=1e-12)
    parts = SequenceScaler().partial_fit(X[:20]).partial_fit(X[20:])
    np.testing.assert_allclose(parts.scaler_.shift, SequenceScaler().fit(X).scaler_.shift)
