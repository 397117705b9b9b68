"""Text as numbers: characters, words, and a text that is always there.

A vocabulary is saved with the model: ``model.metadata["vocabulary"] = vocabulary.get_config()``, and comes back by
``vocabulary_from_config(model.metadata["vocabulary"])``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from .._registry import choice_error
from .._typing import Array, Config

__all__ = ["CharVocabulary", "WordVocabulary", "python_topics", "vocabulary_from_config"]


class CharVocabulary:
    """Characters as numbers: the distinct ones of a text in code point order, from 1; 0 stands for all others.

    Args:
        text: whose characters are meant, a string or several.

    Attributes:
        characters: the known characters.

    Example:
        >>> vocabulary = fastrnn.data.CharVocabulary("abba")
        >>> vocabulary.encode("bax").tolist(), vocabulary.decode([2, 1])
        ([2, 1, 0], 'ba')
    """

    UNKNOWN = "\N{REPLACEMENT CHARACTER}"

    def __init__(self, text: Iterable[str]) -> None:
        self.characters = "".join(sorted(set(text)))
        self._index = {c: i for i, c in enumerate(self.characters, 1)}

    def __repr__(self) -> str:
        return f"CharVocabulary({len(self.characters)} characters)"

    def __len__(self) -> int:
        """The number of classes, the unknown one included."""
        return len(self.characters) + 1

    def encode(self, text: str) -> Array:
        """Return the numbers of the characters, int64 (len(text),)."""
        return np.fromiter((self._index.get(c, 0) for c in text), dtype=np.int64, count=len(text))

    def unknown(self, text: str) -> list[str]:
        """Return the characters that are not known, each once."""
        return [c for c in dict.fromkeys(text) if c not in self._index]

    def decode(self, numbers: Sequence[int] | Array) -> str:
        """Return the text of numbers; 0 becomes U+FFFD."""
        table = self.UNKNOWN + self.characters
        return "".join(table[int(n)] for n in numbers)

    def get_config(self) -> Config:
        """Everything `vocabulary_from_config` needs, of what JSON has."""
        return {"class_name": "CharVocabulary", "characters": self.characters}


class WordVocabulary:
    """Words as numbers: the most frequent ones of some texts, from 2; 1 stands for all others and 0 is padding.

    A word is a run of letters, digits and apostrophes; any other character that is no space is a word of its own.
    Pad with 0 and begin the model with ``Embedding(len(vocabulary), units, mask_zero=True)``.

    Args:
        texts: one text or several.
        size: numbers there are at most, the two included; None for no limit.
        lower: whether case is ignored.

    Attributes:
        words: the known words, the most frequent first, equals in alphabetical order.

    Example:
        >>> vocabulary = fastrnn.data.WordVocabulary("the cat and the dog")
        >>> vocabulary.encode("the bird").tolist()
        [2, 1]
    """

    UNKNOWN = "\N{REPLACEMENT CHARACTER}"

    def __init__(self, texts: str | Iterable[str], size: int | None = None, lower: bool = True) -> None:
        if size is not None and size < 3:
            raise ValueError(f"size: expected at least 3 (padding, unknown and a word), got {size!r}")
        self.lower = lower
        counts: Counter[str] = Counter()
        for text in [texts] if isinstance(texts, str) else texts:
            counts.update(self.split(text))
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        self._set(ranked if size is None else ranked[: size - 2])

    def _set(self, words: list[str]) -> None:
        self.words = words
        self._index = {word: i for i, word in enumerate(words, 2)}

    def __repr__(self) -> str:
        return f"WordVocabulary({len(self.words)} words)"

    def __len__(self) -> int:
        """The number of classes, padding and the unknown word included."""
        return len(self.words) + 2

    def split(self, text: str) -> list[str]:
        """Return the words of a text, known or not."""
        return re.findall(r"[\w']+|[^\w\s]", text.lower() if self.lower else text)

    def encode(self, text: str) -> Array:
        """Return the numbers of the words, int64."""
        return np.array([self._index.get(word, 1) for word in self.split(text)], dtype=np.int64)

    def unknown(self, text: str) -> list[str]:
        """Return the words that are not known, each once."""
        return [word for word in dict.fromkeys(self.split(text)) if word not in self._index]

    def decode(self, numbers: Sequence[int] | Array) -> str:
        """Return the words of numbers with spaces between; 0 is left out, 1 becomes U+FFFD."""
        table = ["", self.UNKNOWN, *self.words]
        return " ".join(table[int(n)] for n in numbers if int(n))

    def get_config(self) -> Config:
        """Everything `vocabulary_from_config` needs, of what JSON has."""
        return {"class_name": "WordVocabulary", "words": self.words, "lower": self.lower}


def vocabulary_from_config(settings: Config) -> CharVocabulary | WordVocabulary:
    """Return the vocabulary of a `get_config()`, as it came back in a model's metadata. ValueError if it is none.

    Args:
        settings: what `get_config()` of a vocabulary returned.

    Example:
        >>> vocabulary = fastrnn.data.CharVocabulary("abba")
        >>> fastrnn.data.vocabulary_from_config(vocabulary.get_config()).decode([1, 2])
        'ab'
    """
    kind = settings.get("class_name") if isinstance(settings, dict) else settings
    if kind == "CharVocabulary":
        return CharVocabulary(settings["characters"])
    if kind == "WordVocabulary":
        vocabulary = WordVocabulary((), lower=bool(settings["lower"]))
        vocabulary._set([str(word) for word in settings["words"]])
        return vocabulary
    raise choice_error("class_name", ("CharVocabulary", "WordVocabulary"), kind)


def python_topics() -> str:
    """Return the topics of Python's own interactive help, some 465,000 characters of English and code.

    The text is part of every Python installation (`pydoc_data.topics`) and needs no download. It differs a little
    between Python versions.

    Example:
        >>> len(fastrnn.data.python_topics()) > 100_000
        True
    """
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))
