"""Every test of a recurrent node that the package onnx has, run through onnx.backend.test."""

from __future__ import annotations

import unittest
import warnings
from typing import Any

import pytest

onnx = pytest.importorskip("onnx", reason="a peer is missing: pip install '.[conformance]'")

from onnx.backend.base import Backend, BackendRep
from onnx.backend.test import BackendTest, runner

from fastrnn.interop import onnx_node

NAMES = "^test_(simple_rnn|rnn|gru|lstm)_.*_cpu$"


class Model(BackendRep):
    """A model of one node."""

    def __init__(self, model: Any) -> None:
        (self.node,) = model.graph.node
        self.inputs = [value.name for value in model.graph.input]
        self.outputs = [value.name for value in model.graph.output]

    def run(self, inputs: Any, **_: Any) -> Any:
        values = dict(zip(self.inputs, inputs, strict=True))
        x, _, r = (values[name].shape for name in self.node.input[:3])
        FastRNN.lengths = {"terms": x[2] + r[2], "steps": max(x[:2])}  # the layout is not worth a look
        results = dict(zip(self.node.output, onnx_node(self.node, values), strict=True))
        return [results[name] for name in self.outputs]


class FastRNN(Backend):
    """What onnx.backend.test runs its models on."""

    lengths: dict[str, int]  # of the latest run

    @classmethod
    def prepare(cls, model: Any, device: str = "CPU", **_: Any) -> Any:
        onnx.checker.check_model(model)
        return Model(model)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return device == "CPU"


def test_every_recurrent_node_test(conformance, monkeypatch):
    """With the package's own tolerance first, and then with ours."""
    loaded: list[Any] = []
    load = runner.load_model_tests

    def keep(**arguments: Any) -> Any:
        cases = load(**arguments)
        loaded.extend(cases)
        return cases

    monkeypatch.setattr(runner, "load_model_tests", keep)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tests of other operators overflow on purpose while they are made
        tests = BackendTest(FastRNN, __name__).include(NAMES)
    theirs, name, compared = tests.assert_similar_outputs, "", []

    def ours(ref_outputs: Any, outputs: Any, **more: Any) -> None:
        theirs(ref_outputs, outputs, **more)
        actual, expected = (
            {f"output {k}": array for k, array in enumerate(arrays)} for arrays in (outputs, ref_outputs)
        )
        conformance.check("ONNX node tests", name, actual, expected, "float32", **FastRNN.lengths)
        compared.append(name)

    monkeypatch.setattr(tests, "assert_similar_outputs", ours)
    failures = []
    for test in tests.test_suite:
        name = test.id().rpartition(".")[2]
        result = unittest.TestResult()
        test.run(result)
        failures += [trace for _, trace in (*result.failures, *result.errors)]
    assert not failures, "\n".join(failures)
    # All tests with such a node have been run, whatever their names.
    recurrent = {
        f"{case.name}_cpu"
        for case in loaded
        if case.model is not None and {node.op_type for node in case.model.graph.node} & {"RNN", "GRU", "LSTM"}
    }
    assert set(compared) == recurrent
    assert len(recurrent) >= 12
