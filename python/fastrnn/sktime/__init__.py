"""A forecaster and a classifier for sktime, over the estimators of `fastrnn.sklearn`."""

from . import _version as _version  # first: says what is missing
from .classifier import RNNClassifier
from .forecaster import RNNForecaster

__all__ = ["RNNClassifier", "RNNForecaster"]
