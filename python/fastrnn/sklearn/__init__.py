"""Estimators for scikit-learn: sequences classified, regressed and forecast by recurrent networks.

Everything that takes an estimator takes these: pipelines, GridSearchCV, cross_val_score, clone, joblib.
"""

from . import _version as _version  # first: says what is missing
from .classifier import RNNClassifier
from .forecaster import SequenceForecaster
from .regressor import RNNRegressor
from .scaler import SequenceScaler

__all__ = ["RNNClassifier", "RNNRegressor", "SequenceForecaster", "SequenceScaler"]
