"""Text as numbers: characters, words, and a text that is always there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .._typing import Array

__all__ = ["CharVocabulary", "python_topics"]


class CharVocabulary:
    """Characters as numbers: the distinct ones of a text in code point order, from 1; 0 stands for all others.

    Attributes:
        characters: the known characters.
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

    def decode(self, numbers: Sequence[int] | Array) -> str:
        """Return the text of numbers; 0 becomes U+FFFD."""
        table = self.UNKNOWN + self.characters
        return "".join(table[int(n)] for n in numbers)


def python_topics() -> str:
    """Return the topics of Python's own interactive help, some 465,000 characters of English and code.

    The text is part of every Python installation (`pydoc_data.topics`) and needs no download. It differs a little
    between Python versions.
    """
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))
