"""Callbacks: what `fit` calls around epochs and batches. Names, arguments and behaviour are Keras'."""

from .base import Callback, CallbackList, DivergenceWarning, History, TerminateOnNaN
from .control import EarlyStopping, LambdaCallback, LearningRateScheduler, ReduceLROnPlateau
from .files import CSVLogger, ModelCheckpoint
from .tensorboard import TensorBoard

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "DivergenceWarning",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TensorBoard",
    "TerminateOnNaN",
]
