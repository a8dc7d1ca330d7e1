"""Coded layers give what the plain ones give, whichever workers answer."""

import copy
import pickle
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import nn

from coded import CodedConv2d, CodedLinear, NotEnoughRespondersError, coded_layer
from coded.layers.blocks import mix

EPS = {torch.float32: 1e-5, torch.float64: 1e-13}
EVERY_SET = list(combinations(range(5), 3))


class Here(Executor):
    """A worker that answers at once, in this thread."""

    def __init__(self):
        self.tasks = []

    def submit(self, fn, /, *args):
        self.tasks.append(args)
        future = Future()
        try:
            future.set_result(fn(*args))
        except RuntimeError as error:
            future.set_exception(error)
        return future


class Dead(Executor):
    """A worker that is lost whenever it is asked."""

    def submit(self, *_):
        raise RuntimeError("dead")


class Frozen(Executor):
    """A worker that never answers."""

    def submit(self, *_):
        return Future()


def workers(alive, count=5, other=Dead):
    return [Here() if n in alive else other() for n in range(count)]


@torch.no_grad()
def exact_outputs(plain, inputs):
    return nn.functional.linear(inputs.double(), plain.weight.double(), plain.bias.double())


def relative(outputs, expected):
    return float((outputs - expected).detach().norm() / expected.detach().norm())


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(20240601)


@pytest.mark.parametrize("dtype", EPS, ids=str)
@pytest.mark.parametrize("alive", EVERY_SET, ids=str)
def test_any_k_answers_give_the_linear_layer(alive, dtype):
    plain, inputs = nn.Linear(40, 36, dtype=dtype), torch.randn(7, 40, dtype=dtype)
    layer = CodedLinear(plain, 3, 5, workers(alive), recompute_lost=False)
    outputs = layer(inputs)
    assert outputs.dtype is dtype
    assert relative(outputs, plain(inputs)) < EPS[dtype]
    assert layer.last.responders.tolist() == list(alive)
    assert layer.last.recomputed == ()
    assert sorted(layer.last.failures) == sorted({*range(5)} - {*alive})


@pytest.mark.parametrize("alive", EVERY_SET, ids=str)
def test_blocks_that_are_not_mixed_come_back_bit_for_bit(alive):
    plain, inputs = nn.Linear(64, 30), torch.randn(9, 64)
    outputs = CodedLinear(plain, 3, 5, workers(alive))(inputs)
    for k in {*alive} & {0, 1, 2}:
        rows = slice(10 * k, 10 * k + 10)
        block = nn.functional.linear(inputs, plain.weight[rows].clone())
        assert torch.equal(outputs[:, rows], block + plain.bias[rows])


@pytest.mark.parametrize("alive", EVERY_SET, ids=str)
def test_bfloat16_errors_stay_below_the_stated_bound(alive):
    dtype = torch.bfloat16
    plain, inputs = nn.Linear(512, 300, dtype=dtype), torch.randn(64, 512, dtype=dtype)
    layer = CodedLinear(plain, 3, 5, workers(alive), recompute_lost=False)
    outputs = layer(inputs)
    assert outputs.dtype is dtype
    bound = layer.code.scheme.amplification(alive) * torch.finfo(dtype).eps
    exact = exact_outputs(plain, inputs)
    assert relative(outputs.double(), exact) < bound / 2
    assert float((outputs.double() - exact).abs().max() / exact.abs().max()) < bound


def test_bfloat16_is_rounded_once():
    weights = np.array([3.5, -2.75, 5.0, -4.75])
    tensors = [torch.randn(1000).bfloat16() for _ in weights]
    exact = sum(weight * one.double() for weight, one in zip(weights, tensors, strict=True))
    most = torch.finfo(torch.bfloat16).eps / 2 * exact.abs()
    in_float = 30.0 * torch.finfo(torch.float32).eps * 16.0
    assert ((mix(weights, tensors).double() - exact).abs() <= most + in_float).all()


def test_answers_that_would_amplify_too_much_are_helped_by_blocks_computed_here():
    dtype = torch.bfloat16
    plain, inputs = nn.Linear(64, 80, dtype=dtype), torch.randn(5, 64, dtype=dtype)
    alive = [0, 1, 4, 5, 6, 7, 8, 9]
    layer = CodedLinear(plain, 8, 10, workers(alive, 10))
    assert layer.code.scheme.amplification(alive) > 32.0
    outputs = layer(inputs)
    assert layer.last.recomputed == (2,)
    assert relative(outputs.double(), exact_outputs(plain, inputs)) < 0.02
    strict = CodedLinear(plain, 8, 10, workers(alive, 10), recompute_lost=False)
    with pytest.raises(NotEnoughRespondersError, match="8 of 10 workers answered"):
        strict(inputs)


@pytest.mark.parametrize("alive", [(0, 1, 2), (1, 3, 4), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("rows", [3, 4, 5, 7, 31])
def test_rows_that_do_not_divide_are_padded(alive, rows):
    plain, inputs = nn.Linear(6, rows, bias=rows % 2 == 0), torch.randn(4, 6)
    outputs = CodedLinear(plain, 3, 5, workers(alive))(inputs)
    assert outputs.shape == (4, rows)
    assert outputs.is_contiguous()
    assert torch.allclose(outputs, plain(inputs), atol=1e-5)


@pytest.mark.parametrize("shape", [(6,), (1, 6), (2, 3, 6), (2, 1, 3, 6), (0, 6)], ids=str)
def test_batches_have_any_axes(shape):
    plain, inputs = nn.Linear(6, 8), torch.randn(shape)
    outputs = CodedLinear(plain, 3, 5, workers((0, 3, 4)))(inputs)
    assert outputs.shape == (*shape[:-1], 8)
    assert torch.allclose(outputs, plain(inputs), atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"stride": 2, "padding": 1},
        {"stride": (1, 3), "padding": (2, 0), "dilation": (2, 1), "bias": False},
        {"padding": "same", "dilation": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("alive", [(0, 1, 2), (1, 2, 4), (0, 3, 4)], ids=str)
def test_convolutions_are_the_plain_ones(alive, settings):
    plain = nn.Conv2d(4, 11, 3, **settings)
    layer = CodedConv2d(plain, 3, 5, workers(alive), recompute_lost=False)
    for images in (torch.randn(2, 4, 13, 12), torch.randn(4, 9, 9)):
        outputs, expected = layer(images), plain(images)
        assert outputs.shape == expected.shape
        assert relative(outputs, expected) < 1e-5


@pytest.mark.parametrize("alive", [(), (4,), (0, 3), (3, 4)], ids=str)
@pytest.mark.parametrize("other", [Dead, Frozen], ids=["dead", "frozen"])
def test_as_many_blocks_as_answers_lack_are_computed_here(alive, other):
    plain, inputs = nn.Linear(20, 12), torch.randn(3, 20)
    layer = CodedLinear(plain, 3, 5, workers(alive, other=other), timeout=0.2)
    assert relative(layer(inputs), plain(inputs)) < 1e-5
    assert layer.last.responders.tolist() == list(alive)
    lost = [k for k in range(3) if k not in alive]
    assert layer.last.recomputed == tuple(lost[: 3 - len(alive)])
    kind = RuntimeError if other is Dead else TimeoutError
    assert {type(error) for error in layer.last.failures.values()} == {kind}


class Last(ThreadPoolExecutor):
    """A worker that answers a while after the last one was asked."""

    def __init__(self):
        super().__init__(1)
        self.asked = threading.Event()

    def submit(self, fn, /, *args):
        return super().submit(self._later, fn, *args)

    def _later(self, fn, *args):
        assert self.asked.wait(60.0)
        time.sleep(0.2)  # longer than it takes to compute a block here
        return fn(*args)


def test_those_who_still_compute_are_waited_for():
    """Also once it is known that K will not answer: each saves a block here."""
    plain, inputs = nn.Linear(20, 12), torch.randn(3, 20)
    last = Last()

    class Telling(Dead):
        def submit(self, *args):
            last.asked.set()
            super().submit(*args)

    with last:
        executors = [Dead(), Here(), last, Dead(), Telling()]
        layer = CodedLinear(plain, 3, 5, executors, timeout=60.0)
        assert relative(layer(inputs), plain(inputs)) < 1e-5
    assert layer.last.responders.tolist() == [1, 2]
    assert layer.last.recomputed == (0,)


def test_a_layer_that_recomputes_nothing_says_who_failed():
    layer = CodedLinear(nn.Linear(20, 12), 3, 5, workers((0, 3)), recompute_lost=False)
    with pytest.raises(NotEnoughRespondersError, match="2 of 5 workers answered") as caught:
        layer(torch.randn(3, 20))
    assert sorted(caught.value.failures) == [1, 2, 4]


class Poisoned(Here):
    """A worker whose answers are as they should not be."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def submit(self, fn, /, *args):
        future = Future()
        future.set_result(self.change(fn(*args)))
        return future


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: answer * float("nan"),
        lambda answer: answer * float("inf"),
        lambda answer: answer + 1e32,
        lambda answer: answer.double(),
        lambda answer: answer[:1],
        lambda answer: answer.numpy(),
        lambda _: None,
    ],
    ids=["nan", "inf", "huge", "dtype", "shape", "kind", "nothing"],
)
def test_answers_that_are_none_are_failures_of_their_workers(change):
    plain, inputs = nn.Linear(20, 12), torch.randn(3, 20)
    executors = workers(range(5))
    executors[1] = Poisoned(change)
    layer = CodedLinear(plain, 3, 5, executors)
    assert relative(layer(inputs), plain(inputs)) < 1e-5
    assert list(layer.last.failures) == [1]
    assert 1 not in layer.last.responders


def test_one_block_is_copies():
    plain, inputs = nn.Linear(20, 12), torch.randn(3, 20)
    layer = CodedLinear(plain, 1, 3, workers((2,), 3), recompute_lost=False)
    assert torch.allclose(layer(inputs), plain(inputs), atol=1e-6)


def test_workers_get_a_small_message():
    """What a worker gets after the first pass is the inputs, and those of a slice alone."""
    plain, whole = nn.Linear(512, 512), torch.randn(4096, 512)
    executors = workers(range(5))
    CodedLinear(plain, 3, 5, executors)(whole[:2])
    ((sent,),) = executors[0].tasks
    assert sent.untyped_storage().nbytes() == 2 * 512 * 4


def test_it_is_called_from_several_threads():
    plain = nn.Linear(30, 12)
    with ThreadPoolExecutor(4) as pool, ThreadPoolExecutor(6) as callers:
        layer = CodedLinear(plain, 3, 5, pool, recompute_lost=False)
        batches = [torch.randn(n % 5 + 1, 30) for n in range(40)]
        for inputs, outputs in zip(batches, callers.map(layer, batches), strict=True):
            assert relative(outputs, plain(inputs)) < 1e-5


def test_a_gradient_that_it_cannot_give_is_refused():
    plain, inputs = nn.Linear(6, 4), torch.randn(2, 6, requires_grad=True)
    layer = CodedLinear(plain, 2, 5, workers(range(5)))
    with pytest.raises(RuntimeError, match=r"torch\.no_grad"):
        layer(inputs)
    with torch.no_grad():
        assert not layer(inputs).requires_grad
    with torch.inference_mode():
        assert torch.allclose(layer(inputs), plain(inputs), atol=1e-5)
    assert not layer(inputs.detach()).requires_grad
    assert not list(layer.parameters())


def test_it_follows_no_later_change_of_the_plain_layer():
    plain, inputs = nn.Linear(6, 4), torch.randn(2, 6)
    layer = CodedLinear(plain, 2, 3, workers(range(3), 3))
    expected = plain(inputs).detach().clone()
    with torch.no_grad():
        plain.weight += 1.0
        plain.bias += 1.0
    assert torch.allclose(layer(inputs), expected, atol=1e-5)


def test_its_state_dict_is_that_of_the_plain_layer():
    plain = nn.Sequential(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 2, bias=False))
    model = coded_layer(plain, 2, 3, workers(range(3), 3), select=lambda *_: True)
    state, expected = model.state_dict(), plain.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    with pytest.raises(RuntimeError, match="load it into the plain layer"):
        model.load_state_dict(expected)


def test_it_cannot_be_pickled_and_says_why():
    layer = CodedLinear(nn.Linear(6, 4), 2, 3, workers(range(3), 3))
    with pytest.raises(TypeError, match="executors belong to this process"):
        pickle.dumps(nn.Sequential(layer))


def test_a_deep_copy_shares_workers_and_weight():
    plain, inputs = nn.Linear(6, 4), torch.randn(2, 6)
    with ThreadPoolExecutor(2) as pool:
        layer = CodedLinear(plain, 2, 3, pool)
        seen = []
        layer.register_forward_hook(lambda *_: seen.append(1))
        twin = copy.deepcopy(nn.Sequential(layer))[0]
        assert twin is not layer
        assert twin.code is layer.code
        assert torch.allclose(twin(inputs), plain(inputs), atol=1e-5)
        assert seen == [1]
        twin.register_forward_hook(lambda *_: seen.append(2))
        layer(inputs)
        assert seen == [1, 1]
        twin.eval()
        assert layer.training
        assert twin.last is not layer.last


def test_it_stays_where_and_what_it_is():
    layer = nn.Sequential(CodedLinear(nn.Linear(6, 4), 2, 3, workers(range(3), 3)))
    assert layer.to("cpu").float() is layer
    with pytest.raises(TypeError, match="convert the plain layer"):
        layer.double()
    with pytest.raises(TypeError, match="convert the plain layer"):
        layer.to("meta")


def test_it_prints_as_a_layer():
    pool = workers(range(3), 3)
    assert repr(CodedLinear(nn.Linear(6, 4), 2, 3, pool)) == (
        "CodedLinear(in_features=6, out_features=4, bias=True, n_blocks=2, n_workers=3)"
    )
    assert repr(CodedConv2d(nn.Conv2d(1, 4, 5, stride=2), 2, 3, pool)) == (
        "CodedConv2d(1, 4, kernel_size=(5, 5), stride=(2, 2), n_blocks=2, n_workers=3)"
    )


def test_autocast_does_not_reach_it():
    """Blocks that are computed here are as those of the workers."""
    plain, inputs = nn.Linear(20, 12), torch.randn(3, 20)
    layer = CodedLinear(plain, 3, 5, workers((0,), other=Dead))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = layer(inputs)
    assert layer.last.recomputed == (1, 2)
    assert outputs.dtype is torch.float32
    assert relative(outputs, plain(inputs)) < 1e-6


def test_a_slow_block_is_asked_of_another_worker():
    plain, inputs = nn.Linear(20, 12), torch.randn(3, 20)
    executors = [Frozen(), Here(), Here()]
    layer = CodedLinear(plain, 3, 3, executors, timeout=60.0, hedge_after=0.05)
    assert relative(layer(inputs), plain(inputs)) < 1e-6
    assert layer.last.responders.tolist() == [0, 1, 2]
    assert layer.last.recomputed == ()


def test_torch_compile_leaves_it_alone():
    plain, inputs = nn.Linear(6, 4), torch.randn(2, 6)
    layer = CodedLinear(plain, 2, 3, workers(range(3), 3))
    program = torch.compile(nn.Sequential(layer, nn.ReLU()), backend="eager")
    assert torch.allclose(program(inputs), plain(inputs).relu(), atol=1e-5)


def hooked(layer):
    layer.register_forward_pre_hook(lambda *_: None)
    return layer


class Subclass(nn.Linear):
    pass


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layer": nn.Conv2d(1, 4, 3)}, TypeError, "layer must be a plain torch.nn.Linear"),
        ({"layer": Subclass(6, 4)}, TypeError, "got Subclass"),
        ({"layer": nn.Linear(6, 4, dtype=torch.float16)}, TypeError, "float32, float64 or bfl"),
        ({"layer": nn.Linear(6, 4, device="meta")}, TypeError, "on meta"),
        ({"layer": hooked(nn.Linear(6, 4))}, ValueError, "no hooks"),
        ({"n_blocks": 0}, ValueError, r"n_blocks must lie in \[1, 4\], got 0"),
        ({"n_blocks": 5}, ValueError, r"n_blocks must lie in \[1, 4\], got 5"),
        ({"n_blocks": 2.0}, TypeError, "n_blocks must be an integer"),
        ({"n_workers": 1}, ValueError, "n_workers must be >= 2, got 1"),
        ({"executor": "threads"}, TypeError, "executor must be"),
        ({"executor": []}, ValueError, "at least one Executor"),
        ({"timeout": 0.0}, ValueError, "timeout must be a positive"),
        ({"hedge_after": "p50"}, ValueError, "hedge_after must be"),
        ({"recompute_lost": 1}, TypeError, "recompute_lost must be True or False, got 1"),
        ({"threads": 0}, ValueError, "threads must be >= 1"),
    ],
    ids=str,
)
def test_arguments_that_cannot_be_are_refused(arguments, error, message):
    given = {"layer": nn.Linear(6, 4), "n_blocks": 2, "n_workers": 3, "executor": Here()}
    with pytest.raises(error, match=message):
        CodedLinear(**{**given, **arguments})


def test_a_weight_or_bias_that_is_not_finite_is_refused():
    plain = nn.Linear(6, 4)
    with torch.no_grad():
        plain.bias[1] = float("inf")
    with pytest.raises(ValueError, match=r"bias must be finite, but bias\[1\] = inf"):
        CodedLinear(plain, 2, 3, Here())
    with torch.no_grad():
        plain.weight[2, 3] = float("nan")
    with pytest.raises(ValueError, match=r"weight must be finite, but weight\[2, 3\] = nan"):
        CodedLinear(plain, 2, 3, Here())


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"groups": 2}, "groups=2"), ({"padding_mode": "reflect"}, "padding_mode='reflect'")],
)
def test_convolutions_that_are_not_coded_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        CodedConv2d(nn.Conv2d(2, 4, 3, padding=1, **settings), 2, 3, Here())


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (np.ones((2, 6), np.float32), TypeError, "inputs must be a Tensor, got ndarray"),
        (torch.ones(2, 6, dtype=torch.float64), TypeError, "got torch.float64 on cpu"),
        (torch.ones(2, 6, device="meta"), TypeError, "on meta"),
        (torch.ones(2, 5), ValueError, r"\(2, 5\), but the layer takes \(\.\.\., 6\)"),
        (torch.ones(()), ValueError, r"inputs has shape \(\)"),
        (torch.tensor([[0, 1, 2, float("nan"), 4, 5.0]]), ValueError, r"inputs\[0, 3\] = nan"),
        (torch.tensor([0, 1, float("-inf"), 3, 4, 5.0]), ValueError, r"inputs\[2\] = -inf"),
    ],
    ids=str,
)
def test_inputs_that_the_layer_is_not_for_are_refused(inputs, error, message):
    executor = Here()
    layer = CodedLinear(nn.Linear(6, 4), 2, 3, executor)
    with pytest.raises(error, match=message):
        layer(inputs)
    assert not executor.tasks


def test_images_need_their_channels():
    layer = CodedConv2d(nn.Conv2d(3, 4, 3), 2, 3, Here())
    for shape in ((2, 4, 9, 9), (9, 9), (1, 1, 3, 9, 9)):
        with pytest.raises(ValueError, match=r"\(N, 3, H, W\) or \(3, H, W\)"):
            layer(torch.ones(shape))


class Tied(nn.Module):
    """A layer that is used in two places, beside one that is small."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(1000, 1000)
        self.again = self.first
        self.norm = nn.BatchNorm1d(1000)
        self.drop = nn.Dropout()
        self.last = nn.Linear(1000, 3)

    def forward(self, inputs):
        return self.last(self.drop(self.again(self.norm(self.first(inputs)).relu())))


def test_a_copy_has_its_large_layers_coded():
    plain, inputs = Tied(), torch.randn(4, 1000)
    plain.norm.running_mean += 0.1
    model = coded_layer(plain, 3, 5, workers((0, 2, 4)))
    assert isinstance(model.first, CodedLinear)
    assert model.again is model.first
    assert type(model.last) is nn.Linear
    assert plain.training
    assert type(plain.first) is nn.Linear
    assert plain.last.weight.requires_grad
    outputs = model(inputs)  # in eval mode, without no_grad
    assert not outputs.requires_grad
    assert relative(outputs, plain.eval()(inputs)) < 1e-5


def test_one_layer_alone_is_coded_too():
    plain, images = nn.Conv2d(4, 6, 3), torch.randn(2, 4, 8, 8)
    layer = coded_layer(plain, 3, 5, workers((1, 2, 3)), select=lambda name, _: name == "")
    assert isinstance(layer, CodedConv2d)
    assert relative(layer(images), plain(images)) < 1e-5


@pytest.mark.parametrize(
    ("module", "settings", "error", "message"),
    [
        ("Linear", {}, TypeError, "module must be a torch.nn.Module"),
        (nn.Linear(6, 4), {"select": "0"}, TypeError, "select must be a function"),
        (nn.Linear(6, 4), {}, ValueError, "of 1,000,000 numbers or more, and has none"),
        (
            nn.Sequential(nn.ReLU()),
            {"select": lambda *_: True},
            ValueError,
            "be coded, and has none; ch",
        ),
        (nn.Linear(6, 4), {"select": lambda *_: True, "timeout": -1.0}, ValueError, "timeout"),
        (nn.Conv2d(1024, 1024, 1, groups=1, padding_mode="circular"), {}, ValueError, "and has n"),
    ],
)
def test_modules_that_cannot_be_coded_are_refused(module, settings, error, message):
    with pytest.raises(error, match=message):
        coded_layer(module, 2, 3, Here(), **settings)


TURNS = [(0, 1, 2), (2, 3, 4), (0, 3, 4)]


@pytest.mark.parametrize("alive", TURNS, ids=str)
@pytest.mark.parametrize("norm_first", [False, True], ids=["norm last", "norm first"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_transformer_block_calls_its_coded_layers(alive, norm_first, activation):
    plain = nn.TransformerEncoderLayer(
        32, 4, 64, batch_first=True, norm_first=norm_first, activation=activation
    ).eval()
    model = coded_layer(plain, 3, 5, workers(alive), select=lambda *_: True)
    assert isinstance(model.linear1, CodedLinear)
    assert isinstance(model.linear2, CodedLinear)
    inputs = torch.randn(2, 7, 32)
    hidden = torch.arange(7).repeat(2, 1) >= torch.tensor([[7], [5]])
    with torch.no_grad():  # the plain one takes its fast path
        for mask in (None, hidden):
            outputs, expected = (one(inputs, src_key_padding_mask=mask) for one in (model, plain))
            seen = slice(None) if mask is None else ~mask
            assert torch.allclose(outputs[seen], expected[seen], atol=1e-5)
    assert model.linear2.last.responders.tolist() == list(alive)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # of the plain one
def test_a_transformer_encoder_calls_its_coded_layers():
    block = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    plain = nn.TransformerEncoder(block, 2, enable_nested_tensor=True).eval()
    model = coded_layer(plain, 3, 5, workers((1, 3, 4)), select=lambda *_: True)
    inputs = torch.randn(2, 7, 32)
    hidden = torch.arange(7).repeat(2, 1) >= torch.tensor([[7], [5]])
    with torch.no_grad():
        outputs, expected = (one(inputs, src_key_padding_mask=hidden) for one in (model, plain))
    assert torch.allclose(outputs[~hidden], expected[~hidden], atol=1e-5)
    assert model.layers[1].linear1.last.responders.tolist() == [1, 3, 4]


def test_calls_that_end_early_let_late_answers_go():
    """A worker that answers after the timeout does no harm."""
    late, go = ThreadPoolExecutor(1), threading.Event()
    late.submit(go.wait, 60.0)
    plain, inputs = nn.Linear(20, 12), torch.randn(3, 20)
    executors = [Here(), Here(), late, Dead(), Dead()]
    layer = CodedLinear(plain, 3, 5, executors, timeout=0.1)
    assert relative(layer(inputs), plain(inputs)) < 1e-5
    assert layer.last.recomputed == (2,)
    go.set()
    late.shutdown()
