"""Draw docs/cuda-plan.png: what `fastrnn.plan` predicts, beside what others have published. Nothing is measured here.

Usage: python -m bench.plan_picture [--out docs/cuda-plan.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from matplotlib.figure import Figure

import fastrnn

# Of an LSTM with H = 768, B = 16, T = 1024 on an H100: library, dtype, ms forward, ms forward and backward.
PUBLISHED = (("cuDNN", "float16", 2.01, 5.19), ("FlashRNN", "bfloat16", 4.87, 13.6), ("haste", "float32", 18.4, 43.9))
STEPS = 1024
DEVICES = ("A100", "H100", "RTX 4090")  # H200 and B200 are predicted within a few per cent of H100
COLOURS = {"block": "tab:green", "cluster": "tab:orange", "grid": "tab:blue", "stream": "tab:purple", "graph": "0.5"}


def predict(hidden: int, batch: int, **options: object) -> fastrnn.CudaPlan | None:
    """The plan, or None where no kernel can run it."""
    settings = {"dtype": "bfloat16", "device": "H100", **options}
    try:
        plan = fastrnn.plan("lstm", hidden, batch, STEPS, **settings)  # type: ignore[arg-type]
    except fastrnn.CudaError:
        return None
    assert isinstance(plan, fastrnn.CudaPlan)
    return plan


def _over(axis: object, label: str, sizes: list[int], plans: list[fastrnn.CudaPlan | None]) -> None:
    """A line of predictions; the marker's colour is the tier."""
    known = [(size, plan) for size, plan in zip(sizes, plans, strict=True) if plan is not None]
    axis.plot([s for s, _ in known], [p.us_per_step for _, p in known], lw=0.8, color="0.4")  # type: ignore[attr-defined]
    for size, plan in known:
        axis.plot(size, plan.us_per_step, "o", ms=3.5, color=COLOURS[plan.tier])  # type: ignore[attr-defined]
    if known:
        axis.annotate(
            label, (known[-1][0], known[-1][1].us_per_step), xytext=(5, -3), textcoords="offset points", fontsize=7
        )  # type: ignore[attr-defined]


def draw(path: Path) -> None:
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    by_hidden, by_batch = figure.subplots(1, 2)
    hiddens = [32, 64, 96, 128, 192, 256, 384, 512, 640, 768, 1024, 1280, 1536, 1792, 2048]
    for device in DEVICES:
        _over(by_hidden, device, hiddens, [predict(h, 16, device=device) for h in hiddens])
    for name, dtype, forward, _ in PUBLISHED:
        by_hidden.plot(768, forward * 1e3 / STEPS, "k*", ms=8)
        by_hidden.annotate(f"{name} {dtype}, H100, published", (768, forward * 1e3 / STEPS), xytext=(-7, -2),
                           textcoords="offset points", fontsize=7, ha="right")  # fmt: skip
    by_hidden.set_title("B = 16, bfloat16, forward", fontsize=9)
    by_hidden.set_xlabel("H")
    batches = [1, 2, 4, 8, 16, 32, 64, 128, 256]
    for hidden in (64, 256, 512, 768, 1024, 1536):
        _over(by_batch, f"H {hidden}", batches, [predict(hidden, b) for b in batches])
    by_batch.set_title("H100, bfloat16, forward", fontsize=9)
    by_batch.set_xlabel("B")
    for axis in (by_hidden, by_batch):
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_ylabel("microseconds a step")
        axis.margins(x=0.14)
        axis.grid(which="both", lw=0.3)
        axis.set_yticks([0.3, 0.5, 1, 2, 5, 10, 20], labels=["0.3", "0.5", "1", "2", "5", "10", "20"])
        axis.minorticks_off()
    for tier in ("block", "cluster", "grid"):
        by_hidden.plot([], [], "o", ms=4, color=COLOURS[tier], label=f"predicted, tier {tier}")
    by_hidden.plot([], [], "k*", ms=8, label="published by others")
    by_hidden.legend(fontsize=7, loc="upper left")
    figure.suptitle(
        "LSTM, a step: circles are predicted by fastrnn.plan, not measured; stars are published", fontsize=9
    )
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("docs/cuda-plan.png"))
    draw(parser.parse_args().out)


if __name__ == "__main__":
    main()
