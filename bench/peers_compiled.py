"""Peers that compile a traced function: Keras on TensorFlow, and JAX."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .measure import Contestant
from .peers import Peer, one_layer
from .work import Array, Problem, reorder


class Keras(Peer):
    """keras.layers.LSTM, GRU and SimpleRNN inside one tf.function. Batch-first, as Keras is."""

    name = "keras"

    def __init__(self, threads: int) -> None:
        import tensorflow as tf  # before keras, which must find it

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        import keras

        self.tf, self.keras = tf, keras
        self.version = f"{keras.__version__} (tensorflow {tf.__version__})"

    def _layer(self, problem: Problem) -> tuple[Any, Any, list[Any]]:
        work = one_layer(self, problem)
        kind = {"lstm": "LSTM", "gru": "GRU", "rnn": "SimpleRNN"}[work.cell]
        layer = getattr(self.keras.layers, kind)(work.H, return_sequences=True)
        layer.build((work.B, work.T, work.I))
        # Keras: LSTM gates in the same order, GRU gates z, r, h; only its GRU keeps two biases apart.
        w_ih, w_hh, b_ih, b_hh = (reorder(p, [1, 0, 2]) if work.cell == "gru" else p for p in problem.parameters)
        layer.set_weights([w_ih.T, w_hh.T, np.stack([b_ih, b_hh]) if work.cell == "gru" else b_ih + b_hh])
        constant = self.tf.constant
        states = [constant(problem.h0[0])] + ([constant(problem.c0[0])] if work.cell == "lstm" else [])
        return layer, constant(np.ascontiguousarray(problem.x.swapaxes(0, 1))), states

    def inference(self, problem: Problem) -> Contestant:
        layer, x, states = self._layer(problem)
        run = self.tf.function(lambda x, states: layer(x, initial_state=states), autograph=False)
        return Contestant(
            self.name, problem.work, partial(run, x, states), lambda result: {"y": result.numpy().swapaxes(0, 1)}
        )

    def training(self, problem: Problem) -> Contestant:
        tf = self.tf
        layer, x, states = self._layer(problem)
        dy = tf.constant(np.ascontiguousarray(problem.dy.swapaxes(0, 1)))

        @tf.function(autograph=False)
        def step(x: Any, states: Any, dy: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch([x, *states])
                y = layer(x, initial_state=states, training=True)
            wanted = [x, *states, *layer.trainable_variables]
            return y, tape.gradient(y, wanted, output_gradients=dy)

        def arrays(result: Any) -> dict[str, Array]:
            y, (d_x, d_h0, *rest) = result
            out = {"y": y.numpy().swapaxes(0, 1), "d_x": d_x.numpy().swapaxes(0, 1), "d_h0": d_h0.numpy()[None]}
            if problem.work.cell != "gru":  # whose gates stand in another order
                out |= {"d_w_ih": rest[-3].numpy().T, "d_w_hh": rest[-2].numpy().T, "d_b_ih": rest[-1].numpy()}
            return out

        return Contestant(self.name, problem.work, partial(step, x, states, dy), arrays)


class Jax(Peer):
    """The equations in jax.numpy, W x for all steps as one product, the rest in lax.scan, under jit."""

    name = "jax"

    def __init__(self, threads: int) -> None:
        import jax

        self.jax = jax
        self.version = jax.__version__

    def _layer(self, cell: str) -> Callable[..., Any]:
        jax = self.jax
        jnp, sigmoid = jax.numpy, jax.nn.sigmoid

        def layer(x: Any, h0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, c0: Any) -> Any:
            inputs = x @ w_ih.T + (b_ih if cell == "gru" else b_ih + b_hh)

            def rnn(h: Any, at_x: Any) -> Any:
                h = jnp.tanh(at_x + h @ w_hh.T)
                return h, h

            def gru(h: Any, at_x: Any) -> Any:
                at_h = h @ w_hh.T + b_hh
                (x_r, x_z, x_n), (h_r, h_z, h_n) = jnp.split(at_x, 3, -1), jnp.split(at_h, 3, -1)
                z = sigmoid(x_z + h_z)
                h = (1 - z) * jnp.tanh(x_n + sigmoid(x_r + h_r) * h_n) + z * h
                return h, h

            def lstm(state: Any, at_x: Any) -> Any:
                h, c = state
                i, f, g, o = jnp.split(at_x + h @ w_hh.T, 4, -1)
                c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
                h = sigmoid(o) * jnp.tanh(c)
                return (h, c), h

            if cell == "lstm":
                return jax.lax.scan(lstm, (h0[0], c0[0]), inputs)[1]
            return jax.lax.scan(gru if cell == "gru" else rnn, h0[0], inputs)[1]

        return layer

    def _arguments(self, problem: Problem) -> list[Any]:
        one_layer(self, problem)
        return [self.jax.device_put(a) for a in (problem.x, problem.h0, *problem.parameters, problem.c0)]

    def inference(self, problem: Problem) -> Contestant:
        run, arguments = self.jax.jit(self._layer(problem.work.cell)), self._arguments(problem)
        return Contestant(
            self.name,
            problem.work,
            lambda: run(*arguments).block_until_ready(),
            lambda result: {"y": np.asarray(result)},
        )

    def training(self, problem: Problem) -> Contestant:
        jax, layer, arguments = self.jax, self._layer(problem.work.cell), self._arguments(problem)
        dy = jax.device_put(problem.dy)

        @jax.jit
        def step(dy: Any, *arguments: Any) -> Any:
            y, pull_back = jax.vjp(layer, *arguments)
            return y, pull_back(dy)

        def arrays(result: Any) -> dict[str, Array]:
            y, grads = result
            return {"y": np.asarray(y)} | {
                n: np.asarray(g) for n, g in zip(problem.work.gradients, grads, strict=False)
            }

        return Contestant(self.name, problem.work, lambda: jax.block_until_ready(step(dy, *arguments)), arrays)
