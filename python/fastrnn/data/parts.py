"""Data larger than memory: files read in parts, and windows of a series that comes in parts."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from .._file_writing import suffix_of
from .._typing import Array
from .windows import forecast_windows

__all__ = ["FileParts", "WindowStream"]


class FileParts:
    """The rows of a CSV or .npy file, a part at a time: each pass reads it anew and holds one part in memory.

    Args:
        path: a .csv file whose first line has the columns' names, or a .npy file of an array (rows, columns).
        names: the columns that are wanted of a .csv file, in this order; all when None.
        rows: of a part; the last may be shorter.

    Raises:
        ValueError: another kind of file, or no such column.

    Example:
        >>> np.save("rows.npy", np.arange(10.0)[:, np.newaxis])
        >>> [len(part) for part in fastrnn.data.FileParts("rows.npy", rows=4)]
        [4, 4, 2]
    """

    def __init__(self, path: str | os.PathLike[str], names: Sequence[str] | None = None, rows: int = 65536) -> None:
        self.path, self.names, self.rows = os.fspath(path), names, rows
        if rows < 1:
            raise ValueError(f"rows: expected a number >= 1, got {rows!r}")
        suffix = suffix_of(self.path, (".csv", ".npy"))
        if suffix == ".npy" and names is not None:
            raise ValueError("names: expected None for a .npy file, which has no names")
        self._read = self._read_csv if suffix == ".csv" else self._read_npy

    def __repr__(self) -> str:
        return f"FileParts({self.path!r}, names={self.names!r}, rows={self.rows})"

    def __iter__(self) -> Iterator[Array]:
        """Arrays (rows, columns), float32 of a .csv file."""
        return self._read()

    def _read_csv(self) -> Iterator[Array]:
        with open(self.path, encoding="utf-8-sig") as file:
            known = [name.strip() for name in file.readline().rstrip("\r\n").split(",")]
            for name in self.names or ():
                if name not in known:
                    raise ValueError(f"names: expected some of the columns {', '.join(known)}, got {name!r}")
            chosen = list(range(len(known))) if self.names is None else [known.index(name) for name in self.names]
            first = 2
            while True:
                lines = list(itertools.islice(file, self.rows))
                if not lines:
                    return
                try:
                    yield np.loadtxt(lines, dtype=np.float32, delimiter=",", usecols=chosen, ndmin=2)
                except ValueError as error:
                    last = first + len(lines) - 1
                    raise ValueError(f"{self.path}: expected numbers in lines {first} to {last}; {error}") from None
                first += len(lines)

    def _read_npy(self) -> Iterator[Array]:
        # Read, not mapped: pages of a mapped file count as memory of the process until someone takes them away.
        with open(self.path, "rb") as file:
            version = np.lib.format.read_magic(file)
            read_header = (
                np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = read_header(file)
            if fortran or len(shape) != 2 or dtype.hasobject:
                raise ValueError(f"{self.path}: expected an array (rows, columns) of numbers in C order, got {shape}")
            for start in range(0, shape[0], self.rows):
                count = min(self.rows, shape[0] - start) * shape[1]
                part = np.fromfile(file, dtype=dtype, count=count)
                if len(part) != count:
                    raise ValueError(f"{self.path}: expected {shape[0]} rows, got a file that ends before row {start}")
                yield part.reshape(-1, shape[1])


class WindowStream:
    """Batches of windows and of the steps after them, of a series that comes in parts: for `fit` as x.

    Windows reach from one part into the next. What is in memory is one part, and the windows of `mix` batches.

        stream = WindowStream(FileParts("ticks.csv", ["price", "volume"]), length=64, target=0)
        model.fit(stream, epochs=3)

    Args:
        parts: an iterable of arrays (rows, features) that can be gone through again for each epoch, or a function
            without arguments that returns such.
        length, horizon, stride, gap: as of `forecast_windows`.
        target: number or numbers of the features that are forecast; all when None.
        batch_size: windows of a batch; the last may be smaller.
        mix: windows are shuffled within so many batches; 1 keeps the order.
        seed: of the order.
        transform: applied to every part, such as ``scaler.transform``.

    Example:
        >>> stream = fastrnn.data.WindowStream([np.arange(10.0)[:, np.newaxis]], length=4, horizon=1, batch_size=3)
        >>> x, y = next(iter(stream))
        >>> x.shape, y.shape
        ((3, 4, 1), (3, 1, 1))
    """

    def __init__(
        self,
        parts: Iterable[Any] | Callable[[], Iterable[Any]],
        length: int,
        horizon: int = 1,
        stride: int = 1,
        *,
        gap: int = 0,
        target: Any = None,
        batch_size: int = 32,
        mix: int = 64,
        seed: int | None = None,
        transform: Callable[[Array], Array] | None = None,
    ) -> None:
        for name, number in (("batch_size", batch_size), ("mix", mix)):
            if number < 1:
                raise ValueError(f"{name}: expected a number >= 1, got {number!r}")
        forecast_windows(np.zeros(length + gap + horizon), length, horizon, stride, gap=gap)  # checks the lengths
        if isinstance(parts, Iterator):
            raise ValueError(
                "parts: expected something that each epoch can go through, got an iterator; a function works"
            )
        self.parts, self.length, self.horizon, self.stride, self.gap = parts, length, horizon, stride, gap
        self.target, self.batch_size, self.mix, self.transform = target, batch_size, mix, transform
        self._rng = np.random.default_rng(seed)

    def __repr__(self) -> str:
        return f"WindowStream(length={self.length}, horizon={self.horizon}, stride={self.stride}, gap={self.gap})"

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        """Batches x (B, length, features) and y (B, horizon, targets), or (B, horizon) for one number as target."""
        wanted = self.batch_size * self.mix
        held: list[tuple[Array, Array]] = []
        count = 0
        for x, y in self._windows():
            for start in range(0, len(x), wanted):  # windows are views until they are put together
                held.append((x[start : start + wanted], y[start : start + wanted]))
                count += len(held[-1][0])
                if count >= wanted:
                    xs, ys = (np.concatenate(arrays) for arrays in zip(*held, strict=True))
                    yield from self._batches(xs[:wanted], ys[:wanted])
                    held, count = [(xs[wanted:], ys[wanted:])], count - wanted
        if count:
            xs, ys = (np.concatenate(arrays) for arrays in zip(*held, strict=True))
            yield from self._batches(xs, ys)

    def _batches(self, x: Array, y: Array) -> Iterator[tuple[Array, Array]]:
        order = np.arange(len(x)) if self.mix == 1 else self._rng.permutation(len(x))
        for start in range(0, len(x), self.batch_size):
            rows = order[start : start + self.batch_size]
            yield x[rows], y[rows]

    def _windows(self) -> Iterator[tuple[Array, Array]]:
        """Views of the windows of one part after the other, each with what is left of the one before it."""
        needed = self.length + self.gap + self.horizon
        rest: Array | None = None
        skip = 0  # rows to drop before the next window, where the stride is longer than a window
        for part in self.parts() if callable(self.parts) else self.parts:
            array = np.asarray(part)
            if array.ndim != 2:
                raise ValueError(f"parts: expected arrays (rows, features), got shape {array.shape}")
            if self.transform is not None:
                array = self.transform(array)
            series = array if rest is None else np.concatenate([rest, array])
            skip, series = max(0, skip - len(series)), series[skip:]
            if len(series) >= needed:
                targets = series if self.target is None else series[:, self.target]
                yield forecast_windows(series, self.length, self.horizon, self.stride, targets, self.gap)
                used = ((len(series) - needed) // self.stride + 1) * self.stride
                skip, series = max(0, used - len(series)), series[used:]
            rest = series.copy()
