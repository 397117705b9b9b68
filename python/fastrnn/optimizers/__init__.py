"""Optimizers with the names, defaults and update formulas of Keras 3."""

from .algorithms import SGD, Adagrad, Adam, AdamW, RMSprop, get, serialize
from .base import Optimizer

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "get", "serialize"]
