"""fastrnn as a contestant, in all its variants."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import fastrnn
from fastrnn import _core

from .measure import Contestant, Unable
from .section import Variant
from .work import PARAMETERS, Array, Problem, make_problem


class FastRNN:
    """This library. Inference runs on weights packed once; training packs in every call, as weights change in it."""

    def __init__(self, threads: int) -> None:
        fastrnn.set_num_threads(threads)

    def contestant(self, problem: Problem, variant: Variant) -> Contestant:
        """fastrnn on one problem in one way.

        Raises:
            Unable: this fastrnn does not have that.
        """
        if variant.neighbour:
            problem = make_problem(problem.work.neighbour)
        if variant.padded:
            problem = make_problem(replace(problem.work, ragged=False))
        if variant.steps is not None:
            problem = make_problem(replace(problem.work, T=variant.steps, kind="inference"))
        if variant.denormal:
            problem = problem.denormal()
        if variant.step and (problem.work.T != 1 or problem.work.stacked):
            raise Unable("Session.step is one step of one layer")
        made: Contestant = getattr(self, f"_{problem.work.kind}")(problem, variant)
        other = variant.neighbour or variant.denormal or variant.padded or variant.steps is not None
        made.precision = None if other else "fast" if variant.fast else variant.dtype
        return made

    @staticmethod
    def _states(problem: Problem) -> dict[str, Array]:
        return {"h0": problem.h0, "c0": problem.c0} if problem.work.cell == "lstm" else {"h0": problem.h0}

    def _inference(self, problem: Problem, variant: Variant) -> Contestant:
        cell = problem.work.cell
        layers = self._pack(problem, dtype=variant.dtype, fast_activations=variant.fast)
        if variant.step:
            return self._step(problem, variant, layers[0][0])
        run = {"lengths": problem.work.lengths, "threads": variant.threads, **self._states(problem)}
        if problem.work.stacked:
            forward = partial(fastrnn.stack_forward, problem.x, layers, **run)
        else:
            forward = partial(getattr(fastrnn, f"{cell}_forward"), problem.x, layers[0][0], **run)
        return Contestant(variant.name, problem.work, forward, lambda result: {"y": result.y})

    @staticmethod
    def _pack(problem: Problem, **options: Any) -> list[list[fastrnn.PackedWeights]]:
        pack = getattr(fastrnn, f"pack_{problem.work.cell}")
        return [[pack(*parameters, **options) for parameters in layer] for layer in problem.layers]

    def _step(self, problem: Problem, variant: Variant, packed: fastrnn.PackedWeights) -> Contestant:
        """The state goes on from call to call; the first one starts from the problem's."""
        session = fastrnn.Session(packed, batch=problem.work.B)
        session.state = (problem.h0[0], problem.c0[0]) if problem.work.cell == "lstm" else problem.h0[0]
        y = np.empty((problem.work.B, problem.work.H), np.float32)
        forward = partial(session.step, problem.x[0], out=y)
        return Contestant(variant.name, problem.work, forward, lambda _: {"y": y[None]})

    def _pool(self, problem: Problem, variant: Variant) -> Contestant:
        """As :meth:`_step`, each row a stream of its own."""
        packed = getattr(fastrnn, f"pack_{problem.work.cell}")(*problem.parameters, dtype=variant.dtype)
        pool = fastrnn.StreamPool(packed, capacity=problem.work.B, queue=1)
        streams, alone = pool.open(problem.work.B), fastrnn.Session(packed)
        for b, stream in enumerate(streams):
            h, c = problem.h0[0, b : b + 1], problem.c0[0, b : b + 1]
            alone.state = (h, c) if problem.work.cell == "lstm" else h
            pool.set_state(int(stream), alone.get_state())
        y = np.empty((problem.work.B, problem.work.H), np.float32)
        forward = partial(pool.step, streams, problem.x[0], out=y)
        return Contestant(variant.name, problem.work, forward, lambda _: {"y": y[None]})

    def _training(self, problem: Problem, variant: Variant) -> Contestant:
        cell, dy, threads = problem.work.cell, problem.dy, variant.threads
        function, run_backward = getattr(fastrnn, f"{cell}_forward"), getattr(fastrnn, f"{cell}_backward")
        run = {"lengths": problem.work.lengths, "threads": threads, **self._states(problem)}
        forward = partial(function, problem.x, *problem.parameters, **run, training=True)
        if problem.work.stacked:
            return self._stack_training(problem, variant, run)

        def backward(result: Any) -> Any:
            return result[0], run_backward(dy, result[-1], threads=threads)

        def arrays(result: Any) -> dict[str, Array]:
            y, grads = result
            return {"y": y} | {name: getattr(grads, name[2:]) for name in problem.work.gradients}

        return Contestant(variant.name, problem.work, forward, arrays, backward)

    def _stack_training(self, problem: Problem, variant: Variant, run: dict[str, Any]) -> Contestant:
        """As :meth:`_training`, all layers packed in every call."""
        dy, threads = problem.dy, variant.threads

        def forward() -> Any:
            return fastrnn.stack_forward(problem.x, self._pack(problem), **run, training=True)

        def backward(result: Any) -> Any:
            return result[0], fastrnn.stack_backward(dy, result[-1], threads=threads)

        def arrays(result: Any) -> dict[str, Array]:
            y, grads = result
            flat = [directions[name] for layer in grads.layers for directions in layer for name in PARAMETERS]
            return {"y": y} | dict(zip(problem.work.gradients, [grads.x, grads.h0, *flat], strict=True))

        return Contestant(variant.name, problem.work, forward, arrays, backward)

    def _product(self, problem: Problem, variant: Variant) -> Contestant:
        a, b = problem.factors
        if not variant.packed:
            return Contestant(variant.name, problem.work, partial(_core.matmul, a, b), lambda result: {"y": result})
        out = np.empty((a.shape[0], b.shape[1]), np.float32)
        multiply = partial(_core.matmul, a, _core.pack_matrix(b), out=out)
        return Contestant(variant.name, problem.work, multiply, lambda _: {"y": out})
