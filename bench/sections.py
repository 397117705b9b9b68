"""What a run consists of: sections, each with its shapes, the ways in which fastrnn runs them, and its peers.

To measure one more shape add a line to a section; to measure fastrnn in one more way add a Variant to it.
"""

from __future__ import annotations

from .section import Section, Variant
from .work import FIT_ROWS

PEERS = ("torch", "onnxruntime", "openvino", "ncnn", "keras", "jax")
TRAINED_PEERS = ("torch", "keras", "jax")
BFLOAT16_PEERS = ("torch bfloat16", "openvino bfloat16")
INT8_PEERS = ("onnxruntime int8",)
PRODUCT_PEERS = ("numpy", "torch")
FIT_PEERS = ("torch", "keras")
FIT_SHAPES = """
    LSTM T20 B32 I16 H128   quick
    LSTM T100 B32 I32 H128  quick
    LSTM T50 B32 I64 H64    quick
    LSTM T8 B32 I8 H32      quick
    LSTM T100 B64 I64 H256  quick
    """
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
        LSTM T37 B17 I200 H200  quick
        LSTM T250 B1 I80 H200  quick
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
        LSTM T80 B32 I40 H160  quick
        LSTM T100 B32 I32 H128  quick
        LSTM T80 B32 I64 H128  quick
        LSTM T50 B32 I64 H64   quick
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
        "stack training",
        "Two layers in both directions: training, fastrnn packing the weights in every call",
        "training",
        (Variant(),),
        ("torch",),
        """
        LSTM T120 B1 I80 H200 L2 bidirectional   quick
        LSTM T100 B1 H256 L2 bidirectional       quick
        LSTM T120 B32 I80 H200 L2 bidirectional  quick
        LSTM T100 B32 H256 L2 bidirectional      quick
        """,
    ),
    Section(
        "fit",
        f"Sequential.fit, an LSTM and a Dense layer, epochs of {FIT_ROWS} rows, one thread each",
        "fit",
        (Variant(),),
        FIT_PEERS,
        FIT_SHAPES,
    ),
    Section(
        "fit defaults",
        "The same as people run it: as many threads as each takes by default, on all cores",
        "fit",
        (Variant(),),
        FIT_PEERS,
        FIT_SHAPES,
        by_defaults=True,
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
