"""fastrnn.sktime: sktime's own checks, and the example. Two minutes; CI has no sktime."""

import importlib.util
import warnings

import numpy as np
import pytest

pytest.importorskip("sktime")

import pandas as pd
from sktime.utils.estimator_checks import check_estimator

from fastrnn.sklearn import SequenceForecaster
from fastrnn.sktime import RNNClassifier, RNNForecaster
from tests.support.tree import ROOT

# sktime 1.2 warns of what its next versions will do, and in fit of NumPy's and pandas' next ones.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("kind", [RNNClassifier, RNNForecaster])
def test_the_checks_of_sktime(kind):
    results = check_estimator(kind, raise_exceptions=False, verbose=False)
    assert len(results) > 200
    assert {name: result for name, result in results.items() if result != "PASSED"} == {}


def test_a_forecast_reads_exogenous_series_and_goes_on_after_an_update():
    time = np.arange(80)
    index = pd.period_range("2020-01", periods=80, freq="M")
    driver = np.sin(time * 0.7)
    y = pd.DataFrame({"a": np.roll(driver, 2) * 3 + 10, "b": -driver}, index=index)
    X = pd.DataFrame({"driver": driver}, index=index)
    network = SequenceForecaster(16, cell="gru", window=12, max_iter=150, learning_rate_init=0.02, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        forecaster = RNNForecaster(network).fit(y[:60], X[:60], fh=[1, 3])
    said = forecaster.predict(X=X[60:63])
    assert said.index.equals(index[[60, 62]])
    assert said.columns.tolist() == ["a", "b"]
    np.testing.assert_allclose(said, y.iloc[[60, 62]], atol=1)
    forecaster.update(y[60:70], X[60:70], update_params=False)
    later = forecaster.predict(X=X[70:73])
    assert later.index.equals(index[[70, 72]])
    np.testing.assert_allclose(later, y.iloc[[70, 72]], atol=1)
    forecaster.update(y[70:75], X[70:75])  # trains an epoch
    assert forecaster.estimator_.n_iter_ == 1


def test_example_sktime_forecast():
    spec = importlib.util.spec_from_file_location("example", ROOT / "examples" / "sktime_forecast.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    errors = module.main(["--years", "1", "--units", "8", "--max-iter", "10"])
    assert 0 < errors["rnn"] < 0.3
    assert 0 < errors["seasonal_naive"] < 0.15
