"""Calls the Python functions and classes with good, odd and impossible arguments: only documented errors may come out.

Usage: python tests/fuzz/python_api.py [--calls 200000] [--seed 1] [--only NUMBER] [--modest]

Each round builds what it needs from the seed and its own number alone, so that `--only` repeats it; the number of the
round that failed, crashed or hung is printed at the end. Results of sound calls are now and then held to
`fastrnn.reference`. `--modest`: no sizes for which there is no memory, which AddressSanitizer ends the process at.
"""

from __future__ import annotations

import argparse
import faulthandler
import mmap
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from odd_values import Strange, StrangeError, short

import fastrnn
from fastrnn import _core, reference
from fastrnn.functional._cells import CELLS
from fastrnn.functional._options import PARAMETERS

TABLE = _core.cell_table()
GATES = {cell: len(row["gates"]) for cell, row in TABLE.items()}
ACTIVATIONS = ["tanh", "relu", "sigmoid", "linear", ("elu", 0.5), ("affine", 1.0, 0.5), "hard_sigmoid", "nothing"]
CLASSES = [v for v in vars(_core).values() if isinstance(v, type) and not issubclass(v, Exception)]
MEMORY = 8 << 30
SECONDS = 120  # of one round, on a slow and busy machine


DOCUMENTED = (TypeError, ValueError, KeyError, BufferError, MemoryError)
DOCUMENTED += (fastrnn.CudaError, fastrnn.FullError, StrangeError)


class Fuzzer:
    """One round: random choices of its own, and the calls it makes."""

    def __init__(self, seed: int, number: int, modest: bool, tell: bool):
        self.random = random.Random(f"{seed}:{number}")
        self.modest, self.tell = modest, tell
        self.calls: Counter[str] = Counter()
        self.sound = True  # whether the latest call had valid arguments only
        self.error: Exception | None = None  # the latest
        self.T, self.B = self.pick([0, 1, 1, 2, 3, 7]), self.pick([0, 1, 1, 2, 5, 19])
        self.I, self.H = self.pick([0, 1, 2, 5, 16]), self.pick([1, 2, 3, 8, 17, 40])
        self.dtype = self.pick(["float32", "float32", "float64"])

    # -- choices

    def pick(self, options: Any) -> Any:
        return options[self.random.randrange(len(options))]

    def chance(self, n: int) -> bool:
        return self.random.randrange(n) == 0

    def array(self, *shape: int, dtype: str | None = None) -> Any:
        rng = np.random.default_rng(self.random.randrange(1 << 30))
        return rng.uniform(-1, 1, shape).astype(dtype or self.dtype)

    def odd_number(self) -> Any:
        huge = [2**31, 2**40, 2**62] if not self.modest else []
        return self.pick([-1, 0, 1, 2, 3, 2**63, 2**64, -(2**70), 10**400, 0.5, -0.0, float("nan"), float("inf"), 1e308,
                          True, np.int64(1), np.uint8(3), np.float16(0.5), np.bool_(1), 1j, *huge])  # fmt: skip

    def odd_array(self) -> Any:
        extents = [0, 1, 2, self.T, self.B, self.I, self.H, self.H * 4, *([] if self.modest else [2**31, 2**40])]
        shape = tuple(self.pick(extents) for _ in range(self.random.randrange(5)))
        if max((1, *shape)) > 1000 or self.chance(4):
            try:
                return np.broadcast_to(np.zeros((), self.pick(["f4", "f8", "i8", "?"])), shape)
            except ValueError:  # more than NumPy counts
                return np.zeros(0, "f4")
        kinds = ["f4", "f4", "f8", "f2", "i8", "u1", "?", "c8", "O", "S3", "U2", ">f4", ">f8", "M8[s]", "g", "f4,f4"]
        return np.zeros(shape, self.pick(kinds))

    def twisted(self, array: Any) -> Any:
        """The array in another shape, layout, dtype or wrapper."""
        kind = self.random.randrange(16)
        if array.size > 1_000_000:
            return array
        if kind == 0:
            return np.repeat(array, 2, axis=-1)[..., ::2] if array.ndim else array
        if kind == 1:
            return np.asfortranarray(array)
        if kind == 2:
            return array[::-1] if array.ndim else array
        if kind == 3:
            room = np.zeros(array.nbytes + 1, "u1")[1:]
            return np.ndarray(array.shape, array.dtype, room) if array.size else array
        if kind == 4:
            array = array.copy()
            array.flags.writeable = False
            return array
        if kind == 5:
            return array.astype(self.pick(["f2", "f4", "f8", "i4", "?", ">f4", "c16", "O"]))
        if kind == 6:
            return array.tolist()
        if kind == 7:
            return np.broadcast_to(array[:1], array.shape) if array.ndim else array
        if kind == 8:
            return array.T
        if kind == 9:
            return array[..., None]
        if kind == 10 and array.size:
            array = array.copy()
            array.flat[self.random.randrange(array.size)] = self.pick([np.nan, np.inf, -np.inf, 1e-42, 3e38])
            return array
        if kind == 11:
            return memoryview(np.ascontiguousarray(array)) if array.size else array
        if kind == 12:
            return np.ma.masked_array(array, mask=self.chance(2))
        if kind == 13:
            return array.view(self.pick([np.recarray, np.matrix]) if array.ndim == 2 else np.recarray)
        if kind == 14:
            return array[:-1]
        return self.odd_array()

    def odd(self, good: Any = None) -> Any:
        """A value that does not belong there."""
        try:
            return self.another(good)
        except (MemoryError, ValueError, TypeError, IndexError, OverflowError):  # NumPy's, of what it cannot make
            return None

    def another(self, good: Any) -> Any:
        if isinstance(good, np.ndarray) and not self.chance(3):
            return self.twisted(good)
        kind = self.random.randrange(9)
        if kind == 0:
            return self.odd_array()
        if kind == 1:
            return self.odd_number()
        if kind == 2:
            return self.pick(["", "tanh", "float32", "\0", "\ud800", "x" * 5000, "cpu", b"", b"\xff" * 200])
        if kind == 3:
            return self.pick([[], [[]], [[1], [1, 2]], [None], (1.0,), {}, {"a": 1}, set(), [1e400], [[10**400]]])
        if kind == 4:
            return self.pick([object(), object, len, NotImplemented, ..., range(3), slice(3), memoryview(b"abcd")])
        if kind == 5:
            empty = self.pick(CLASSES)
            return empty.__new__(empty)
        if kind == 6:
            return Strange(self)
        if kind == 7:
            return self.pick([self.weights, self.model, lambda: fastrnn.Session(self.weights())])()
        return None

    # -- calls

    def call(self, function: Callable[..., Any], *given: Any, odds: int = 3, **named: Any) -> Any:
        """Calls with some arguments replaced or left out. Returns the result, None after a documented error."""
        self.sound = True
        arguments = list(given)
        while self.chance(odds):
            self.sound = False
            if arguments and (not named or self.chance(2)):
                place = self.random.randrange(len(arguments))
                arguments[place] = self.odd(arguments[place])
            elif named:
                name = self.pick(sorted(named))
                named[name] = self.odd(named[name])
            else:
                arguments.append(self.odd())
        owner = getattr(function, "__self__", None)
        what = f"{type(owner).__name__}.{function.__name__}" if type(owner) in CLASSES else function.__name__
        if self.tell:
            shown = [*map(short, arguments), *(f"{name}={short(value)}" for name, value in named.items())]
            print(f"{what}({', '.join(shown)})", flush=True)
        self.calls[what] += 1
        try:
            return function(*arguments, **named)
        except DOCUMENTED as error:
            self.error = error
            self.calls["refused"] += 1
            return None

    def parameters(self, cell: str, hidden: int, inputs: int) -> dict[str, Any]:
        rows = GATES[cell] * hidden
        w_hh = self.array(hidden) if cell == "indrnn" else self.array(rows, hidden)
        biases = {"b_ih": self.array(rows), "b_hh": self.array(rows)} if self.chance(2) else {}
        return {"w_ih": self.array(rows, inputs), "w_hh": w_hh, **biases}

    def options(self, names: frozenset[str], hidden: int) -> dict[str, Any]:
        """Some of these options, with valid or almost valid values."""
        values: dict[str, Callable[[], Any]] = {
            "activation": lambda: self.pick(ACTIVATIONS),
            "recurrent_activation": lambda: self.pick(ACTIVATIONS),
            "output_activation": lambda: self.pick(ACTIVATIONS),
            "ln_ih": lambda: self.array(hidden * self.pick([1, 3, 4])),
            "ln_hh": lambda: self.array(hidden * self.pick([1, 3, 4])),
            "ln_c": lambda: self.array(2, hidden),
            "w_hr": lambda: self.array(max(1, hidden // 2), hidden),
            "mask": lambda: self.array(self.T, self.B) > 0,
            "reset_mask": lambda: self.array(self.T, self.B) > 0,
            "zero_output_for_mask": lambda: self.chance(2),
            "batch_sizes": lambda: sorted((self.random.randrange(1, 4) for _ in range(self.T)), reverse=True),
            "seed": lambda: self.random.randrange(1 << 64),
            "checkpoint_every": lambda: self.random.randrange(1, 5),
            "truncate": lambda: self.random.randrange(1, 5),
            "device": lambda: self.pick(["cpu", "cpu", "cuda", "cuda:9", "tpu"]),
            "device_dtype": lambda: None, "device_tier": lambda: None, "stream": lambda: None,
        }  # fmt: skip
        rate = lambda: self.pick([0.0, 0.25, 0.5])  # noqa: E731
        return {name: values.get(name, rate)() for name in sorted(names) if self.chance(6)}

    def weights(self, cell: str = "lstm", hidden: int | None = None, inputs: int | None = None) -> Any:
        given = self.parameters(cell, hidden or self.H, self.I if inputs is None else inputs)
        dtype = (
            self.dtype if self.dtype == "float64" else self.pick(["float32", "bfloat16", "bfloat16_weights", "int8"])
        )
        return getattr(fastrnn, f"pack_{cell}")(**given, dtype=dtype)

    def model(self) -> Any:
        self.dtype = "float32"
        return fastrnn.Model([self.weights("gru", 5), self.weights("lstm", self.H, 5)])

    # -- rounds

    def functions(self) -> None:
        cell = self.pick(sorted(GATES))
        table = CELLS[cell]
        x, parameters = self.array(self.T, self.B, self.I), self.parameters(cell, self.H, self.I)
        names = ["h0", *(f"{state}0" for state in TABLE[cell]["states"])]
        states = {name: self.array(1, self.B, self.H) for name in names if self.chance(2)}
        settings = self.options(table.weights, self.H)
        if self.chance(3):
            packed = self.call(getattr(fastrnn, f"pack_{cell}"), **parameters, **settings)
            if packed is None:
                return
            for name in ("cell", "options", "nbytes", "dtype", "isa", "output_size"):
                getattr(packed, name)
            given: dict[str, Any] = {"w_ih": packed}
        else:
            given = {**parameters, **settings}
        if self.chance(4):
            step = {name: state[0] for name, state in states.items()}
            self.call(getattr(fastrnn, f"{cell}_cell"), self.array(self.B, self.I), **given, **step)
            return
        training = self.chance(2)
        run = self.options(table.run, self.H)
        more = {"lengths": [self.random.randrange(self.T + 1) for _ in range(self.B)]} if self.chance(4) else {}
        more |= {"reverse": self.chance(3), "batch_first": self.chance(6), "threads": self.pick([None, None, 1, 2])}
        if self.chance(4):
            more["out"] = self.array(self.T, self.B, self.H)
        if more["batch_first"]:
            x = np.ascontiguousarray(x.swapaxes(0, 1))
        found = self.call(getattr(fastrnn, f"{cell}_forward"), x, **given, **states, **run, **more, training=training)
        plain = self.sound and not (settings or run or more.get("out") is not None or "w_hh" not in given)
        if plain:
            assert found is not None, f"refused a sound call: {self.error}"
            more = {name: value for name, value in more.items() if name in ("lengths", "reverse", "batch_first")}
            right = getattr(reference, f"{cell}_forward")(x, **parameters, **states, **more)
            np.testing.assert_allclose(found[0], right[0], rtol=1e-3, atol=1e-4)
        if found is None or not training:
            return
        y, *final, cache = found
        gradients = [self.array(*array.shape, dtype=str(array.dtype)) for array in (y, *final)]
        for _ in range(2):
            self.call(getattr(fastrnn, f"{cell}_backward"), gradients[0], cache, *gradients[1:], need_dx=self.chance(2))

    def stacks(self) -> None:
        cell = self.pick(sorted(GATES))
        self.dtype = self.pick(["float32", "float64"])
        directions, count = self.pick([1, 2]), self.pick([1, 2, 3])
        layers = []
        for layer in range(count):
            inputs = self.I if layer == 0 else directions * self.H
            pack = getattr(fastrnn, f"pack_{cell}")
            layers.append([pack(**self.parameters(cell, self.H, inputs)) for _ in range(directions)])
        if self.chance(8):
            layers[self.random.randrange(count)] = self.odd()
        run = self.options(CELLS[cell].run - {"dropout"}, self.H)
        h0 = self.array(count * directions, self.B, self.H) if self.chance(3) else None
        more = {"merge": self.pick(["concat", "concat", "sum", "mean", "mul", "no"]), "dropout": self.pick([0.0, 0.3])}
        x, training = self.array(self.T, self.B, self.I), self.chance(2)
        found = self.call(fastrnn.stack_forward, x, layers, h0, **more, **run, training=training)
        if found is not None and training:
            self.call(fastrnn.stack_backward, self.array(*found[0].shape), found[-1], self.array(*found[1].shape))

    def sessions(self) -> None:
        made = self.model() if self.chance(3) else self.weights(self.pick(sorted(GATES)))
        session = self.call(fastrnn.Session, made, batch=max(1, self.B), odds=8)
        if session is None:
            return
        batch, outputs = session.batch, made.output_size
        for _ in range(self.random.randrange(1, 8)):
            kind = self.random.randrange(7)
            if kind < 2:
                out = [self.array(batch, outputs)] if self.chance(2) else []
                self.call(session.step, self.array(batch, self.I), *out)
            elif kind == 2:
                self.call(session.run, self.array(self.T, batch, self.I))
            elif kind == 3:
                self.call(lambda value: setattr(session, "state", value), session.state)
            elif kind == 4 and getattr(made, "dtype", "") != "float64":
                self.call(session.set_state, session.get_state())
            elif kind == 5:
                self.call(session.step, self.array(batch, self.I)[0])
            else:
                self.call(session.reset)
        assert session.state is not None
        assert session.nbytes > 0

    def pools(self) -> None:
        self.dtype = "float32"
        made = self.model() if self.chance(3) else self.weights(self.pick(sorted(GATES)))
        pool = self.call(fastrnn.StreamPool, made, capacity=self.pick([1, 3, 20]), queue=self.pick([1, 2, 5]), odds=8)
        if pool is None or pool.capacity > 1000:
            return
        known = list(pool.open(self.random.randrange(min(6, pool.capacity) + 1)))
        for _ in range(self.random.randrange(1, 12)):
            chosen = [s for s in known if self.chance(2)]
            method = self.pick(["open", "close", "reset", "push", "push", "advance", "pull", "step", "waiting", "ready",
                                "get_state", "set_state", "__contains__", "step"])  # fmt: skip
            several = self.chance(2) and "state" not in method
            streams: Any = np.array(chosen, np.int64) if several else self.pick(chosen) if chosen else 2**33
            n = (len(chosen),) if several else ()
            given: list[Any] = [] if method in ("open", "advance") else [streams]
            if method == "push":
                given.append(self.array(*(self.pick([(), (1,), (2,)])), *n, self.I))
            elif method == "step":
                given.append(self.array(*n, self.I))
            elif method == "pull" and self.chance(2):
                given.append(self.pick([0, 1, 2, 2**40]))
            elif method == "set_state":
                given.append(pool.get_state(known[0]) if known and known[0] in pool else b"")
            found = self.call(getattr(pool, method), *given, odds=5)
            if method == "open" and found is not None:
                known += np.ravel(found).tolist()
        assert 0 <= len(pool) <= pool.capacity
        assert pool.runnable >= 0

    def the_rest(self) -> None:
        a, b = self.array(self.T, self.I), self.array(self.I, self.H)
        self.call(_core.matmul, a, self.call(_core.pack_matrix, b) if self.chance(2) else b)
        self.call(_core.activate, self.pick(["tanh", "sigmoid", "relu", "?"]), a, fast=self.chance(2))
        self.call(fastrnn.Model, [self.weights("gru", 5, 3), self.weights("gru", 4, 5)])
        self.call(fastrnn.Model.load, bytes(self.random.randrange(256) for _ in range(self.random.randrange(64))))
        cell, options = self.pick(sorted(GATES)), {}
        if self.chance(2):
            options = self.options(CELLS[cell].weights - PARAMETERS, self.H)
        self.call(fastrnn.plan, cell, hidden=self.H, batch=self.B, steps=self.T, threads=1, **options)
        self.call(fastrnn.set_num_threads, self.pick([1, 2]), odds=2)
        fastrnn.set_num_threads(1)
        for name in sorted(vars(_core)):
            function = getattr(_core, name)
            if self.chance(10) and callable(function) and not isinstance(function, type) and name not in RAW:
                self.call(function, *(self.odd() for _ in range(self.random.randrange(12))))
        for kind in CLASSES:
            for name in sorted(vars(kind)):
                value = self.pick([kind.__new__(kind), self.weights()])
                if self.chance(20) and not name.startswith("_pybind11"):
                    self.call(lambda v=value, n=name: getattr(v, n, None), odds=100)


RAW = {"device_array_from_interface", "set_isa", "order_cuda_streams", "set_num_threads", "cuda_ordinal_of"}
"""Take addresses, or change how all other rounds run."""
ROUNDS = (Fuzzer.functions, Fuzzer.functions, Fuzzer.stacks, Fuzzer.sessions, Fuzzer.pools, Fuzzer.the_rest)


def work(arguments: argparse.Namespace) -> Counter[str]:
    """Rounds until there were so many calls; the number of each stands in the progress file while it runs."""
    warnings.simplefilter("ignore")
    total: Counter[str] = Counter()
    number = 0 if arguments.only is None else arguments.only
    with open(arguments.progress, "r+b") as file, mmap.mmap(file.fileno(), 8) as progress:
        while sum(total.values()) - total["refused"] < arguments.calls:
            progress[:8] = number.to_bytes(8, "little")
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            fuzzer = Fuzzer(arguments.seed, number, arguments.modest, arguments.only is not None)
            begin = time.monotonic()
            fuzzer.pick(ROUNDS)(fuzzer)
            if time.monotonic() - begin > SECONDS / 12:
                print(f"round {number} took {time.monotonic() - begin:.0f} s", flush=True)
            total += fuzzer.calls
            number += 1
            if arguments.only is not None:
                break
    faulthandler.cancel_dump_traceback_later()
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of a round")
    parser.add_argument("--modest", action="store_true")
    parser.add_argument("--progress", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.progress is not None:
        faulthandler.enable()
        if not arguments.modest:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        total = work(arguments)
        refused = total.pop("refused", 0)
        print(f"{sum(total.values())} calls of {len(total)} functions, {refused} refused, seed {arguments.seed}: clean")
        return 0
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(8))
        file.flush()
        code = subprocess.call([sys.executable, *sys.argv, "--progress", file.name])
        number = int.from_bytes(open(file.name, "rb").read(8), "little")  # noqa: SIM115
    if code != 0:
        more = " --modest" if arguments.modest else ""
        print(f"FAILED in round {number} with exit status {code}; again with: "
              f"python {os.path.relpath(__file__)} --seed {arguments.seed} --only {number}{more}")  # fmt: skip
    return 1 if code else 0


if __name__ == "__main__":
    raise SystemExit(main())
