"""What a run consists of: sections, each with its shapes, the ways in which fastrnn runs them, and its peers.

To measure one more shape add a line to a section; to measure fastrnn in one more way add a Variant to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from .work import Kind, Work, parse


@dataclass(frozen=True)
class Variant:
    """One way to run fastrnn. The first of a section is what its peers are compared with.

    ``step`` is fastrnn.Session.step instead of the function; ``fast`` its approximate activations; ``threads`` None is
    what the command line says. ``denormal`` and ``neighbour`` are other data and another shape, so other results, as is
    ``padded``: a ragged batch whose rows all run to the end, and ``steps``: the function on a batch over so many steps,
    where the section is about single ones of a pool.
    ``packed`` is a product whose right factor was packed before.
    """

    dtype: str = "float32"
    step: bool = False
    fast: bool = False
    threads: int | None = None
    denormal: bool = False
    neighbour: bool = False
    packed: bool = False
    padded: bool = False
    steps: int | None = None

    @property
    def name(self) -> str:
        """E.g. ``fastrnn``, ``fastrnn step int8``, ``fastrnn 2 threads``."""
        words = [word for word in ("step", "fast", "denormal", "neighbour", "packed", "padded") if getattr(self, word)]
        words += [self.dtype] if self.dtype != "float32" else []
        words += [f"{self.steps} steps"] if self.steps is not None else []
        words += [f"{self.threads} threads"] if self.threads is not None else []
        return " ".join(["fastrnn", *words])


@dataclass(frozen=True)
class Section:
    """Shapes that are measured in one manner and stand in one table.

    Peers are named as in the results: ``torch``, ``torch bfloat16``. `shapes` has one per line; those that end in
    "quick" are measured by --quick too. A section with more than one thread gets as many cores, and in a ``busy`` one a
    process of no use spins on the last of them.
    """

    name: str
    title: str
    kind: Kind
    ours: tuple[Variant, ...]
    peers: tuple[str, ...]
    shapes: str
    busy: bool = False

    def works(self, quick: bool) -> list[Work]:
        """All shapes, or those of --quick."""
        lines = [line.strip().partition("  ") for line in self.shapes.splitlines() if line.strip()]
        return [parse(shape, self.kind) for shape, _, mark in lines if mark.strip() == "quick" or not quick]

    @property
    def threads(self) -> int:
        """The most that a variant of its own accord uses."""
        return max((variant.threads or 1 for variant in self.ours), default=1)


PEERS = ("torch", "onnxruntime", "openvino", "keras", "jax")
TRAINED_PEERS = ("torch", "keras", "jax")
BFLOAT16_PEERS = ("torch bfloat16", "openvino bfloat16")
INT8_PEERS = ("onnxruntime int8",)
PRODUCT_PEERS = ("numpy", "torch")
RAGGED = (Variant(), Variant(padded=True))
TWO_THREADS = (Variant(), Variant(threads=2))

SECTIONS = (
    Section(
        "step",
        "Single steps: inference, T = 1, weights packed once",
        "inference",
        (
            Variant(),
            Variant(step=True),
            Variant(step=True, fast=True),
            Variant("bfloat16", step=True),
            Variant("bfloat16_weights", step=True),
            Variant("int8", step=True),
        ),
        PEERS + INT8_PEERS,
        """
        LSTM T1 B1 H64         quick
        LSTM T1 B1 H128        quick
        LSTM T1 B1 H256        quick
        LSTM T1 B1 H512        quick
        LSTM T1 B1 H1024
        GRU T1 B1 H256         quick
        RNN T1 B1 H256
        """,
    ),
    Section(
        "inference",
        "Sequences: inference, weights packed once",
        "inference",
        (Variant(), Variant("bfloat16"), Variant("bfloat16_weights"), Variant("int8")),
        PEERS + BFLOAT16_PEERS + INT8_PEERS,
        """
        LSTM T100 B1 H64       quick
        LSTM T100 B1 H128      quick
        LSTM T100 B1 H256      quick
        LSTM T100 B1 H512      quick
        LSTM T100 B8 H128      quick
        LSTM T100 B32 H128
        LSTM T100 B8 H256      quick
        LSTM T100 B32 H256     quick
        LSTM T100 B64 H512
        LSTM T50 B128 H1024
        GRU T100 B1 H128
        GRU T100 B1 H256       quick
        GRU T100 B1 H512
        GRU T100 B8 H256
        GRU T100 B32 H256      quick
        GRU T100 B64 H512
        RNN T100 B1 H128
        RNN T100 B1 H256       quick
        RNN T100 B1 H512
        RNN T100 B8 H256
        RNN T100 B32 H256      quick
        RNN T100 B64 H512
        """,
    ),
    Section(
        "training",
        "Training: forward and backward, fastrnn packing the weights in every call",
        "training",
        (Variant(),),
        TRAINED_PEERS,
        """
        LSTM T1 B1 H64         quick
        LSTM T1 B1 H128
        LSTM T1 B1 H256        quick
        LSTM T10 B1 H64
        LSTM T10 B1 H128       quick
        LSTM T10 B1 H256
        GRU T1 B1 H256
        GRU T10 B1 H128        quick
        RNN T10 B1 H128
        LSTM T100 B1 H64
        LSTM T100 B1 H256      quick
        LSTM T100 B8 H128      quick
        LSTM T100 B32 H128
        LSTM T100 B8 H256      quick
        LSTM T100 B32 H256     quick
        LSTM T100 B64 H512
        LSTM T50 B128 H1024
        GRU T100 B1 H256       quick
        GRU T100 B8 H256
        GRU T100 B32 H256      quick
        GRU T100 B64 H512
        RNN T100 B1 H256       quick
        RNN T100 B8 H256
        RNN T100 B32 H256      quick
        RNN T100 B64 H512
        """,
    ),
    Section(
        "ragged",
        "Ragged batches, lengths uniform in 1..T, beside the same batch padded: inference",
        "inference",
        RAGGED,
        ("torch",),
        """
        LSTM T200 B32 H256 ragged      quick
        GRU T200 B32 H256 ragged       quick
        RNN T200 B32 H256 ragged
        """,
    ),
    Section(
        "ragged training",
        "Ragged batches, lengths uniform in 1..T, beside the same batch padded: training",
        "training",
        RAGGED,
        ("torch",),
        """
        LSTM T200 B32 H256 ragged      quick
        GRU T200 B32 H256 ragged       quick
        RNN T200 B32 H256 ragged
        """,
    ),
    Section(
        "threads",
        "Two threads on two cores: inference",
        "inference",
        TWO_THREADS,
        (),
        """
        LSTM T1 B1 H1024       quick
        LSTM T100 B1 H512      quick
        LSTM T100 B8 H128      quick
        LSTM T100 B32 H256     quick
        GRU T100 B32 H256
        RNN T100 B32 H256
        """,
    ),
    Section(
        "threads training",
        "Two threads on two cores: training",
        "training",
        TWO_THREADS,
        (),
        """
        LSTM T100 B1 H256
        LSTM T100 B32 H256     quick
        GRU T100 B32 H256
        RNN T100 B32 H256
        """,
    ),
    Section(
        "busy",
        "Two threads while another process keeps the second core busy: inference",
        "inference",
        TWO_THREADS,
        (),
        """
        LSTM T1 B1 H1024       quick
        LSTM T100 B1 H256      quick
        LSTM T100 B8 H128      quick
        LSTM T100 B8 H256
        """,
        busy=True,
    ),
    Section(
        "pool",
        "B streams of their own, one step of each: StreamPool.step, as many calls of a peer, and the batched kernel",
        "pool",
        (Variant(), Variant("bfloat16"), Variant("int8"), Variant(steps=20)),
        ("onnxruntime",),
        """
        LSTM T1 B1000 H128     quick
        LSTM T1 B100 H128
        GRU T1 B1000 H128
        """,
    ),
    Section(
        "sizes",
        "Odd sizes beside the nearest round ones (H in multiples of 64, B a power of two): inference",
        "inference",
        (Variant(), Variant(neighbour=True)),
        (),
        """
        LSTM T100 B8 H50       quick
        LSTM T100 B8 H96       quick
        LSTM T100 B8 H200      quick
        LSTM T100 B8 H300      quick
        LSTM T100 B3 H256      quick
        LSTM T100 B7 H256      quick
        LSTM T100 B33 H256     quick
        LSTM T100 B7 H50
        GRU T100 B7 H200
        RNN T100 B7 H200
        """,
    ),
    Section(
        "denormals",
        "Input and states that are denormal numbers: inference",
        "inference",
        (Variant(), Variant(denormal=True)),
        (),
        """
        LSTM T100 B1 H128      quick
        LSTM T100 B8 H128      quick
        GRU T100 B8 H128       quick
        RNN T100 B8 H128       quick
        """,
    ),
    Section(
        "product",
        "W x of all steps as one product, (T*B, I) by (I, G*H); fastrnn packs the right factor in the call, or before",
        "product",
        (Variant(), Variant(packed=True)),
        PRODUCT_PEERS,
        """
        LSTM T100 B1 H256      quick
        LSTM T100 B1 H512
        LSTM T100 B32 H64      quick
        LSTM T100 B32 H128     quick
        LSTM T100 B32 H256     quick
        LSTM T100 B32 H512
        LSTM T100 B8 H512      quick
        LSTM T100 B8 H1024     quick
        LSTM T50 B128 H1024
        GRU T100 B32 H256
        RNN T100 B32 H256
        """,
    ),
)
