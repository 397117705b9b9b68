"""A signal ends a long native call: its handler is called while the call runs, and what that raises is raised at once.

No test measures time: the handler raises at its second call, which it only gets before a call is done if the call looks
for signals. Sizes are such that no machine is done before that.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastrnn
from fastrnn import Dense, Sequential
from fastrnn._core import matmul
from fastrnn.callbacks import Callback

TICK = 0.03


class Alarm(Exception):
    """What the handler raises."""


class Bell:
    """A timer whose signals are handled by `ring`, which counts them and raises at the second one, if at all."""

    def __init__(self) -> None:
        self.raises = True
        self.rings = 0

    def ring(self, *_: object) -> None:
        self.rings += 1
        if self.raises and self.rings == 2:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise Alarm

    def __enter__(self) -> Bell:
        self.rings = 0
        signal.setitimer(signal.ITIMER_REAL, TICK, TICK)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def must_end(self, call: Callable[[], object]) -> None:
        with self, pytest.raises(Alarm):
            call()


@pytest.fixture(autouse=True)
def pythons_own_handler() -> Iterator[None]:
    """SIGINT as Python handles it: a process that a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def bell() -> Iterator[Bell]:
    bell = Bell()
    before = signal.signal(signal.SIGALRM, bell.ring)
    yield bell
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def normal(*shape: int, dtype: Any = np.float32, scale: float = 1.0) -> Any:
    return np.asarray(np.random.default_rng(len(shape) + shape[-1]).standard_normal(shape) * scale, dtype)


def parameters(inputs: int, hidden: int, gates: int = 4, dtype: Any = np.float32) -> tuple[Any, ...]:
    shapes: tuple[tuple[int, ...], ...] = ((gates * hidden, inputs), (gates * hidden, hidden))
    return tuple(normal(*shape, dtype=dtype, scale=hidden**-0.5) for shape in (*shapes, shapes[0][:1], shapes[0][:1]))


def untouched(*shape: int, dtype: Any = np.float32) -> Any:
    """An array whose end tells whether a call wrote that far; its memory is not allocated before it is written to."""
    out = np.empty(shape, dtype)
    out[-1] = np.nan
    return out


def bits(a: Any) -> bytes:
    return np.ascontiguousarray(a).tobytes()


# ------------------------------------------------------------------------------------------------------------ functions


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("steps", "batch", "hidden"), [(20_000, 2, 1024), (3, 4096, 1536)], ids=["long", "huge steps"])
def test_forward_ends(bell, steps, batch, hidden, threads):
    weights = fastrnn.pack_lstm(*parameters(8, hidden))
    x, y = normal(steps, batch, 8), untouched(steps, batch, hidden)
    bell.must_end(lambda: fastrnn.lstm_forward(x, weights, out=y, threads=threads))
    assert np.isnan(y[-1]).any()
    # The same threads, at once.
    several = fastrnn.lstm_forward(x[:2, :8], weights, threads=threads)
    alone = fastrnn.lstm_forward(x[:2, :1], weights)
    assert all(bits(many[:, :1]) == bits(one) for many, one in zip(several, alone, strict=True))


@pytest.mark.parametrize("dtype", ["bfloat16", "int8", "float64"])
def test_other_precisions_end(bell, dtype):
    kind = np.float64 if dtype == "float64" else np.float32
    weights = fastrnn.pack_gru(*parameters(8, 1024, gates=3, dtype=kind), dtype=dtype)
    x, y = normal(20_000, 8, 8, dtype=kind), untouched(20_000, 8, 1024, dtype=kind)
    bell.must_end(lambda: fastrnn.gru_forward(x, weights, out=y))
    assert np.isnan(y[-1]).any()


@pytest.fixture(scope="module")
def trained() -> Any:
    """A forward pass with checkpoints, which keep its memory small and make its backward pass long."""
    x = normal(240, 64, 8)
    y, _, _, cache = fastrnn.lstm_forward(x, *parameters(8, 512), training=True, checkpoint_every=40, threads=2)
    return y, cache


@pytest.mark.parametrize("threads", [1, 2])
def test_training_and_backward_end(bell, trained, threads):
    y, cache = trained
    dy = normal(*y.shape)
    bell.must_end(lambda: fastrnn.lstm_backward(dy, cache, threads=threads))
    x = normal(240, 256, 8)
    bell.must_end(lambda: fastrnn.lstm_forward(x, cache.weights, training=True, checkpoint_every=40, threads=threads))
    # The weights' transposes, which the first backward pass makes, are whole.
    x = normal(3, 2, 8)
    grads = [
        fastrnn.lstm_backward(dy[:3, :2], fastrnn.lstm_forward(x, *weights, training=True)[-1])
        for weights in ((cache.weights,), parameters(8, 512))
    ]
    assert all(bits(a) == bits(b) for a, b in zip(*grads, strict=True) if a is not None)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("directions", [1, 2])
def test_stacks_end(bell, directions, threads):
    widths = (8, 512 * directions)
    layers = [[fastrnn.pack_gru(*parameters(i, 512, gates=3)) for _ in range(directions)] for i in widths]
    x, y = normal(20_000, 3, 8), untouched(20_000, 3, 512 * directions)
    bell.must_end(lambda: fastrnn.stack_forward(x, layers, out=y, threads=threads))
    assert np.isnan(y[-1]).any()


def test_stacks_end_backwards(bell):
    layers = [[fastrnn.pack_gru(*parameters(i, 384, gates=3)) for _ in range(2)] for i in (8, 768)]
    y, _, _, cache = fastrnn.stack_forward(
        normal(150, 32, 8), layers, training=True, checkpoint_every=25, threads=2, dropout=0.1
    )
    bell.must_end(lambda: fastrnn.stack_backward(np.ones_like(y), cache, threads=2))


def test_a_product_ends(bell):
    a = normal(4500, 4500)
    bell.must_end(lambda: matmul(a, a))


def test_handlers_that_raise_nothing_change_nothing(bell):
    weights = fastrnn.pack_lstm(*parameters(8, 512))
    x = normal(500, 16, 8)
    quiet = fastrnn.lstm_forward(x, weights)
    bell.raises = False
    with bell:
        loud = fastrnn.lstm_forward(x, weights)
    assert bell.rings > 0
    assert all(bits(a) == bits(b) for a, b in zip(quiet, loud, strict=True))


def test_a_handler_may_compute(bell):
    """It runs in the middle of a call, which has threads and a mode of floating-point numbers of its own."""
    weights = fastrnn.pack_lstm(*parameters(8, 512))
    x = normal(500, 16, 8)
    found = []

    def compute(*_: object) -> None:
        denormal = np.float32(1e-39) * np.ones(3, np.float32)
        found.append((bits(fastrnn.lstm_forward(x[:3], weights, threads=2)[0]), denormal.all()))

    quiet = fastrnn.lstm_forward(x, weights)
    signal.signal(signal.SIGALRM, compute)
    with bell:
        loud = fastrnn.lstm_forward(x, weights, threads=2)
    assert all(bits(a) == bits(b) for a, b in zip(quiet, loud, strict=True))
    assert set(found) == {(bits(quiet[0][:3]), True)}


def test_other_threads_go_on(bell):
    weights = fastrnn.pack_lstm(*parameters(8, 512))
    x = normal(600, 16, 8)
    expected = fastrnn.lstm_forward(x, weights)[0]
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(bits(fastrnn.lstm_forward(x, weights)[0])))
    bell.raises = False
    with bell:
        thread.start()
        thread.join()
    assert found == [bits(expected)]


CHILD = """
import numpy as np, fastrnn
rng = np.random.default_rng(0)
w = fastrnn.pack_rnn(*(rng.standard_normal(s).astype(np.float32) / 64 for s in ((2048, 8), (2048, 2048), 2048, 2048)))
x = rng.standard_normal((40_000, 1, 8)).astype(np.float32)
y = np.empty((40_000, 1, 2048), np.float32)
y[-1] = np.nan
try:
    print("begins", flush=True)
    fastrnn.rnn_forward(x, w, out=y)
except KeyboardInterrupt:
    print("early" if np.isnan(y[-1]).all() else "late")
"""


def test_control_c():
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "begins\n"
        time.sleep(0.3)  # before the call or in it: it ends as well
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=300)[0] == "early\n"


# --------------------------------------------------------------------------------------------------- sessions and pools


def sessions() -> list[Any]:
    """Of a layer, of a layer in float64, and of a model."""
    one = fastrnn.pack_lstm(*parameters(8, 512))
    model = fastrnn.Model([fastrnn.pack_lstm(*parameters(8, 256)), fastrnn.pack_gru(*parameters(256, 512, gates=3))])
    wide = fastrnn.pack_lstm(*parameters(8, 512, dtype=np.float64))
    return [(one, np.float32), (wide, np.float64), (model, np.float32)]


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["layer", "float64", "model"])
def test_a_session_keeps_its_state(bell, kind):
    weights, dtype = sessions()[kind]
    session, never = (fastrnn.Session(weights, batch=4) for _ in range(2))
    x = normal(20_000, 4, 8, dtype=dtype)
    for one in (session, never):
        one.run(x[:7])
    y = untouched(20_000, 4, 512, dtype=dtype)
    bell.must_end(lambda: session.run(x, out=y))
    assert np.isnan(y[-1]).any()
    assert bits(session.run(x[:20])) == bits(never.run(x[:20]))
    assert bits(session.step(x[0])) == bits(never.step(x[0]))


def test_a_huge_step_ends(bell):
    weights = fastrnn.pack_lstm(*parameters(8, 1536))
    session = fastrnn.Session(weights, batch=4096)
    x, y = normal(4096, 8), untouched(4096, 1536)
    bell.must_end(lambda: session.step(x, out=y))
    h, c = session.state
    assert not h.any()
    assert not c.any()


@pytest.mark.parametrize("step", [False, True], ids=["advance", "step"])
def test_a_pool_keeps_its_streams(bell, step):
    weights = fastrnn.pack_lstm(*parameters(8, 1536))
    pool = fastrnn.StreamPool(weights, capacity=3072, queue=2)
    streams = pool.open(3072)
    first = int(streams[0])
    x = normal(3072, 8)
    if step:
        bell.must_end(lambda: pool.step(streams, x))
        assert not pool.waiting(streams).any()
    else:
        pool.push(streams, x)
        bell.must_end(pool.advance)
        assert (pool.waiting(streams) == 1).all()
        pool.reset(streams[1:])
    assert not pool.ready(streams).any()
    if step:
        pool.push(first, x[0])
    assert pool.advance() == 1
    assert bits(pool.pull(first)[0]) == bits(fastrnn.Session(weights).step(x[0]))


# ------------------------------------------------------------------------------------------------------------------ fit


class Press(Callback):
    """Presses Ctrl-C some times at the beginning of a batch, and counts the batches that ended."""

    def __init__(self, batch: int, times: int = 1, testing: bool = False) -> None:
        super().__init__()
        self.batch, self.times, self.testing = batch, times, testing
        self.ended = self.tested = self.trainings_ended = 0

    def press(self, batch: int) -> None:
        if batch == self.batch:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if not self.testing:
            self.press(batch)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.ended += 1

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self.testing:
            self.press(batch)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self.tested += 1

    def on_train_end(self, logs: Any = None) -> None:
        self.trainings_ended += 1


X, Y = normal(40, 5, 3), normal(40, 2)


def model() -> Sequential:
    fastrnn.set_random_seed(3)
    made = Sequential([fastrnn.LSTM(4, input_shape=(5, 3)), Dense(2)])
    made.compile("adam", "mse")
    return made


def fit(made: Sequential, epochs: int = 1, **more: Any) -> Any:
    return made.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, **more)


def same(a: Sequential, b: Sequential) -> bool:
    return all(bits(p) == bits(q) for p, q in zip(a.get_weights(), b.get_weights(), strict=True))


def test_fit_ends_behind_the_running_batch():
    made, other = model(), model()
    fit(made)
    fit(other)
    press = Press(batch=2)
    with pytest.raises(KeyboardInterrupt):
        fit(made, callbacks=[press])
    assert (press.ended, press.trainings_ended) == (3, 1)
    for first in (0, 8, 16):
        other.train_on_batch(X[first : first + 8], Y[first : first + 8])
    assert same(made, other)
    assert made.history is not None
    assert made.history.history == {}  # no epoch was completed
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert len(fit(made, epochs=2).history["loss"]) == 2


def test_fit_has_the_history_of_whole_epochs():
    class Late(Press):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.batch = 1 if epoch == 2 else -1

    made = model()
    with pytest.raises(KeyboardInterrupt):
        fit(made, epochs=5, callbacks=[Late(batch=-1)])
    assert made.history is not None
    assert len(made.history.history["loss"]) == 2


def test_a_second_control_c_ends_fit_at_once():
    press = Press(batch=2, times=2)
    with pytest.raises(KeyboardInterrupt):
        fit(model(), callbacks=[press])
    assert (press.ended, press.trainings_ended) == (2, 1)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_validation_ends_behind_its_batch():
    press = Press(batch=1, testing=True)
    with pytest.raises(KeyboardInterrupt):
        fit(model(), validation_data=(X, Y), callbacks=[press])
    assert (press.ended, press.tested) == (5, 2)


def test_between_batches_control_c_ends_fit_at_once():
    def batches() -> Iterator[Any]:
        yield X[:8], Y[:8]
        signal.raise_signal(signal.SIGINT)
        pytest.fail("was put off")

    with pytest.raises(KeyboardInterrupt):
        model().fit(batches(), verbose=0)


def test_an_error_comes_before_control_c():
    class Fails(Press):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == self.batch:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(model(), callbacks=[Fails(batch=1)])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_users_is_left_alone():
    heard = []
    signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    try:
        fit(model(), callbacks=[Press(batch=1, times=2)])
        assert heard == [1, 1]
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_fit_in_another_thread():
    losses: list[float] = []
    thread = threading.Thread(target=lambda: losses.extend(fit(model()).history["loss"]))
    thread.start()
    thread.join()
    assert losses == fit(model()).history["loss"]


def test_an_evaluation_within_a_batch_is_part_of_it():
    class Evaluates(Press):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == self.batch:
                self.model.evaluate(X[:8], Y[:8])
            super().on_train_batch_end(batch, logs)

    press = Evaluates(batch=1)
    with pytest.raises(KeyboardInterrupt):
        fit(model(), callbacks=[press])
    assert press.ended == 2
