"""fastrnn.plan: capacity against the formula, predictions that are monotonic, reasons, and the CPU's side.

No time is measured: the tests hold the model to what is known of it, and to the promises of the documentation.
"""

from __future__ import annotations

import itertools
import math

import pytest

import fastrnn
from fastrnn import CpuPlan, CudaError, CudaPlan, plan

DEVICES = ["A100", "H100", "H200", "B200", "RTX 4090"]
TIERS = ["block", "cluster", "grid", "stream", "graph"]
PROCESSORS = {"A100": 108, "H100": 132, "H200": 132, "B200": 148, "RTX 4090": 128}
SHARED = {"A100": 163, "H100": 227, "H200": 227, "B200": 227, "RTX 4090": 99}  # KiB a block may have


def gpu(cell: str, hidden: int, batch: int = 1, **options) -> CudaPlan:
    result = plan(cell, hidden, batch, 100, **{"dtype": "bfloat16", "device": "H100", **options})
    assert isinstance(result, CudaPlan)
    return result


def fits(tier: str, hidden: int, device: str, batch: int = 8) -> bool:
    try:
        return gpu("lstm", hidden, batch, device=device, tier=tier).tier == tier
    except ValueError:
        return False


def capacity(tier: str, device: str) -> int:
    """The largest H in steps of 16 that a tier takes."""
    return max(hidden for hidden in range(16, 3200, 16) if fits(tier, hidden, device))


def formula(device: str, blocks: int) -> float:
    """H of an LSTM in 16 bits if a block had room for 160 KiB of weights in registers, and in all of its shared memory
    but 27 KiB: 8 H^2 bytes.
    """
    return math.sqrt((160 + SHARED[device] - 27) * 1024 * blocks / 8)


# -- capacity --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tier", "device", "blocks"),
    [("block", "A100", 1), ("block", "H100", 1), ("cluster", "H100", 16), ("grid", "A100", 108), ("grid", "H100", 132)],
)
def test_capacity_is_near_the_formula_and_never_beyond(tier, device, blocks):
    """What is lost are tiles of 16 x 64 that units do not fill, and the rows of a step beside the weights."""
    largest = capacity(tier, device)
    assert 0.8 * formula(device, blocks) <= largest <= formula(device, blocks)


def test_what_a_tier_holds_is_within_the_device():
    for device, hidden, batch in itertools.product(DEVICES, (50, 130, 400, 500), (1, 17, 64)):
        p = gpu("lstm", hidden, batch, device=device)
        assert p.shared_memory <= SHARED[device] * 1024
        assert p.register_weights <= 176 * 1024
        assert p.shared_weights <= p.shared_memory
        assert p.register_weights + p.shared_weights >= 8 * p.units * hidden  # bytes of the units' rows
        if p.tier == "grid":
            assert p.blocks <= PROCESSORS[device]  # or a barrier would wait for ever
            assert p.waves == 1
        groups = math.ceil(batch / p.rows)
        assert p.blocks % groups == 0
        assert p.blocks // groups * p.units >= hidden
        if p.tier == "cluster":
            assert p.blocks // groups == p.cluster <= 16


# -- predictions -----------------------------------------------------------------------------------------------------


def test_the_lstm_of_the_published_figures_is_not_flattered():
    p = gpu("lstm", 768, 16)
    assert 1.2 < p.us_per_step <= 4  # 1.13 was said where the machine code counts more than twice as much
    assert p.flops_per_step == 2 * 4 * 768 * 768 * 16
    assert math.isclose(p.us_per_step, p.waves * sum(p.terms.values()), rel_tol=1e-9)
    assert "predicted, not measured" in str(p)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_more_work_is_never_predicted_faster(cell, device):
    """Within 15%: the next size may be cut into fuller tiles."""
    for dtype in ("bfloat16", "float32"):
        times = [gpu(cell, hidden, 16, device=device, dtype=dtype).us_per_step for hidden in (32, 64, 128, 256, 512)]
        assert all(b >= 0.85 * a for a, b in itertools.pairwise(times)), times
        assert times[-1] > times[0]
        times = [gpu(cell, 256, batch, device=device, dtype=dtype).us_per_step for batch in (1, 4, 16, 64, 256)]
        assert all(b >= 0.85 * a for a, b in itertools.pairwise(times)), times
        assert times[-1] > times[0]


def test_a_phase_more_is_a_barrier_more():
    """r * h must be known to all before the second product of a GRU that resets before."""
    after, before = gpu("gru", 512, 8, tier="grid"), gpu("gru", 512, 8, tier="grid", reset="before")
    assert before.terms["wait"] == pytest.approx(2 * after.terms["wait"])
    assert before.us_per_step > after.us_per_step


def test_backward_gathers_the_gradients_of_all_gates():
    forward, backward = gpu("lstm", 512, 8, tier="grid"), gpu("lstm", 512, 8, tier="grid", backward=True)
    assert backward.bytes_per_step > 2 * forward.bytes_per_step
    assert gpu("lstm", 512, 8, training=True).bytes_per_step > gpu("lstm", 512, 8).bytes_per_step


def test_wider_weights_take_more_room():
    wide, narrow = (gpu("lstm", 150, 8, dtype=dtype, tier="cluster") for dtype in ("float32", "bfloat16"))
    total = [p.blocks * (p.register_weights + p.shared_weights) for p in (wide, narrow)]
    assert total[0] > total[1]


# -- the choice, and its reasons -------------------------------------------------------------------------------------


def test_the_choice_is_the_fastest_and_the_others_have_reasons():
    for device, hidden, batch in itertools.product(DEVICES, (64, 200, 768), (1, 16)):
        p = gpu("lstm", hidden, batch, device=device)
        assert list(p.reasons) == TIERS
        assert p.reasons[p.tier] == ""
        for tier, reason in p.reasons.items():
            if tier == p.tier:
                continue
            assert reason
            if reason.startswith("predicted"):
                forced = gpu("lstm", hidden, batch, device=device, tier=tier)
                assert forced.tier == tier
                assert forced.us_per_step >= p.us_per_step
            else:
                with pytest.raises(ValueError, match="tier: expected one that can run this, got "):
                    gpu("lstm", hidden, batch, device=device, tier=tier)


def test_reasons_say_what_is_missing():
    assert (
        "expected a device with clusters (sm_90 or later), got sm_80"
        in gpu("lstm", 300, device="A100").reasons["cluster"]
    )
    assert "weights of 4608 KB in 1 block do not fit" in gpu("lstm", 768).reasons["block"]


def test_what_no_chip_holds_runs_step_by_step():
    p = gpu("lstm", 4000, 512)
    assert p.tier == "graph"
    assert "in 132 blocks do not fit" in p.reasons["grid"]
    assert (p.terms["launch"], p.shared_memory, p.registers) == (3.0, 0, 255)  # a product and a cell kernel
    assert gpu("lstm", 64, tier="graph").us_per_step > gpu("lstm", 64).us_per_step


@pytest.mark.parametrize(
    ("cell", "options", "reason"),
    [
        ("lstm", {"clip": 3.0}, "clip"),
        ("lstm", {"cell_clip": 3.0}, "cell_clip"),
        ("lstm", {"activation": "softsign"}, "activation"),
        ("lstm", {"recurrent_activation": "hard_sigmoid"}, "recurrent_activation"),
        ("lstm", {"output_activation": "relu"}, "output_activation"),
        ("lstm", {"peephole": "full"}, "full peepholes"),
        ("lstm", {"forget_bias": 1.0}, "forget_bias"),
        ("lstm", {"zoneout_h": 0.1}, "zoneout_h"),
        ("lstm", {"zoneout_c": 0.1}, "zoneout_c"),
        ("gru", {"activation": "relu"}, "activation"),
        ("rnn", {"activation": "relu"}, "activation"),
    ],
)
def test_options_that_the_fast_kernels_lack_are_named(cell, options, reason):
    p = gpu(cell, 64, 4, **options)
    assert p.tier == "graph"
    for tier in ("block", "cluster", "grid"):
        assert p.reasons[tier] == f"of the kernels that keep weights on the chip none has {reason}"


def test_every_cell_has_a_tier():
    for cell in ("indrnn", "mgu", "slstm"):
        p = gpu(cell, 64)
        assert p.tier == "graph"
        assert p.reasons["block"] == "there is no such kernel"


@pytest.mark.parametrize(
    ("error", "message", "arguments"),
    [
        (ValueError, "device: expected 'cpu', 'cuda', 'cuda:N' or one of 'A100', .*, got 'H101'", {"device": "H101"}),
        (ValueError, "dtype: expected one of 'float32', .* on a GPU, got 'int8'", {"device": "H100", "dtype": "int8"}),
        (ValueError, "tier: expected one of 'block', .*, got 'warp'", {"device": "H100", "tier": "warp"}),
        (ValueError, "tier: expected nothing on the CPU, got 'block'", {"tier": "block"}),
        (ValueError, "backward: expected nothing on the CPU, got True", {"backward": True}),
        (ValueError, "threads: expected nothing on a GPU, got 2", {"device": "H100", "threads": 2}),
        (ValueError, "hidden: expected", {"hidden": 0}),
        (ValueError, "batch: expected", {"batch": -1}),
        (ValueError, "cell: expected one of 'rnn', .*, got 'cnn'", {"cell": "cnn"}),
        (ValueError, "peephole: expected one of 'none', .*, got 'half'", {"peephole": "half"}),
        (ValueError, "dtype: expected 'float32' or 'float64' for training", {"dtype": "int8", "training": True}),
        (TypeError, "device: expected a str, got int", {"device": 0}),
        (TypeError, "plan: unknown keyword 'hiden'", {"hiden": 3}),
        (TypeError, "hidden: expected an int, got float", {"hidden": 3.5}),
    ],
)
def test_wrong_arguments_are_refused(error, message, arguments):
    with pytest.raises(error, match=message):
        plan(**{"cell": "lstm", "hidden": 64, **arguments})


@pytest.mark.skipif(bool(fastrnn._core.cuda_status()["devices"]), reason="this machine has a GPU")
def test_a_device_that_is_not_there_is_named():
    with pytest.raises(CudaError, match="device: expected a CUDA device, got none: "):
        plan("lstm", 64, device="cuda")


@pytest.mark.skipif(not fastrnn._core.cuda_kernels(), reason="this build has no CUDA kernels")
def test_the_planner_knows_the_kernels_of_the_build():
    cells = {"rnn": ("rnn", {}), "lstm": ("lstm", {})}
    cells |= {f"gru_{reset}": ("gru", {"reset": reset}) for reset in ("after", "before", "output")}
    cells |= {name: (name, {}) for name in ("indrnn", "mgu", "slstm")}
    cells["lstm_full"] = "lstm", {"peephole": "full"}
    known = set()
    for (name, (cell, options)), dtype, back in itertools.product(
        cells.items(), ("float32", "tf32", "bfloat16", "float16"), (False, True)
    ):
        try:
            reasons = gpu(cell, 48, 2, dtype=dtype, backward=back, **options).reasons
        except CudaError:
            continue
        way = "backward" if back else "forward"
        missing = ("there is no such kernel", "of the kernels that keep")
        known |= {f"{way} {name} {dtype} {tier}" for tier, why in reasons.items() if not why.startswith(missing)}
    asked_for_by_arrays = {name for name in fastrnn._core.cuda_kernels() if "lstm_staged" in name}
    assert known == set(fastrnn._core.cuda_kernels()) - asked_for_by_arrays


# -- the CPU ---------------------------------------------------------------------------------------------------------


def cpu(cell: str, hidden: int, batch: int = 1, steps: int = 100, **options) -> CpuPlan:
    result = plan(cell, hidden, batch, steps, **options)
    assert isinstance(result, CpuPlan)
    return result


def test_the_kernel_is_the_one_in_use(isa):
    assert cpu("lstm", 64).kernel == f"{isa} float32, inference"
    assert cpu("gru", 64, dtype="int8").kernel == f"{isa} int8, inference"
    assert cpu("lstm", 64, dtype="float64", training=True).kernel == f"{isa} float64, training"
    assert cpu("lstm", 64, activation="relu").kernel == f"{isa} float32, inference, general form"


@pytest.mark.parametrize(
    ("split", "arguments"),
    [
        ("one thread", {"hidden": 256, "batch": 32, "threads": 1}),
        ("one thread", {"hidden": 16, "batch": 2, "steps": 3, "threads": 2}),
        ("units", {"hidden": 512, "threads": 2}),
        ("one thread", {"cell": "gru", "reset": "before", "hidden": 512, "threads": 2}),
        ("rows, copied", {"hidden": 128, "batch": 16, "steps": 20, "threads": 2}),
        ("rows in place", {"hidden": 256, "batch": 64, "threads": 2}),
        ("rows in place", {"hidden": 128, "batch": 16, "steps": 20, "threads": 2, "training": True}),
    ],
)
def test_the_split_between_threads_has_a_reason(split, arguments):
    p = cpu(**{"cell": "lstm", **arguments})
    assert p.split == split
    assert p.reason
    assert p.threads == (1 if split == "one thread" else 2)
    assert split in str(p)


def test_several_rows_take_whole_steps_where_the_cell_allows_it():
    assert cpu("lstm", 16, 4).chunk == cpu("rnn", 16, 64).chunk == 1
    assert cpu("lstm", 16, 3).chunk == 100
    assert cpu("gru", 16, 4).chunk == 100  # W_n x + b_in stays apart from R_n h + b_hn


def test_weights_and_work_are_those_of_the_equations():
    p = cpu("lstm", 64, 3, inputs=10)
    assert p.flops_per_step == 2 * 3 * 64 * 4 * (64 + 10)
    assert p.weight_bytes == 4 * 64 * 64 * 4
    assert cpu("lstm", 64, dtype="bfloat16").weight_bytes == p.weight_bytes // 2
    assert cpu("lstm", 64, peephole="full").weight_bytes == 4 * 64 * 64 * (4 + 3)
