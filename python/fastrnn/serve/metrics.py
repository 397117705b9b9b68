"""Figures of the service, in Prometheus' text format and for the page."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0)
SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024)


class Counter:
    """A number for each value of a label (of one label at most); a gauge, where it may fall."""

    def __init__(self, name: str, what: str, label: str = "", kind: str = "counter") -> None:
        self.name, self.what, self.label, self.kind = name, what, label, kind
        self.values: dict[str, float] = {} if label else {"": 0}

    def add(self, by: float = 1, label: str = "") -> None:
        self.values[label] = self.values.get(label, 0) + by

    def lines(self) -> Iterable[str]:
        for value, number in self.values.items():
            yield f"{self.name}{_labels({self.label: value})} {number:g}"


class Histogram:
    """How often a figure fell below each bound, for each value of a label."""

    kind = "histogram"

    def __init__(self, name: str, what: str, label: str, bounds: Sequence[float]) -> None:
        self.name, self.what, self.label, self.bounds = name, what, label, bounds
        self.counts: dict[str, list[int]] = {}  # by label: how many fell between the bounds, and above the last
        self.sums: dict[str, float] = {}

    def observe(self, number: float, label: str) -> None:
        if label not in self.counts:
            self.counts[label], self.sums[label] = [0] * (len(self.bounds) + 1), 0.0
        self.counts[label][bisect_left(self.bounds, number)] += 1
        self.sums[label] += number

    def lines(self) -> Iterable[str]:
        for value, counts in self.counts.items():
            below = 0
            for bound, count in zip([*map("{:g}".format, self.bounds), "+Inf"], counts, strict=True):
                below += count
                yield f"{self.name}_bucket{_labels({self.label: value, 'le': bound})} {below}"
            yield f"{self.name}_sum{_labels({self.label: value})} {self.sums[value]:.6g}"
            yield f"{self.name}_count{_labels({self.label: value})} {below}"


def _labels(labels: dict[str, str]) -> str:
    quoted = (
        '{}="{}"'.format(name, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
        for name, value in labels.items()
        if name
    )
    text = ",".join(quoted)
    return f"{{{text}}}" if text else ""


class Metrics:
    """What /metrics shows."""

    def __init__(self) -> None:
        self.open = Counter("fastrnn_streams_open", "Streams that are open.", "model", kind="gauge")
        self.refused = Counter("fastrnn_refused_total", "Requests that were refused.", "reason")
        self.closed = Counter("fastrnn_streams_closed_total", "Streams that ended, by close code.", "code")
        self.steps = Counter("fastrnn_steps_total", "Time steps computed.", "model")
        self.batch = Histogram("fastrnn_batch_streams", "Streams in a batch.", "model", SIZES)
        self.seconds = Histogram("fastrnn_chunk_seconds", "From a chunk's arrival to its answer.", "model", SECONDS)
        self.stored = Counter("fastrnn_states_stored_total", "States of streams that were stored.")
        self.store_failures = Counter("fastrnn_store_failures_total", "Writes that the store did not take.")
        self.loaded = Counter("fastrnn_models_loaded_total", "Times that a model's file was read.", "model")

    def text(self) -> str:
        """The format of Prometheus, version 0.0.4."""
        lines: list[str] = []
        for metric in vars(self).values():
            lines += [f"# HELP {metric.name} {metric.what}", f"# TYPE {metric.name} {metric.kind}", *metric.lines()]
        return "\n".join([*lines, ""])
