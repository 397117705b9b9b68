"""Callbacks: what `fit` calls around epochs and batches. Names, arguments and behaviour are Keras'."""

from .base import Callback, CallbackList, History
from .control import EarlyStopping, LambdaCallback, LearningRateScheduler, ReduceLROnPlateau, TerminateOnNaN
from .files import CSVLogger, ModelCheckpoint

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]
