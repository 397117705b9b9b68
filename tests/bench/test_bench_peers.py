"""The contestants of the benchmark: fastrnn in its variants, and the libraries beside it where they are installed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bench import fit, measure, ours, peers, peers_ncnn, peers_onnx, work
from bench.section import Variant
from bench.sections import SECTIONS
from fastrnn import reference
from tests.support.bench_contestants import ReferencePeer, contestants, section


def test_a_product_agrees_with_numpy():
    made = contestants("GRU T3 B2 I5 H8", "product", peers.NumPy())
    timings, refused = measure.measure(made, rounds=1, seconds=0.001)
    assert refused == {}
    assert [t.name for t in timings] == ["fastrnn", "numpy"]


def test_variants_of_other_data_and_shape_are_timed_but_not_compared():
    variants = (Variant(), Variant(neighbour=True), Variant(denormal=True))
    made = contestants("LSTM T3 B3 H9", "inference", ReferencePeer(), *variants)
    timings, _ = measure.measure(made, rounds=1, seconds=0.001)
    assert [t.name for t in timings] == ["fastrnn", "fastrnn neighbour", "fastrnn denormal", "torch"]
    assert [t.work.name for t in timings[:2]] == ["LSTM T3 B3 H9", "LSTM T3 B4 H64"]
    assert [t.difference is None for t in timings] == [False, True, True, False]
    y = [measure.run_once(contestant)["y"] for contestant in made]
    assert np.abs(y[0]).max() > 0.01
    assert np.abs(y[2]).max() < 1e-30


@pytest.mark.parametrize("shape", ["LSTM T1 B2 I5 H8", "GRU T1 B1 H8", "RNN T1 B1 H8"])
def test_steps_start_from_the_same_state_as_sequences(shape):
    variants = [Variant(), *(v for v in SECTIONS[0].ours if v.step)]
    timings, refused = measure.measure(contestants(shape, "inference", ReferencePeer(), *variants), 1, 0.001)
    assert refused == {}
    assert len(timings) == len(variants) + 1 >= 6
    assert timings[-2].name == "fastrnn step int8"
    assert timings[-2].difference > measure.TOLERANCE["float32"]


@pytest.mark.parametrize("shape", ["LSTM B7 H8", "GRU B3 I5 H8", "RNN B1 H8"])
def test_a_pool_agrees_with_a_batch_from_the_same_states(shape):
    problem = work.make_problem(work.parse(shape, "pool"))
    library = ours.FastRNN(1)
    pool = library.contestant(problem, Variant())
    batch = library.contestant(dataclasses.replace(problem, work=work.parse(shape, "inference")), Variant())
    np.testing.assert_array_equal(measure.run_once(pool)["y"], measure.run_once(batch)["y"])
    many = library.contestant(problem, Variant(steps=4))
    assert (many.name, many.work.T, many.precision, many.work.flops()) == (
        "fastrnn 4 steps", 4, None, 4 * problem.work.flops(),
    )  # fmt: skip


def test_a_pool_agrees_with_as_many_calls_of_onnxruntime():
    pytest.importorskip("onnx", reason="a peer of the benchmark: pip install '.[bench]'")
    pytest.importorskip("onnxruntime", reason="a peer of the benchmark: pip install '.[bench]'")
    problem = work.make_problem(work.parse("LSTM B5 I3 H8", "pool"))
    own, theirs = ours.FastRNN(1).contestant(problem, Variant()), peers_onnx.OnnxRuntime(1).pool(problem)
    for _ in range(3):  # the states are fed back
        measure.compare(measure.run_once(own), measure.run_once(theirs), "float32")


@pytest.mark.parametrize("threads", [None, 2])
def test_threads_are_those_of_the_variant(monkeypatch, threads):
    asked = []
    for name in ("lstm_forward", "lstm_backward"):
        original = getattr(ours.fastrnn, name)

        def call(*arguments, original=original, **keywords):
            asked.append(keywords["threads"])
            return original(*arguments, **keywords)

        monkeypatch.setattr(ours.fastrnn, name, call)
    variants = (Variant(), Variant(threads=threads)) if threads else (Variant(),)
    made = contestants("LSTM T2 B2 H8", "training", ReferencePeer(), *variants)
    measure.run_once(made[len(variants) - 1])
    assert asked == [threads, threads]


def test_who_is_unable_is_left_out_with_the_reason():
    class UnablePeer(ReferencePeer):
        def inference(self, problem):
            raise measure.Unable("not this one")

    part = section("inference", Variant(), Variant(step=True))
    made, unable = peers.contestants(work.parse("RNN T2 H8", "inference"), part, ours.FastRNN(1), [UnablePeer()])
    assert [contestant.name for contestant in made] == ["fastrnn"]
    assert unable == {"fastrnn step": "Session.step is one step of one layer", "torch": "not this one"}


STACKS = ["LSTM T5 B3 I4 H8 L2 bidirectional", "GRU T5 B3 I4 H8 L3", "RNN T5 B1 I4 H8 bidirectional"]


@pytest.mark.parametrize("shape", STACKS)
def test_a_stack_agrees_with_its_layers_one_after_the_other(shape):
    problem = work.make_problem(work.parse(shape, "inference"))
    run = getattr(reference, f"{problem.work.cell}_forward")
    below = problem.x
    for layer, directions in enumerate(problem.layers):
        outputs = []
        for d, parameters in enumerate(directions):
            k, order = layer * problem.work.D + d, slice(None, None, -1 if d else 1)
            states = {"h0": problem.h0[k : k + 1]}
            states |= {"c0": problem.c0[k : k + 1]} if problem.work.cell == "lstm" else {}
            outputs.append(run(below[order], *parameters, **states)[0][order])
        below = np.concatenate(outputs, -1)
    own = measure.run_once(ours.FastRNN(1).contestant(problem, Variant()))
    assert measure.compare({"y": below}, own, "float32") > 0


@pytest.mark.parametrize("shape", STACKS)
def test_peers_agree_on_stacks(shape):
    """PyTorch forward and backward, and what reads the ONNX model forward."""
    pytest.importorskip("torch", reason="a peer of the benchmark: pip install '.[bench]'")
    pytest.importorskip("onnx", reason="a peer of the benchmark: pip install '.[bench]'")
    pytest.importorskip("onnxruntime", reason="a peer of the benchmark: pip install '.[bench]'")
    library = ours.FastRNN(1)
    for kind in ("inference", "training"):
        problem = work.make_problem(work.parse(shape, kind))
        made = [library.contestant(problem, Variant()), getattr(peers.Torch(1), kind)(problem)]
        if kind == "inference":
            made.append(peers_onnx.OnnxRuntime(1).inference(problem))
        found, refused = measure.check_agreement(made)
        assert refused == {}
        assert set(found) == {contestant.name for contestant in made}
    assert set(measure.run_once(made[1])) == {"y", *problem.work.gradients}


@pytest.mark.parametrize("shape", ["LSTM T1 B1 I5 H8", "LSTM T7 B1 H24"])
def test_ncnn_agrees(shape):
    pytest.importorskip("ncnn", reason="a peer of the benchmark: pip install '.[bench]'")
    problem = work.make_problem(work.parse(shape, "inference"))
    own, theirs = ours.FastRNN(1).contestant(problem, Variant()), peers_ncnn.Ncnn(1).inference(problem)
    for _ in range(2):  # from the same state again
        assert measure.compare(measure.run_once(own), measure.run_once(theirs), "float32") > 0
    for other in ("GRU T1 B1 H8", "LSTM T1 B2 H8", "LSTM T1 B1 H8 L2"):
        with pytest.raises(measure.Unable):
            peers_ncnn.Ncnn(1).inference(work.make_problem(work.parse(other, "inference")))


def test_an_epoch_agrees_with_pytorch():
    pytest.importorskip("torch", reason="a peer of the benchmark: pip install '.[bench]'")
    problem = work.make_problem(work.parse("LSTM T3 B128 I5 H16", "fit"))
    made = [fit.FitFastRNN(1).contestant(problem, Variant()), fit.FitTorch().fit(problem)]
    found, refused = measure.check_agreement(made)
    assert refused == {}
    assert 0 < found["torch"] < measure.TOLERANCE["fit"]
    made[0].forward()  # one epoch ahead
    assert measure.check_agreement(made)[1].keys() == {"torch"}
