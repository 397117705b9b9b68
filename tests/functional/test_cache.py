"""What a training cache tells of its gates and states: the cells' own equations hold between them, step by step."""

import numpy as np
import pytest

import fastrnn
from tests.support.variants import VARIANTS, Mode, Variant, make_problem

CELLS = [*VARIANTS, Variant("mgu", "mgu"), Variant("slstm", "slstm"), Variant("indrnn", "indrnn")]
SIZES = {"hidden": 19, "inputs": 3, "batch": 4, "steps": 6}
RAGGED = Mode("ragged", lengths=True, reverse=True, batch_first=True)


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12)


def shifted(states, first):
    """The state before each step."""
    return np.concatenate([first, states[:-1]])


@pytest.mark.parametrize("variant", CELLS, ids=lambda v: v.id)
def test_the_equations_hold_between_gates_and_states(variant):
    problem = make_problem(variant, **SIZES).astype("float64")
    y, *_, cache = problem.forward(fastrnn, training=True)
    kept, options = cache.activations(), dict(variant.options)
    assert {a.shape for a in kept.values()} == {(6, 4, 19)}
    h = shifted(y, problem.arrays["h0"])
    if variant.cell in ("rnn", "indrnn"):
        assert kept.keys() == {"h"}
        close(kept["h"], y)
    elif variant.cell == "lstm":
        i, f, g, o, c = (kept[name] for name in "ifgoc")
        close(c, f * shifted(c, problem.arrays["c0"]) + i * g)
        close(y, o * np.tanh(c))
        if options["coupled"]:
            close(f, 1 - i)
    elif variant.cell == "gru":
        r, z, n = (kept[name] for name in "rzn")
        close(y, (1 - z) * h + r * n if options["reset"] == "output" else (1 - z) * n + z * h)
        w, u, b_ih, b_hh = (np.split(problem.arrays[name], 3) for name in ("w_ih", "w_hh", "b_ih", "b_hh"))
        close(r, 1 / (1 + np.exp(-(problem.arrays["x"] @ w[0].T + h @ u[0].T + b_ih[0] + b_hh[0]))))
    elif variant.cell == "mgu":
        close(y, (1 - kept["f"]) * h + kept["f"] * kept["n"])
    else:
        i, f, z, o, c, n = (kept[name] for name in "ifzocn")
        close(c, f * shifted(c, problem.arrays["c0"]) + i * z)
        close(n, f * shifted(n, problem.arrays["n0"]) + i)
        close(y, o * c / n)


def test_the_output_gate_beside_a_projection():
    rng = np.random.default_rng(0)
    w_ih, w_hh, w_hr = rng.normal(size=(20, 3)), rng.normal(size=(20, 2)), rng.normal(size=(2, 5))
    y, _, _, cache = fastrnn.lstm_forward(rng.normal(size=(6, 4, 3)), w_ih, w_hh, w_hr=w_hr, training=True)
    kept = cache.activations()
    close(y, (kept["o"] * np.tanh(kept["c"])) @ w_hr.T)


def test_a_step_that_a_row_does_not_have_is_nan():
    problem = make_problem(VARIANTS[-1], mode=RAGGED, **SIZES)
    *_, cache = problem.forward(fastrnn, training=True)
    absent = np.arange(6) >= problem.run["lengths"][:, np.newaxis]
    assert absent.any()
    for name, values in cache.activations().items():
        assert values.shape == (4, 6, 19), name
        assert np.array_equal(np.isnan(values), np.broadcast_to(absent[:, :, np.newaxis], values.shape)), name


def test_checkpoints_keep_no_gates():
    problem = make_problem(VARIANTS[0], **SIZES)
    *_, cache = problem.forward(fastrnn, training=True, checkpoint_every=2)
    with pytest.raises(ValueError, match="cache: expected one without checkpoint_every"):
        cache.activations()
