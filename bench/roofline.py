"""What the machine could do at most: measured by roofline.cc, and what follows from it for a work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .measure import Unable
from .native import build_and_run
from .work import GATES, Work

_AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma", "-mprefer-vector-width=512"]
# Flags and vector width in bytes under which the compiler makes what fastrnn's kernels of that name are made of. Each
# instruction set in which a dtype has dot products of its own has a peak for it: roofline.cc measures what it was
# compiled for.
ISA_FLAGS: dict[str, tuple[list[str], int]] = {
    "portable": ([], 16),
    "avx2": (["-mavx2", "-mfma"], 32),
    "avx512": (_AVX512, 64),
    "avx512_vnni": ([*_AVX512, "-mavx512vnni"], 64),
    "avx512_bf16": ([*_AVX512, "-mavx512vnni", "-mavx512bf16"], 64),
    "neon": ([], 16),
    "neon_dotprod": (["-march=armv8.2-a+dotprod"], 16),
    "neon_bf16": (["-march=armv8.2-a+dotprod+bf16"], 16),
}
# What more than this part of a roofline says is that the roofline, or the time, was measured wrongly: the bound is the
# best of many trials, so that noise accounts for a few hundredths at most.
FAULT = 1.05
# From so many rows on, the multiply-adds take far longer than reading the weights that they share.
_ENOUGH_ROWS = 8
_OF_TWO = "weights_gbytes_per_second_of_two"
_BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}


def _weights(work: Work, dtype: str = "float32") -> int | None:
    """Bytes of the weights whose reading can limit the work: all of a single step's, a sequence's recurrent ones."""
    if work.kind == "product" or work.B >= _ENOUGH_ROWS or work.stacked:
        return None
    return _BYTES[dtype] * GATES[work.cell] * work.H * (work.H + (work.I if work.T == 1 else 0))


def _run(isa: str, sizes: Mapping[str, int | str]) -> dict[str, Any]:
    """Compile roofline.cc for an instruction set and run it over sizes by name.

    Raises:
        ValueError: an instruction set that this does not know, of which it could measure nothing that is true.
        Unable: there is no compiler that builds it.
    """
    if isa not in ISA_FLAGS:
        raise ValueError(f"isa: expected one of {', '.join(ISA_FLAGS)}, got {isa!r} (add it to bench/roofline.py)")
    flags, width = ISA_FLAGS[isa]
    options = ["-ffp-contract=fast", "-pthread", f"-DFASTRNN_ROOFLINE_BYTES={width}", *flags]
    found: dict[str, Any] = build_and_run("roofline.cc", options, [f"{name}={size}" for name, size in sizes.items()])
    return found


def _weight_sizes(works: Iterable[Work]) -> list[int]:
    return sorted({size for size in map(_weights, works) if size is not None})


def measure(isa: str, caches: dict[str, int], works: Iterable[Work]) -> dict[str, Any]:
    """Compile and run roofline.cc: about half a second for each size.

    Read are half of each cache level, so that it stays there (a quarter of the last one, which others share), and the
    very number of bytes that the weights of each of the works have: the bandwidth of the cache that holds them.

    Returns:
        dict: ``vector_bytes``, ``gflops`` by dtype, ``read_gbytes_per_second`` by level, ``weights_gbytes_per_second``
        by number of bytes; or ``skipped`` with the reason, e.g. that there is no compiler.

    Raises:
        ValueError: an instruction set that this does not know, of which it could measure nothing that is true.
    """
    last = max(caches, default=None)
    sizes = {name: size // (4 if name == last and len(caches) > 1 else 2) for name, size in caches.items()}
    sizes["memory"] = min(max([4 * size for size in caches.values()] + [1 << 28]), 1 << 30)
    weights = {str(size): size for size in _weight_sizes(works)}
    try:
        out = _run(isa, sizes | weights)
    except Unable as error:
        return {"skipped": str(error)}
    reads = out["read_gbytes_per_second"]
    return {
        "vector_bytes": out["vector_bytes"],
        "gflops": out["gflops"],
        "read_gbytes_per_second": {name: reads[name] for name in sizes},
        "weights_gbytes_per_second": {name: reads[name] for name in weights},
        "read_bytes": sizes,
        "flags": ISA_FLAGS[isa][0],
    }


def measure_two(isa: str, works: Iterable[Work]) -> dict[str, Any]:
    """What two threads read together of the weights of each of the works, half each: to be merged into a roofline.

    Raises:
        Unable: there is no compiler that builds it.
    """
    out = _run(isa, {str(size): f"{size}*2" for size in _weight_sizes(works)})
    return {_OF_TWO: out["read_gbytes_per_second"]}


def highest(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Of two measurements the higher figures: what disturbs a measurement of a bound can only lower it."""
    if "skipped" in one or "skipped" in other:
        return one
    figures = ("gflops", "read_gbytes_per_second", "weights_gbytes_per_second")
    return one | {key: {name: max(rate, other[key][name]) for name, rate in one[key].items()} for key in figures}


def bounds_us(work: Work, roof: dict[str, Any], threads: int = 1) -> dict[str, float]:
    """By dtype :func:`bound_seconds` in microseconds, of those for which the roofline says one.

    ``float32 2 threads`` is that of a variant on two threads, where the roofline has what two threads read.
    """
    if work.kind == "fit":  # whose loss, optimizer and Python are no part of the roofline
        return {}
    found = {dtype: bound_seconds(work, roof, threads, dtype) for dtype in _BYTES}
    if _OF_TWO in roof:
        peaks = {dtype: 2 * peak for dtype, peak in roof["gflops"].items()}
        both = {"gflops": peaks, "weights_gbytes_per_second": roof[_OF_TWO]}
        found |= {f"{dtype} 2 threads": bound_seconds(work, both, 1, dtype) for dtype in _BYTES}
    return {dtype: bound * 1e6 for dtype, bound in found.items() if bound is not None}


def bound_seconds(work: Work, roof: dict[str, Any], threads: int = 1, dtype: str = "float32") -> float | None:
    """The least time that the matrix products of a work can take in one dtype; None where the roofline does not say.

    Weights are read from where so many bytes were read from: with fewer than 8 rows, bfloat16 and int8 have a bound
    only where another work's float32 weights are as small.

    Products over all steps (W x; in training also dx, dW and dR) run at the multiply-add peak. Those of the recurrence
    run at it too, or as fast as their weights are read in every step, whichever takes longer. A single step has only
    the latter kind. Activations count for nothing, nor does reading the weights of a stack.
    """
    if dtype not in roof.get("gflops", {}):
        return None
    peak = float(roof["gflops"][dtype]) * 1e9 * threads
    size = _weights(work, dtype)
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
