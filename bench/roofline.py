"""What the machine could do at most: measured by roofline.cc, and what follows from it for a work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .measure import Unable
from .native import build_and_run
from .work import GATES, Work

# Flags and vector width in bytes under which the compiler makes what fastrnn's kernels of that name are made of.
_ISA_FLAGS: dict[str, tuple[list[str], int]] = {
    "portable": ([], 16),
    "avx2": (["-mavx2", "-mfma"], 32),
    "avx512": (
        ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma", "-mprefer-vector-width=512"],
        64,
    ),
}
# From so many rows on, the multiply-adds take far longer than reading the weights that they share.
_ENOUGH_ROWS = 8


def recurrent_bytes(work: Work) -> int:
    """float32 weights that each step of a sequence reads again."""
    return 4 * GATES[work.cell] * work.H * work.H


def all_bytes(work: Work) -> int:
    """float32 weights of the layer."""
    return 4 * GATES[work.cell] * work.H * (work.I + work.H)


def _weights(work: Work) -> int | None:
    """Bytes of the weights whose reading can be what limits the work."""
    if work.kind == "product" or work.B >= _ENOUGH_ROWS:
        return None
    return all_bytes(work) if work.T == 1 else recurrent_bytes(work)


def measure(isa: str, caches: dict[str, int], works: Iterable[Work]) -> dict[str, Any]:
    """Compile and run roofline.cc: about half a second for each size.

    Read are half of each cache level, so that it stays there (a quarter of the last one, which others share), and the
    very number of bytes that the weights of each of the works have: the bandwidth of the cache that holds them.

    Returns:
        dict: ``vector_bytes``, ``gflops``, ``read_gbytes_per_second`` by level, ``weights_gbytes_per_second`` by number
        of bytes; or ``skipped`` with the reason, e.g. that there is no compiler.
    """
    flags, width = _ISA_FLAGS.get(isa, ([], 16))
    last = max(caches, default=None)
    sizes = {name: size // (4 if name == last and len(caches) > 1 else 2) for name, size in caches.items()}
    sizes["memory"] = min(max([4 * size for size in caches.values()] + [1 << 28]), 1 << 30)
    weights = {str(size): size for size in sorted({size for size in map(_weights, works) if size is not None})}
    try:
        out = build_and_run(
            "roofline.cc",
            ["-ffp-contract=fast", f"-DFASTRNN_ROOFLINE_BYTES={width}", *flags],
            [f"{name}={size}" for name, size in (sizes | weights).items()],
        )
    except Unable as error:
        return {"skipped": str(error)}
    reads = out["read_gbytes_per_second"]
    return {
        "vector_bytes": out["vector_bytes"],
        "gflops": out["gflops"],
        "read_gbytes_per_second": {name: reads[name] for name in sizes},
        "weights_gbytes_per_second": {name: reads[name] for name in weights},
        "read_bytes": sizes,
        "flags": flags,
    }


def highest(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Of two measurements the higher figures: what disturbs a measurement of a bound can only lower it."""
    if "skipped" in one or "skipped" in other:
        return one
    merged = one | {"gflops": max(one["gflops"], other["gflops"])}
    for reads in ("read_gbytes_per_second", "weights_gbytes_per_second"):
        merged[reads] = {name: max(rate, other[reads][name]) for name, rate in one[reads].items()}
    return merged


def bound_seconds(work: Work, roof: dict[str, Any], threads: int = 1) -> float | None:
    """The least time that the matrix products of a float32 work can take; None where the roofline does not say.

    Products over all steps (W x; in training also dx, dW and dR) run at the multiply-add peak. Those of the recurrence
    run at it too, or as fast as their weights are read in every step, whichever takes longer. A single step has only
    the latter kind. Activations count for nothing.
    """
    if "gflops" not in roof:
        return None
    peak = float(roof["gflops"]) * 1e9 * threads
    size = _weights(work)
    if size is None:
        return work.flops() / peak
    rate = roof["weights_gbytes_per_second"].get(str(size))
    if rate is None:
        return None
    passes = 2 if work.kind == "training" else 1
    sequential = work.recurrent_flops if work.T > 1 else work.input_flops + work.recurrent_flops
    reading = work.T * size / (float(rate) * 1e9 * threads)
    ahead = work.flops() - passes * sequential
    return ahead / peak + passes * max(sequential / peak, reading)
