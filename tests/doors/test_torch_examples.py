"""The examples with PyTorch, each run very small."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install '.[torch]'")

from tests.support.tree import ROOT


def run(name: str, *arguments: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROOT / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    threads = torch.get_num_threads()
    try:
        return module.main(arguments), module
    finally:
        torch.set_num_threads(threads)


def test_example_torch_tagger(capsys):
    figures, module = run("torch_tagger", "--epochs", "4", "--units", "24", "--rows", "400", "--steps", "12")
    assert "replaced rnn" in capsys.readouterr().out
    assert figures["accuracy"] > 0.8
    o, c = module.OPEN, module.CLOSE
    assert module.tags_of([c, o, 0, o, c]) == [2, 2, 0, 1, 1]


def test_example_recurrent_ppo():
    pytest.importorskip("gymnasium", reason="Gymnasium is not installed; pip install gymnasium")
    small = ["--updates", "3", "--steps", "40", "--environments", "3", "--units", "16", "--epochs", "2"]
    figures, module = run("recurrent_ppo", *small)
    assert 5 < figures["first"] < 60
    # The whole rollout, with episodes that end in it, gives what its single steps gave.
    torch.manual_seed(0)
    agent = module.Agent(8, 2)
    rollouts = module.Rollouts(3, 8, 0)
    for _ in range(2):
        batch = rollouts.collect(agent, 60)
        assert batch["begins"][1:].any()
        policy, value, _ = agent(batch["x"], batch["state"], batch["begins"])
        torch.testing.assert_close(value, batch["value"])
        torch.testing.assert_close(policy.log_prob(batch["action"]), batch["log_p"])
