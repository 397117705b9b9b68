"""Data as people have it, made into the batches that a model takes; NumPy alone is needed."""

from .arrays import fill_missing, pad_sequences, to_categorical
from .csv_files import read_csv
from .lengths import BatchesByLength
from .parts import FileParts, WindowStream
from .scaling import Scaler
from .splits import split_by_time, train_test_split
from .tables import columns, group_sequences
from .text import CharVocabulary, WordVocabulary, python_topics, vocabulary_from_config
from .windows import forecast_windows, windows

__all__ = [
    "BatchesByLength",
    "CharVocabulary",
    "FileParts",
    "Scaler",
    "WindowStream",
    "WordVocabulary",
    "columns",
    "fill_missing",
    "forecast_windows",
    "group_sequences",
    "pad_sequences",
    "python_topics",
    "read_csv",
    "split_by_time",
    "to_categorical",
    "train_test_split",
    "vocabulary_from_config",
    "windows",
]
