"""From what a user hands to `fit`, `evaluate` and `predict` to batches (x, y, sample_weight)."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .._typing import Array
from ..layers.base import check_size

__all__ = ["ArrayData", "Batch", "BatchData", "class_weight_to_sample_weight", "holds_batches", "make_data"]


class Batch(NamedTuple):
    """One batch; y is None for `predict`, sample_weight is None where all weigh the same."""

    x: Array
    y: Array | None
    sample_weight: Array | None

    def take(self, rows: Any) -> Batch:
        """Those rows of it: a slice, which copies nothing, or indices."""
        y, weight = (None if array is None else array[rows] for array in self[1:])
        return Batch(self.x[rows], y, weight)


def check_array(value: Any, argument: str) -> Array:
    """Return `value` as an array of finite numbers with at least one axis.

    Raises:
        TypeError: if it does not hold numbers.
        ValueError: if it is ragged, a scalar, or contains NaN or infinity.
    """
    array = value if isinstance(value, np.ndarray) else _to_array(value, argument)
    if array.dtype.kind not in "fiub":
        labels = array.dtype.kind == "U" and argument == "y"
        hint = "; classes, y = numpy.unique(y, return_inverse=True) makes class numbers of labels" if labels else ""
        raise TypeError(f"{argument}: expected numbers, got dtype {array.dtype}{hint}")
    if array.ndim == 0:
        raise ValueError(f"{argument}: expected an array of at least one axis, got a scalar")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        index = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        hint = "; fastrnn.data.fill_missing fills gaps of a series" if argument == "x" else ""
        raise ValueError(f"{argument}: expected finite numbers, got {array[index]} at index {index}{hint}")
    return array


def _to_array(value: Any, argument: str) -> Array:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # NumPy before 1.24 only warns of ragged sequences
            return np.asarray(value)
    except (ValueError, Warning):
        raise ValueError(
            f"{argument}: expected an array, got sequences of different lengths; fastrnn.data.BatchesByLength makes "
            "batches of them, for a model that begins with Masking"
        ) from None


def class_weight_to_sample_weight(y: Array, class_weight: Mapping[int, float]) -> Array:
    """Return the weight of each target: `y` holds class numbers (B,), (B, 1), (B, T) or is one-hot on its last axis.

    A class that `class_weight` leaves out weighs 1, as in Keras. A (B, C) array is read as one-hot.
    """
    classes = y
    if y.ndim > 1:
        classes = y[..., 0] if y.shape[-1] == 1 else y.argmax(axis=-1)
    numbers, inverse = np.unique(np.rint(classes).astype(np.int64), return_inverse=True)
    weights = np.array([float(class_weight.get(int(n), 1.0)) for n in numbers])
    return np.asarray(weights[inverse.reshape(classes.shape)])


class ArrayData:
    """Arrays in memory.

    Args:
        x, y, sample_weight: arrays with the same first axis; y and sample_weight may be None.
        batch_size: None means 32.
        shuffle: draw a new order for every pass.
        rng: source of that order.
        class_weight: class number to weight; not together with sample_weight.
        finite: refuse NaN and infinity in x (y and weights must always be finite).
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        batch_size: int | None = None,
        shuffle: bool = False,
        rng: np.random.Generator | None = None,
        class_weight: Mapping[int, float] | None = None,
        finite: bool = True,
    ) -> None:
        self.x = check_array(x, "x") if finite else _to_array(x, "x")
        if self.x.ndim == 0 or self.x.dtype.kind not in "fiub":
            check_array(self.x, "x")
        self.size: int = self.x.shape[0]
        self.y = None if y is None else check_array(y, "y")
        self.sample_weight = None if sample_weight is None else check_array(sample_weight, "sample_weight")
        for name, array in (("y", self.y), ("sample_weight", self.sample_weight)):
            if array is not None and array.shape[0] != self.size:
                raise ValueError(f"{name}: expected {self.size} examples as x has, got {array.shape[0]}")
        if class_weight is not None:
            if self.sample_weight is not None:
                raise ValueError("class_weight: expected None when sample_weight is given, got both")
            if self.y is None:
                raise ValueError("class_weight: expected with targets y only")
            self.sample_weight = class_weight_to_sample_weight(self.y, class_weight)
        self.batch_size = 32 if batch_size is None else check_size(batch_size, "batch_size")
        self.shuffle = shuffle
        self.rng = rng
        self._pass_state: Any = None  # the generator's state before it drew the order of this pass

    def get_state(self, batch: int) -> dict[str, Any]:
        """What the pass in which `batch` is the next one begins from; 0: a new pass."""
        sizes = {"size": self.size, "batch_size": self.batch_size, "shuffle": self.shuffle}
        if not self.shuffle or self.rng is None:
            return sizes
        return {**sizes, "generator": self._pass_state if batch else self.rng.bit_generator.state}

    def check_state(self, state: dict[str, Any]) -> None:
        """ValueError for the state of data of another size, or with other batches."""
        for name, own in (("size", self.size), ("batch_size", self.batch_size), ("shuffle", self.shuffle)):
            if state.get(name) != own:
                argument = "x" if name == "size" else name
                examples = " examples" if name == "size" else ""
                raise ValueError(f"{argument}: expected {state.get(name)}{examples} as in the checkpoint, got {own}")

    def set_state(self, state: dict[str, Any]) -> None:
        """Begin the next pass as the one whose state this is."""
        if self.shuffle and self.rng is not None:
            self.rng.bit_generator.state = state["generator"]

    @property
    def steps(self) -> int:
        """Number of batches of a pass; the last may be smaller."""
        return -(-self.size // self.batch_size)

    def split(self, fraction: float) -> tuple[ArrayData, ArrayData]:
        """Return the data without its last `fraction`, and that last part: Keras' `validation_split`."""
        if not 0.0 <= fraction < 1.0:
            raise ValueError(f"validation_split: expected a value in [0, 1), got {fraction}")
        at = math.floor(self.size * (1.0 - fraction))
        if at in (0, self.size):
            raise ValueError(f"validation_split: expected to leave both parts examples, got {fraction} of {self.size}")
        parts = []
        for piece in (slice(0, at), slice(at, self.size)):
            part = ArrayData.__new__(ArrayData)
            part.__dict__.update(self.__dict__)
            part.x, part.y, part.sample_weight = self._whole().take(piece)
            part.size = part.x.shape[0]
            parts.append(part)
        parts[1].shuffle = False
        return parts[0], parts[1]

    def __iter__(self) -> Iterator[Batch]:
        return self.batches(0)

    def batches(self, first: int) -> Iterator[Batch]:
        """A pass, from batch number `first` on."""
        whole, order = self._whole(), None
        if self.shuffle:
            self.rng = np.random.default_rng() if self.rng is None else self.rng
            self._pass_state = self.rng.bit_generator.state
            order = self.rng.permutation(self.size)
        for start in range(first * self.batch_size, self.size, self.batch_size):
            rows = slice(start, min(start + self.batch_size, self.size))
            yield whole.take(rows if order is None else order[rows])

    def _whole(self) -> Batch:
        return Batch(self.x, self.y, self.sample_weight)


class BatchData:
    """Batches (x, y) or (x, y, sample_weight): of a generator, a data loader, a list, or a Sequence as Keras has it.

    Args:
        batches: an iterable, or an object with `__len__` and `__getitem__`. With `steps` one iterator goes on over the
            passes and is begun anew when it ends. Its `on_epoch_end`, if it has one, is called after each pass.
        steps: number of batches of a pass; None: until the iterator ends.
        class_weight: as for `ArrayData`.
        targets: False for `predict`, where a batch may be x alone.
    """

    size: int | None = None

    def __init__(
        self,
        batches: Any,
        steps: int | None = None,
        class_weight: Mapping[int, float] | None = None,
        targets: bool = True,
    ) -> None:
        self.source = batches
        self._items = batches if isinstance(batches, Iterable) else _Indexed(batches)
        self._end_pass: Callable[[], object] | None = None
        if hasattr(batches, "__getitem__"):
            self._end_pass = getattr(batches, "on_epoch_end", None)
        self.steps = None if steps is None else check_size(steps, "steps_per_epoch")
        self.class_weight = class_weight
        self.targets = targets
        self._iterator: Iterator[Any] | None = None
        if self.steps is None:
            with contextlib.suppress(TypeError):
                self.steps = len(batches)
        self._limit = steps
        self._passes = 0
        self._pass_state: Any = None

    def get_state(self, batch: int) -> dict[str, Any]:
        """What the pass in which `batch` is the next one begins from; 0: a new pass."""
        own = self._pass_state if batch else self._own_state()
        return {"passes": self._passes, **({} if own is None else {"own": own})}

    def check_state(self, state: dict[str, Any]) -> None:
        """ValueError for the state of arrays."""
        if "passes" not in state:
            raise ValueError("x: expected arrays as in the checkpoint, got batches")

    def set_state(self, state: dict[str, Any]) -> None:
        """Begin the next pass as that one: what was read before is read again, unless the batches have a `set_state`.

        Those of a generator or iterator with `steps` are read; a Sequence has its `on_epoch_end` called for each pass.
        """
        self._passes = state["passes"]
        if "own" in state and hasattr(self.source, "set_state"):
            self.source.set_state(state["own"])
        elif self._limit is not None:
            for _ in range(self._passes * self._limit):
                self._next()
        elif self._end_pass is not None:
            for _ in range(self._passes):
                self._end_pass()

    def _own_state(self) -> Any:
        return self.source.get_state() if hasattr(self.source, "get_state") else None

    def __iter__(self) -> Iterator[Batch]:
        return self.batches(0)

    def batches(self, first: int) -> Iterator[Batch]:
        """A pass, from batch number `first` on."""
        self._pass_state = self._own_state()
        yield from self._read(first)
        self._passes += 1
        if self._end_pass is not None:
            self._end_pass()

    def _read(self, first: int) -> Iterator[Batch]:
        if self._limit is None:
            count = 0
            for item in self._items:
                count += 1
                if count > first:
                    yield self._batch(item)
            if not count:
                raise ValueError(
                    "x: the iterable gave no batch; a generator without steps_per_epoch lasts for one pass"
                )
            return
        for index in range(self._limit):
            item = self._next()
            if index >= first:
                yield self._batch(item)

    def _next(self) -> Any:
        for _ in range(2):
            if self._iterator is None:
                self._iterator = iter(self._items)
            try:
                return next(self._iterator)
            except StopIteration:
                self._iterator = None
        raise ValueError(f"x: the iterable ended before steps_per_epoch={self._limit} batches of a pass were read")

    def _batch(self, item: Any) -> Batch:
        if not self.targets and not isinstance(item, (tuple, list)):
            item = (item,)
        if not isinstance(item, (tuple, list)) or not (2 if self.targets else 1) <= len(item) <= 3:
            kind = f"{len(item)} entries" if isinstance(item, (tuple, list)) else type(item).__name__
            raise ValueError(f"x: expected batches (x, y) or (x, y, sample_weight), got {kind}")
        data = ArrayData(*item, class_weight=self.class_weight)
        return Batch(data.x, data.y, data.sample_weight)


class _Indexed:
    """A Sequence of batches as an iterable: its own end is where `__len__` says, not an IndexError."""

    def __init__(self, batches: Any) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return (self.batches[index] for index in range(len(self.batches)))


def holds_batches(value: Any) -> bool:
    """Whether a list or tuple is one of batches: it has tuples of two or three arrays and nothing else."""
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(isinstance(item, tuple) and len(item) in (2, 3) for item in value)
        and all(hasattr(part, "__array__") or isinstance(part, list) for item in value for part in item[:2])
    )


def _gives_batches(value: Any) -> bool:
    """Whether something is neither an array nor what NumPy makes one of, and can be gone through."""
    if hasattr(value, "__array__") or hasattr(value, "__array_interface__"):
        return False
    if isinstance(value, (list, tuple, Mapping, str)):
        return False
    return isinstance(value, Iterable) or (hasattr(value, "__getitem__") and hasattr(value, "__len__"))


def make_data(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    batch_size: int | None = None,
    steps: int | None = None,
    shuffle: bool = False,
    rng: np.random.Generator | None = None,
    class_weight: Mapping[int, float] | None = None,
    targets: bool = True,
) -> ArrayData | BatchData:
    """Return the data object for arrays, or for batches given as `x` alone."""
    if _gives_batches(x) or (targets and y is None and holds_batches(x)):
        if y is not None or sample_weight is not None:
            raise ValueError("y: expected None when x is an iterable of batches, which hold their own targets")
        if batch_size is not None:
            raise ValueError(f"batch_size: expected None when x is an iterable of batches, got {batch_size}")
        return BatchData(x, steps, class_weight, targets)
    if x is None or isinstance(x, (Mapping, str)):
        got = "None" if x is None else type(x).__name__
        raise TypeError(f"x: expected an array or an iterable of batches, got {got}")
    if targets and y is None:
        raise ValueError("y: expected targets, got None")
    if steps is not None:
        raise ValueError("steps_per_epoch: expected None when x is an array, which ends by itself")
    return ArrayData(
        x,
        y if targets else None,
        sample_weight,
        batch_size=batch_size,
        shuffle=shuffle,
        rng=rng,
        class_weight=class_weight,
        finite=targets,
    )
