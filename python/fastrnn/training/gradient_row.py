"""All gradients of a model as one row of numbers, in pieces that are complete before the backward pass is."""

from __future__ import annotations

from collections.abc import Sequence

from .._typing import Array
from ..layers.base import Layer
from ..parameters import Parameter

__all__ = ["GradientRow"]

# A piece has so many numbers at least, but for the last: 256 KiB are worth the fixed cost of a message.
LEAST = 1 << 16


class GradientRow:
    """Where the gradients of the trainable parameters stand in a row, and in which pieces they become complete.

    The backward pass goes from the last layer to the first, and so do the pieces. A piece has the gradients of whole
    layers, of one at least.

    Args:
        layers: of the model.

    Attributes:
        pieces: of the row, in the order in which they become complete.
        size: the length of the row.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._places: list[tuple[Parameter, slice]] = []
        starts = []
        at = 0
        for layer in layers:
            starts.append(at)
            for parameter in layer.parameters():
                if parameter.trainable:
                    self._places.append((parameter, slice(at, at + parameter.size)))
                    at += parameter.size
        self.size = at
        self.pieces: list[slice] = []
        self._complete: dict[int, int] = {}  # by the layer whose backward pass completes it
        end = at
        for layer, begin in zip(reversed(layers), reversed(starts), strict=True):
            if end - begin >= LEAST or (begin == 0 and end > 0):
                self._complete[id(layer)] = len(self.pieces)
                self.pieces.append(slice(begin, end))
                end = begin

    def completed_by(self, layer: Layer) -> int | None:
        """Return the number of the piece that is complete when the backward pass has left the layer, None for none."""
        return self._complete.get(id(layer))

    def write(self, row: Array, piece: slice) -> None:
        """Write the gradients of a piece; those that no layer has computed are zeros."""
        for parameter, place in self._places:
            if piece.start <= place.start < piece.stop:
                row[place] = 0 if parameter.grad is None else parameter.grad.ravel()

    def read(self, row: Array) -> None:
        """Make the numbers of the row the gradients of the parameters."""
        for parameter, place in self._places:
            parameter.grad = row[place].reshape(parameter.shape)
