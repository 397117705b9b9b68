"""fastrnn.torch beside torch.nn: random settings, forms of input, options, errors."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed; pip install '.[torch]'")

import fastrnn
import fastrnn.torch
from tests.support.conformance.recorder import error_in_eps
from tests.support.conformance.torch_cases import DTYPES, MODULES, draw, make_module, make_problem, run_torch

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")
pack_padded_sequence = torch.nn.utils.rnn.pack_padded_sequence


@pytest.mark.parametrize("block", range(6))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("module", MODULES)
def test_300_random_settings(module, dtype, block):
    """Outputs, last states and every gradient; five settings each, of all forms of input."""
    for seed in range(1000 + 5 * block, 1005 + 5 * block):
        case = draw(module, dtype, seed)
        theirs, problem = make_module(case), make_problem(case)
        ours = copy.deepcopy(theirs)
        assert fastrnn.torch.accelerate(ours).replaced == ("",)
        expected, actual = run_torch(case, theirs, problem), run_torch(case, ours, problem)
        assert set(actual) == set(expected)
        tolerance = (case.terms + 16) * case.steps * case.layers
        for name, array in expected.items():
            assert actual[name].dtype == array.dtype, (str(case), name)
            assert actual[name].shape == array.shape, (str(case), name)
            assert error_in_eps(actual[name], array, dtype) <= tolerance, (str(case), name)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell"])
def test_constructor_and_parameters_are_those_of_torch(name):
    theirs, ours = getattr(torch.nn, name), getattr(fastrnn.torch, name)
    kinds = [{}, {"bias": False}]
    if "Cell" not in name:
        kinds += [{"num_layers": 2, "bidirectional": True, "dropout": 0.5, "batch_first": True}]
    if "RNN" in name:
        kinds += [{"nonlinearity": "relu"}]
    for options in [*kinds, {"dtype": torch.float64}]:
        torch.manual_seed(0)
        a = theirs(3, 5, **options)
        torch.manual_seed(0)
        b = ours(3, 5, **options)
        assert list(a.state_dict()) == list(b.state_dict())
        for key, value in a.state_dict().items():
            assert torch.equal(value, b.state_dict()[key]), key
        b.load_state_dict(a.state_dict())
        assert repr(b).startswith(repr(a)[:-1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["LSTMCell", "GRUCell", "RNNCell"])
@pytest.mark.parametrize("options", [{}, {"bias": False}])
def test_cells(name, dtype, options):
    torch.manual_seed(1)
    theirs = getattr(torch.nn, name)(3, 5, dtype=dtype, **options)
    ours = getattr(fastrnn.torch, name)(3, 5, dtype=dtype, **options)
    ours.load_state_dict(theirs.state_dict())
    for shape in ((4, 3), (3,)):
        for states in (False, True):
            found = []
            for module in (theirs, ours):
                torch.manual_seed(2)
                x = torch.randn(shape, dtype=dtype, requires_grad=True)
                hx = [torch.randn(*shape[:-1], 5, dtype=dtype, requires_grad=True) for _ in range(2)]
                given = (tuple(hx) if "LSTM" in name else hx[0]) if states else None
                out = module(x, given)
                out = out if isinstance(out, tuple) else (out,)
                leaves = [x, *module.parameters(), *(hx[: len(out)] if states else [])]
                grads = torch.autograd.grad(sum((o * (k + 1.5)).sin().sum() for k, o in enumerate(out)), leaves)
                found.append([*out, *grads])
            for a, b in zip(*found, strict=True):
                assert a.shape == b.shape
                torch.testing.assert_close(a, b, rtol=0, atol=200 * torch.finfo(dtype).eps)


def test_dropout_between_layers_is_of_the_generator_of_torch():
    module = fastrnn.torch.LSTM(3, 4, num_layers=2, dropout=0.5)
    x = torch.randn(5, 2, 3)
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        runs.append(module(x)[0].detach())
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    module.eval()
    plain = torch.nn.LSTM(3, 4, num_layers=2)
    plain.load_state_dict(module.state_dict())
    torch.testing.assert_close(module(x)[0], plain(x)[0])


def test_dropout_of_the_backward_pass_is_that_of_the_forward_pass():
    torch.manual_seed(0)
    module = fastrnn.torch.GRU(3, 4, num_layers=2, dropout=0.4, dtype=torch.float64, recurrent_dropout=0.3)
    x = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)

    def run(x: Any) -> Any:
        torch.manual_seed(7)
        return module(x)[0]

    assert torch.autograd.gradcheck(run, x)


@pytest.mark.parametrize("batch_first", [False, True])
def test_lengths_are_those_of_packed_sequences(batch_first):
    torch.manual_seed(0)
    module = fastrnn.torch.LSTM(3, 4, bidirectional=True, batch_first=batch_first)
    lengths = torch.tensor([2, 6, 5])
    x = torch.randn((3, 6, 3) if batch_first else (6, 3, 3))
    y, (h, c) = module(x, lengths=lengths)
    packed, (h2, c2) = module(pack_padded_sequence(x, lengths, batch_first, enforce_sorted=False))
    y2, _ = torch.nn.utils.rnn.pad_packed_sequence(packed, batch_first)
    for a, b in ((y, y2), (h, h2), (c, c2)):
        torch.testing.assert_close(a, b)
    assert torch.equal(module(x, lengths=[2, 6, 5])[0], y)


def test_reset_mask_is_a_loop_with_zero_states():
    torch.manual_seed(0)
    module = fastrnn.torch.LSTM(3, 4, dtype=torch.float64)
    x, reset = torch.randn(7, 2, 3, dtype=torch.float64), torch.rand(7, 2) < 0.4
    h = c = torch.zeros(1, 2, 4, dtype=torch.float64)
    steps = []
    for t in range(7):
        keep = (~reset[t]).double()[None, :, None]
        y, (h, c) = module(x[t : t + 1], (h * keep, c * keep))
        steps.append(y)
    y, (h_n, c_n) = module(x, reset_mask=reset)
    torch.testing.assert_close(y, torch.cat(steps))
    torch.testing.assert_close(h_n, h)
    torch.testing.assert_close(c_n, c)
    grads = [torch.autograd.grad(v.sin().sum(), [*module.parameters()]) for v in (y, torch.cat(steps))]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


def test_mask_and_masks_unbatched():
    torch.manual_seed(0)
    module = fastrnn.torch.GRU(3, 4)
    x, mask = torch.randn(5, 3), torch.tensor([True, False, True, True, False])
    y, h = module(x, mask=mask)
    kept, h2 = module(x[mask])
    torch.testing.assert_close(y[mask], kept)
    torch.testing.assert_close(h, h2)


OPTIONS = [
    ("LSTM", {"peephole": "diagonal"}),
    ("LSTM", {"peephole": "full", "peephole_output": "previous"}),
    ("LSTM", {"layer_norm": True, "norm_eps": 1e-3}),
    ("LSTM", {"coupled": True, "cell_clip": 0.5, "clip": 2.0}),
    ("GRU", {"reset": "before"}),
    ("GRU", {"reset": "output", "recurrent_activation": "hard_sigmoid"}),
    ("GRU", {"layer_norm": True}),
    ("RNN", {"layer_norm": True, "activation": ["leaky_relu", 0.1]}),
]


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=lambda value: str(value))
def test_options_are_those_of_the_functions(name, options):
    torch.manual_seed(0)
    module = getattr(fastrnn.torch, name)(3, 4, dtype=torch.float64, **options)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    arrays = {module_name: p.detach().numpy() for module_name, p in module.named_parameters()}
    names = dict(zip(arrays, module._fast.names, strict=True))
    further = {k: v for k, v in options.items() if k not in ("peephole", "layer_norm")}
    if "activation" in further:
        further["activation"] = tuple(further["activation"])
    cell = name.lower()
    function = getattr(fastrnn, f"{cell}_forward")
    expected = function(x.numpy(), **{names[n]: a for n, a in arrays.items()}, **further)
    y, _ = module(x)
    np.testing.assert_array_equal(y.detach().numpy(), expected.y)

    def run(*weights: Any) -> Any:
        return torch.func.functional_call(module, dict(zip(arrays, weights, strict=True)), x)[0]

    assert torch.autograd.gradcheck(run, [p.detach().requires_grad_() for p in module.parameters()])
    assert fastrnn.torch.restore(module).left == {"": "it has options that torch.nn lacks"}


def test_zoneout_draws_in_training_and_is_a_mean_in_evaluation():
    module = fastrnn.torch.LSTM(3, 4, zoneout_h=0.3, zoneout_c=0.2)
    x = torch.randn(5, 2, 3)
    torch.manual_seed(0)
    first = module(x)[0]
    assert not torch.equal(first, module(x)[0])
    module.eval()
    with torch.no_grad():
        assert torch.equal(module(x)[0], module(x)[0])
    with pytest.raises(ValueError, match=r"zoneout: expected training mode"):
        module(x)


def test_weight_dtype_is_for_inference():
    torch.manual_seed(0)
    exact = torch.nn.LSTM(16, 32)
    module = copy.deepcopy(exact)
    fastrnn.torch.accelerate(module, dtype="int8")
    x = torch.randn(9, 2, 16)
    torch.testing.assert_close(module(x)[0], exact(x)[0])
    with torch.no_grad():
        rounded = module(x)[0]
    assert not torch.allclose(rounded, exact(x)[0], atol=1e-6)
    assert torch.allclose(rounded, exact(x)[0], atol=0.05)


def test_autocast_computes_in_float32():
    torch.manual_seed(0)
    module = fastrnn.torch.LSTM(8, 8)
    linear = torch.nn.Linear(8, 8)
    x = torch.randn(5, 2, 8)
    with torch.autocast("cpu", torch.bfloat16):
        half = linear(x)
        assert half.dtype is torch.bfloat16
        y, (h, c) = module(half, (torch.zeros(1, 2, 8, dtype=torch.bfloat16), torch.zeros(1, 2, 8)))
    assert y.dtype is h.dtype is c.dtype is torch.float32
    assert torch.equal(y, module(half.float())[0])
    y.sum().backward()
    assert linear.weight.grad is not None


def test_results_and_threads():
    module = fastrnn.torch.GRU(3, 4)
    x = torch.randn(2, 6, 3).transpose(0, 1)  # read where it is, whatever its strides
    y, h = module(x)
    assert y.is_contiguous()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert torch.equal(module(x)[0], y)
    finally:
        torch.set_num_threads(before)
    y = y.detach().add_(1.0)  # PyTorch's own memory
    assert y.data_ptr() != h.data_ptr()


X = torch.zeros(4, 2, 3)
ERRORS = [
    (lambda m: m(torch.zeros(4, 2, 5)), ValueError, r"input: expected 3 features, got shape \(4, 2, 5\)"),
    (lambda m: m(torch.zeros(3)), ValueError, r"input: expected 2 or 3 axes, got shape \(3,\)"),
    (lambda m: m(X.double()), TypeError, r"input: expected torch.float32 .* got torch.float64"),
    (lambda m: m(X, torch.zeros(1, 3, 4)), ValueError, r"h0: expected shape \(1, 2, 4\), got \(1, 3, 4\)"),
    (lambda m: m(X, torch.zeros(1, 2, 4).half()), TypeError, r"h0: expected torch.float32"),
    (lambda m: m(X, lengths=[1, 9]), ValueError, r"lengths"),
    (lambda m: m(X, mask=torch.ones(4, 3, dtype=torch.bool)), ValueError, r"mask: expected shape \(4, 2\)"),
    (lambda m: m.bfloat16()(X), TypeError, r"weight_ih_l0: expected torch.float32 .* got torch.bfloat16; .*restore"),
    (lambda m: m(X.to_sparse()), TypeError, r"input: expected a dense tensor"),
]


@pytest.mark.parametrize(("run", "kind", "message"), ERRORS, ids=[message for _, _, message in ERRORS])
def test_errors_name_what_is_wrong(run, kind, message):
    with pytest.raises(kind, match=message):
        run(fastrnn.torch.GRU(3, 4))


BAD_ARGUMENTS = [
    (lambda: fastrnn.torch.GRU(3, 4, peephole="full"), ValueError, r"peephole: expected None, as a GRU has no c"),
    (lambda: fastrnn.torch.LSTM(3, 4, peephole="some"), ValueError, r"peephole: expected None, 'diagonal' or 'full'"),
    (lambda: fastrnn.torch.LSTM(3, 4, reset="before"), TypeError, r"LSTM: unknown keyword 'reset'"),
    (lambda: fastrnn.torch.GRU(3, 4, proj_size=2), ValueError, r"proj_size: expected nothing"),
    (lambda: fastrnn.torch.RNN(3, 4, nonlinearity="elu"), ValueError, r"nonlinearity: expected 'tanh' or 'relu'"),
    (lambda: fastrnn.torch.LSTM(3, 4, weight_dtype="int4"), ValueError, r"^weight_dtype: .* one of .* got 'int4'"),
    (lambda: fastrnn.torch.LSTM(3, 4, bidirectonal=True), TypeError, r"; did you mean 'bidirectional'\?$"),
    (lambda: fastrnn.torch.LSTM(3, 4, layernorm=True), TypeError, r"; did you mean 'layer_norm'\?$"),
    (lambda: fastrnn.torch.GRUCell(3, 4, biass=True), TypeError, r"; did you mean 'bias'\?$"),
    (lambda: fastrnn.torch.LSTM(3, 4)(X, X), TypeError, r"hx: expected the two states \(h0, c0\) .* got a Tensor"),
    (lambda: fastrnn.torch.LSTM(3, 4)(X, (X,)), TypeError, r"hx: expected the two states \(h0, c0\) .* got 1 of them"),
    (lambda: fastrnn.torch.LSTMCell(3, 4)(X[0], X[0]), TypeError, r"hx: expected the two states .* got a Tensor"),
    (lambda: fastrnn.torch.LSTM(3, 4, backend="cudnn"), ValueError, r"backend: expected None or 'fastrnn'"),
    (lambda: fastrnn.torch.accelerate([]), TypeError, r"module: expected a torch.nn.Module, got list"),
    (lambda: fastrnn.torch.accelerate(torch.nn.GRU(3, 4), "int4"), ValueError, r"^dtype: .* got 'int4'"),
    (lambda: fastrnn.torch.LSTMCell(3, 4)(torch.zeros(2, 5)), ValueError, r"input: expected shape \(B, 3\)"),
]


@pytest.mark.parametrize(("run", "kind", "message"), BAD_ARGUMENTS, ids=[message for _, _, message in BAD_ARGUMENTS])
def test_bad_arguments(run, kind, message):
    with pytest.raises(kind, match=message):
        run()


def test_every_array_of_the_functions_has_a_parameter_here():
    from fastrnn.functional._options import PARAMETERS
    from fastrnn.torch.plan import PARAMETERS as NAMES

    assert set(NAMES.values()) == PARAMETERS


@pytest.mark.parametrize("grad", [True, False], ids=["gradient", "no_grad"])
@pytest.mark.parametrize("make", [fastrnn.torch.LSTM, fastrnn.torch.LSTMCell], ids=["LSTM", "LSTMCell"])
def test_a_model_that_was_moved_away_says_so(make, grad):
    layer = make(3, 4)
    x = X if make is fastrnn.torch.LSTM else X[0]
    with torch.set_grad_enabled(grad):
        layer(x)  # the weights are packed, and looked at when the next call comes
        layer.to("meta")
        with pytest.raises(
            ValueError, match=r"input: expected a tensor on meta \(the device of the weights\), got cpu"
        ):
            layer(x)


def test_states_on_another_device():
    states = tuple(torch.zeros(1, X.shape[1], 4, device="meta") for _ in range(2))
    with pytest.raises(ValueError, match=r"h0: expected a tensor on cpu \(the device of the weights\), got meta"):
        fastrnn.torch.LSTM(3, 4)(X, states)
