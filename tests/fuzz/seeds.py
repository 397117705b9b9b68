"""Write the seeds of the fuzzers' corpus: small models with every cell and option, and some sequences of calls.

Usage: python tests/fuzz/seeds.py        Writes to tests/fuzz/corpus/, beside the inputs that once found something.
"""

from __future__ import annotations

import pathlib
import struct

import numpy as np

from fastrnn import _core, config, io
from fastrnn.layers import (
    GRU,
    BatchNormalization,
    Bidirectional,
    Conv1D,
    Embedding,
    GlobalMaxPooling1D,
    Input,
    LayerNormalization,
    Masking,
    MaxPooling1D,
    SimpleRNN,
)
from fastrnn.model import Sequential

CORPUS = pathlib.Path(__file__).parent / "corpus"
GATES = {cell: len(row["gates"]) for cell, row in _core.cell_table().items()}
MODELS = {
    "rnn": {"cell": "rnn", "ln_hh": (2,), "norm_eps": 0.1, "activation": "softplus", "clip": 2.0},
    "lstm": {"cell": "lstm", "w_peep": (3, 2), "w_hr": (1, 2), "ln_ih": (8,), "ln_hh": (8,), "ln_c": (2, 2),
             "output_activation": "softsign", "cell_clip": 1.0, "proj_clip": 0.5, "zoneout_h": 0.1, "zoneout_c": 0.1},
    "lstm_full": {"cell": "lstm", "w_peep": (3, 2, 2), "peephole_output": "previous", "coupled": True},
    "lstm_forget": {"cell": "lstm", "forget_bias": 1.0, "activation": ("elu", 0.5)},
    "gru": {"cell": "gru", "reset": "before", "recurrent_activation": ("hard_sigmoid", 0.2, 0.5)},
    "gru_output": {"cell": "gru", "reset": "output"},
    "indrnn": {"cell": "indrnn", "activation": "relu"},
    "mgu": {"cell": "mgu"},
    "slstm": {"cell": "slstm", "forget_gate": "exp"},
}  # fmt: skip
CALLS = {
    "one_stream": [0, 0, 2, 0, 2, *range(6), 4, 1, 4, 1, 6, 0, 7],
    "states": [2, 0, 0, 2, 0, 1, 1, 2, 3, 5, 1, 7, 0, 8, 0, 3, 0, 9, 1, 0, 40, 2, 1, 8, 1, 0, 1, 6, 1, 1],
    "streams": [1, 0, 0, 0, 0, 2, 0, 1, 9, 9, 9, 2, 1, 1, 8, 8, 8, 4, 0, 1, 4, 1, 1, 0, 10, 1, 0, 9, 0, 6, 1, 2],
    "chunks": [3, 11, 1, 33, *range(0, 240, 3), 17, 11, 2, 5, 0xF1, 127, 192, 0, 0, 0xFF, 255, 128, 0, 0, 3],
}


def recurrent(rng: np.random.Generator, spec: dict) -> dict:
    """The arguments of a layer with I = 1, H = 2; shapes become arrays."""
    rows, width = 2 * GATES[spec["cell"]], spec.get("w_hr", (2,))[0]
    shapes = {"w_ih": (rows, 1), "w_hh": (2,) if spec["cell"] == "indrnn" else (rows, width), "b_ih": (rows,)}
    layer = {**spec, **shapes}
    for name, value in layer.items():
        if name.startswith(("w_", "b_", "ln_")):
            layer[name] = rng.standard_normal(value).astype(np.float32)
    return layer


def main() -> None:
    rng = np.random.default_rng(0)
    folder = CORPUS / "model_file"
    folder.mkdir(parents=True, exist_ok=True)
    for name, spec in MODELS.items():
        width = spec.get("w_hr", (2,))[0]
        head = {"kernel": rng.standard_normal((width, 2)), "bias": np.zeros(2), "activation": "softmax"}
        io.save_layers(folder / f"{name}.safetensors", [recurrent(rng, spec), head])
    config.set_random_seed(0)
    for name, shape, layers in (
        ("refused", (None, 1), [Masking(), SimpleRNN(1)]),
        (
            "whole",
            (None, 1),
            [Conv1D(1, 2, padding="same"), Bidirectional(SimpleRNN(1)), LayerNormalization(scale=False)],
        ),
        (
            "largest",
            (None, 1),
            [BatchNormalization(), GRU(1, go_backwards=True, return_sequences=True), GlobalMaxPooling1D()],
        ),
        ("embedding", (None,), [Embedding(4, 1), SimpleRNN(1, learned_initial_state=True)]),
        (
            "windows",
            (None, 2),
            [Conv1D(4, 3, strides=2, groups=2), MaxPooling1D(2, padding="same"), GRU(1)],
        ),
    ):
        Sequential([Input(shape), *layers]).save(folder / f"{name}.safetensors")
    # Types that the library reads and does not write.
    for dtype, value in {"F16": 0x3C00, "BF16": 0x3F80}.items():
        header = (
            f'{{"k":{{"dtype":"{dtype}","shape":[1,1],"data_offsets":[0,2]}},"__metadata__":{{"fastrnn.native":'
            f'"{{\\"version\\":1,\\"layers\\":[{{\\"kind\\":\\"dense\\",\\"dtype\\":\\"{dtype}\\",\\"inputs\\":1,'
            '\\"outputs\\":1,\\"arrays\\":{\\"kernel\\":\\"\\u006b\\"}}]}"}}'
        ).encode()
        (folder / f"{dtype.lower()}.safetensors").write_bytes(
            struct.pack("<Q", len(header)) + header + struct.pack("<H", value)
        )
    folder = CORPUS / "calls"
    folder.mkdir(exist_ok=True)
    for name, calls in CALLS.items():
        (folder / name).write_bytes(bytes(calls))


if __name__ == "__main__":
    main()
