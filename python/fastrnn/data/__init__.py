"""Data as people have it, made into the batches that a model takes; NumPy alone is needed."""

from .arrays import pad_sequences, to_categorical
from .lengths import BatchesByLength
from .scaling import Scaler
from .splits import split_by_time, train_test_split
from .text import CharVocabulary, python_topics
from .windows import forecast_windows, windows

__all__ = [
    "BatchesByLength",
    "CharVocabulary",
    "Scaler",
    "forecast_windows",
    "pad_sequences",
    "python_topics",
    "split_by_time",
    "to_categorical",
    "train_test_split",
    "windows",
]
