"""Tensors through codes: gradients, devices, memory, transforms."""

import copy
import itertools
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from coded import (
    AnalogLagrangeScheme,
    AnswerMemory,
    ApproxIFERScheme,
    BerrutScheme,
    KernelScheme,
    LagrangeScheme,
    ReplicationScheme,
    SplineScheme,
    WithPrior,
)
from coded.maps.arrays import MatrixMap
from coded.maps.copies import FilledMap
from coded.maps.tensors import apply_to_tensor, dense_on
from coded.schemes import codes
from coded.schemes.registry import Setting

# Of torch's own: forward derivatives load decompositions that it scripts.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is dep:DeprecationWarning")

K, N, WIDTH = 3, 9, 2
REAL = {name: code for name, code in codes().items() if code.numbers == "real"}
FIXED = {
    "kernel": lambda: KernelScheme(K, N, n_stragglers=2, fit=None),
    "kernel-copies": lambda: KernelScheme(K, N, n_stragglers=2, fit=None, between=False),
    "kernel-labels": lambda: KernelScheme(K, N, n_stragglers=2, fit=None, objective="labels"),
}
MORE = {
    "spline-smooth": lambda: SplineScheme(K, N, lam_enc=1e-3, lam_dec=1e-3),
    "spline-few": lambda: SplineScheme(K, 2),
    "approxifer-honest": lambda: ApproxIFERScheme(K, N, n_liars=0),
    "lagrange-2": lambda: LagrangeScheme(K, N, degree=2),
}
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def make(name):
    if name in FIXED | MORE:
        return (FIXED | MORE)[name]()
    return REAL[name].make(Setting(K, N, 2, degree=1))


def bound(name):
    return make(name).bind(np.random.default_rng(5).normal(size=(K, WIDTH)))


def numbers(*shape, dtype=torch.float64, seed=0, device="cpu", requires_grad=False):
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.to(device, dtype).requires_grad_(requires_grad)


def lost_some(scheme):
    """Some workers that can be decoded from, an input's own among those lost."""
    workers = range(scheme.n_workers)
    for gone in ({0, 3}, {0}, set()):
        left = [n for n in workers if n not in gone]
        if scheme.can_decode(left):
            return left
    raise AssertionError(scheme)


def decoding(scheme):
    """Decoding of answers of any function: exact codes refuse to decode those by `decode`."""
    return getattr(scheme, "estimate", scheme.decode)


every_code = pytest.mark.parametrize("name", [*REAL, *MORE])


# ---- gradients


@every_code
@pytest.mark.parametrize("trailing", [(), (WIDTH,), (2, 1, 2)], ids=str)
def test_gradients_are_those_of_finite_differences(name, trailing):
    scheme = bound(name)
    who = lost_some(scheme)
    inputs = numbers(K, *trailing, requires_grad=True)
    answers = numbers(len(who), *trailing, seed=1, requires_grad=True)

    def through(inputs):
        return decoding(scheme)(torch.tanh(scheme.encode(inputs))[who], who)

    def decode(answers):
        return decoding(scheme)(answers, who)

    for fn, at in ((scheme.encode, inputs), (decode, answers), (through, inputs)):
        assert gradcheck(fn, (at,), check_forward_ad=True)
        assert gradgradcheck(fn, (at,))


@every_code
def test_the_gradient_is_the_matrix_transposed(name):
    scheme = bound(name)
    who = lost_some(scheme)
    inputs, answers = numbers(K, WIDTH, requires_grad=True), numbers(len(who), WIDTH, seed=1)
    answers.requires_grad_()
    scheme.encode(inputs).backward(numbers(scheme.n_workers, WIDTH, seed=2))
    decoding(scheme)(answers, who).backward(numbers(K, WIDTH, seed=3))
    for given, matrix, seed in (
        (inputs, scheme.encoding_matrix, 2),
        (answers, scheme.decoding_matrix(who), 3),
    ):
        cotangent = numbers(len(matrix), WIDTH, seed=seed)
        np.testing.assert_allclose(given.grad, matrix.T @ cotangent.numpy(), atol=1e-12)


@every_code
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_values_have_the_bits_of_arrays_and_gradients_the_dtype(name, dtype):
    scheme = bound(name)
    who = lost_some(scheme)
    inputs = numbers(K, WIDTH, dtype=dtype, requires_grad=True)
    coded = scheme.encode(inputs)
    outputs = scheme.decode(coded[who], who)
    array = inputs.detach().numpy()
    np.testing.assert_array_equal(coded.detach(), scheme.encode(array))
    np.testing.assert_array_equal(outputs.detach(), scheme.decode(scheme.encode(array)[who], who))
    outputs.sum().backward()
    assert coded.dtype == outputs.dtype == inputs.grad.dtype == dtype
    expected = scheme.encoding_matrix[who].T @ scheme.decoding_matrix(who).T @ np.ones((K, WIDTH))
    accuracy = {torch.float16: 2e-2, torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    np.testing.assert_allclose(inputs.grad, expected, atol=accuracy)


def test_the_encoders_fit_is_differentiable():
    scheme = SplineScheme(4, 9, lam_enc=0.1)
    inputs = numbers(4, requires_grad=True)
    assert gradcheck(scheme.encoder_fit, (inputs,))
    assert not torch.equal(scheme.encoder_fit(inputs), inputs)


@pytest.mark.parametrize("name", ["spline", "berrut", "kernel", "replication-nearest"])
def test_outputs_beside_std_are_differentiable(name):
    scheme = bound(name)
    answers = numbers(N - 2, WIDTH, requires_grad=True)
    who = lost_some(scheme)
    assert gradcheck(lambda y: scheme.decode_with_std(y, who)[0], (answers,))
    outputs, std = scheme.decode_with_std(answers, who)
    assert torch.equal(outputs, scheme.decode(answers, who))
    assert type(std) is np.ndarray


def test_models_learn_through_a_code():
    """Training through encode and decode reaches what the uncoded least squares does."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(6, 2, generator=generator, dtype=torch.float64)
    targets = inputs @ torch.tensor([[2.0], [-1.0]], dtype=torch.float64)
    scheme = SplineScheme(6, 12)
    model = torch.nn.Linear(2, 1, bias=False, dtype=torch.float64)
    optimiser = torch.optim.SGD(model.parameters(), 0.05)
    for _ in range(300):
        who = range(0, 12, 2)
        loss = ((scheme.decode(model(scheme.encode(inputs))[::2], who) - targets) ** 2).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    design = scheme.decoding_matrix(who) @ scheme.encoding_matrix[::2] @ inputs.numpy()
    best, *_ = np.linalg.lstsq(design, targets.numpy(), rcond=None)
    np.testing.assert_allclose(model.weight.detach().numpy(), best.T, atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@every_code
def test_gradients_that_are_not_finite_pass_as_through_a_matrix(name, bad):
    """Gradient scalers look for them."""
    scheme = bound(name)
    inputs = numbers(K, 2, requires_grad=True)
    cotangent = torch.ones(scheme.n_workers, 2, dtype=torch.float64)
    cotangent[0, 1] = bad
    scheme.encode(inputs).backward(cotangent)
    with np.errstate(invalid="ignore"):
        expected = scheme.encoding_matrix.T @ cotangent.numpy()
    np.testing.assert_allclose(inputs.grad, expected, atol=1e-12)
    assert inputs.grad[:, 0].isfinite().all()


def test_gradients_that_overflow_are_infinite():
    inputs = numbers(2, dtype=torch.float32, requires_grad=True)
    ReplicationScheme(2, 4).encode(inputs).backward(torch.full((4,), 3e38))
    assert inputs.grad.isinf().all()


# ---- the values choose the decoder


CHOOSING = {
    "gcv": lambda: SplineScheme(K, N, lam_dec="gcv"),
    "fitted": lambda: KernelScheme(6, N),
    "approxifer": lambda: ApproxIFERScheme(2, N, n_liars=1),
}


@pytest.mark.parametrize("name", CHOOSING)
def test_a_chosen_decoder_is_differentiated_as_if_it_were_given(name):
    scheme = CHOOSING[name]()
    scheme = scheme.bind(numbers(scheme.n_inputs, WIDTH).numpy())
    answers = numbers(N, WIDTH, seed=1, requires_grad=True)
    outputs = scheme.decode(answers, range(N))
    np.testing.assert_array_equal(
        outputs.detach(), scheme.decode(answers.detach().numpy(), range(N))
    )
    (gradient,) = torch.autograd.grad(outputs.sum(), answers)
    chosen = scheme._choose_decoder(answers.detach().numpy(), tuple(range(N))).dense()
    np.testing.assert_allclose(gradient, chosen.T @ np.ones(outputs.shape), atol=1e-12)


@pytest.mark.parametrize("name", CHOOSING)
def test_under_vmap_each_example_chooses(name):
    scheme = CHOOSING[name]()
    scheme = scheme.bind(numbers(scheme.n_inputs, WIDTH).numpy())
    many = numbers(4, N, WIDTH, seed=2)
    together = torch.func.vmap(lambda y: scheme.decode(y, range(N)))(many)
    assert torch.equal(together, torch.stack([scheme.decode(y, range(N)) for y in many]))


def test_no_gradient_reaches_a_liar():
    scheme = LagrangeScheme(K, N, degree=2)
    answers = scheme.encode(numbers(K, WIDTH)) ** 2
    answers[4, 1] += 1.0
    answers.requires_grad_()
    scheme.decode(answers, range(N)).sum().backward()
    honest = [n for n in range(N) if n != 4]
    expected = scheme.decoding_matrix(honest).T @ np.ones((K, WIDTH))
    np.testing.assert_allclose(answers.grad[honest], expected, atol=1e-12)
    assert not answers.grad[4].any()


def test_what_a_memory_adds_is_a_constant():
    memory = AnswerMemory(5)
    memory.add(np.random.default_rng(0).normal(size=(5, WIDTH)), np.arange(10.0).reshape(5, 2))
    scheme = KernelScheme(4, 5, fit=None, memory=memory).bind(numbers(4, WIDTH))
    who = [0, 2]
    answers = numbers(2, 2, seed=1, requires_grad=True)
    assert gradcheck(lambda y: scheme.decode(y, who), (answers,), check_forward_ad=True)
    assert gradgradcheck(lambda y: scheme.decode(y, who), (answers,))
    assert scheme.decode(torch.zeros(2, 2), who).abs().max() > 0
    many = numbers(3, 2, 2, seed=2)
    together = torch.func.vmap(lambda y: scheme.decode(y, who))(many)
    assert torch.equal(together, torch.stack([scheme.decode(y, who) for y in many]))


# ---- transforms


@every_code
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_vmap_is_a_loop(name, axis):
    scheme = bound(name)
    who = lost_some(scheme)
    many = numbers(4, K, WIDTH).movedim(0, axis)
    coded = torch.func.vmap(scheme.encode, in_dims=axis)(many)
    one_by_one = torch.stack([scheme.encode(one) for one in many.unbind(axis)])
    torch.testing.assert_close(coded, one_by_one, rtol=0, atol=1e-13)
    decoded = torch.func.vmap(lambda y: scheme.decode(y, who))(coded[:, who])
    one_by_one = torch.stack([scheme.decode(one, who) for one in coded[:, who]])
    torch.testing.assert_close(decoded, one_by_one, rtol=0, atol=1e-13)


@every_code
@pytest.mark.parametrize("jacobian", [torch.func.jacrev, torch.func.jacfwd, torch.func.hessian])
def test_jacobians_are_the_matrices(name, jacobian):
    scheme = bound(name)
    inputs = numbers(K)
    found = jacobian(scheme.encode)(inputs)
    if jacobian is torch.func.hessian:
        assert not found.any()
        return
    np.testing.assert_allclose(found, scheme.encoding_matrix, atol=1e-13)


@every_code
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_batches_of_gradients_are_a_loop(name, dtype):
    """Those of torch.autograd, which are not of torch.func and know no rule for vmap of ours."""
    scheme = bound(name)
    who = lost_some(scheme)
    inputs = numbers(K, WIDTH, dtype=dtype, requires_grad=True)
    answers = numbers(len(who), WIDTH, dtype=dtype, seed=1, requires_grad=True)

    def through(inputs):
        return decoding(scheme)(torch.tanh(scheme.encode(inputs))[who], who)

    def decode(answers):
        return decoding(scheme)(answers, who)

    near = {"rtol": 0, "atol": 1e-12 if dtype == torch.float64 else 2e-5}
    for fn, at in ((scheme.encode, inputs), (decode, answers), (through, inputs)):
        outputs = fn(at)
        many = numbers(5, *outputs.shape, dtype=dtype, seed=2)
        many[4, 0, 1] = torch.nan
        one_by_one = [torch.autograd.grad(outputs, at, v, retain_graph=True)[0] for v in many]
        (together,) = torch.autograd.grad(outputs, at, many, is_grads_batched=True)
        torch.testing.assert_close(together[:4], torch.stack(one_by_one[:4]), **near)
        assert together[4].isnan().any()
        expected = torch.autograd.functional.jacobian(fn, at)
        for strategy in ("reverse-mode", "forward-mode"):
            jacobian = torch.autograd.functional.jacobian(fn, at, vectorize=True, strategy=strategy)
            torch.testing.assert_close(jacobian, expected, **near)
    second = torch.autograd.functional.hessian(lambda x: through(x).sum(), inputs, vectorize=True)
    expected = torch.autograd.functional.hessian(lambda x: through(x).sum(), inputs)
    torch.testing.assert_close(second, expected, **near)


def test_per_example_gradients():
    scheme = SplineScheme(K, N)
    batch = numbers(5, K, WIDTH)

    def loss(inputs):
        return (scheme.decode(scheme.encode(inputs).sin(), range(N)) ** 2).sum()

    together = torch.func.vmap(torch.func.grad(loss))(batch)
    for inputs, gradient in zip(batch, together, strict=True):
        alone = inputs.clone().requires_grad_()
        loss(alone).backward()
        torch.testing.assert_close(gradient, alone.grad)


@pytest.mark.parametrize("transform", [torch.func.vmap, torch.func.jacrev, torch.func.jacfwd])
def test_what_looks_at_numbers_is_called_outside_of_transforms(transform):
    scheme = SplineScheme(3, 6)
    with pytest.raises(TypeError, match=r"inputs has no numbers .*; under torch.func only encode"):
        transform(lambda x: scheme.bind(x).encode(x))(numbers(3, 3))
    with pytest.raises(TypeError, match=r"coded_outputs has no numbers .*; under torch.func"):
        transform(lambda y: scheme.decode_with_std(y, range(6))[0])(numbers(6, 6))


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # dynamo looks
@pytest.mark.parametrize("scheme", [SplineScheme(K, N), KernelScheme(K, N)], ids=repr)
def test_compiled_programs_give_the_same(scheme):
    model = torch.nn.Linear(WIDTH, WIDTH, dtype=torch.float64)

    def through(inputs):
        bound = scheme.bind(inputs)
        outputs = bound.decode(model(bound.encode(inputs)).tanh(), np.arange(N))
        return outputs.square().sum() + bound.decode_with_std(outputs.sin(), [1, 4, 7])[0].sum()

    compiled = torch.compile(through, backend="aot_eager")
    for seed in (0, 1):
        inputs = numbers(K, WIDTH, seed=seed, requires_grad=True)
        expected = through(inputs)
        (gradient,) = torch.autograd.grad(expected, inputs)
        result = compiled(inputs)
        torch.testing.assert_close(result, expected)
        torch.testing.assert_close(torch.autograd.grad(result, inputs)[0], gradient)


# ---- memory and kinds


class Watched(MatrixMap):
    """Notes where the numbers lie that it reads."""

    seen: list

    def __call__(self, values):
        self.seen.append(values.__array_interface__["data"][0])
        return super().__call__(values)


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_the_map_reads_the_tensors_own_memory(requires_grad, dtype):
    watched = Watched(np.eye(3))
    object.__setattr__(watched, "seen", [])
    values = numbers(3, 4, dtype=dtype, requires_grad=requires_grad)
    result = apply_to_tensor(watched, values, "values")
    assert watched.seen == [values.data_ptr()]
    assert torch.equal(result, values)
    assert result.requires_grad is requires_grad


def test_a_tensor_that_asks_for_no_gradient_gets_none():
    scheme = SplineScheme(K, N)
    assert not scheme.encode(numbers(K)).requires_grad
    with torch.no_grad():
        assert not scheme.encode(numbers(K, requires_grad=True)).requires_grad
    with torch.inference_mode():
        assert scheme.encode(numbers(K)).shape == (N,)


@pytest.mark.parametrize(
    "given",
    [
        torch.arange(3),
        torch.tensor([True, False, True]),
        torch.arange(9.0).reshape(3, 3).T,
        torch.arange(6.0)[::2],
        torch.nn.Parameter(torch.arange(3.0)),
        torch.ones(3, dtype=torch.complex64).mul(1j).conj().imag,
        torch.ones(3, 0),
    ],
    ids=["int", "bool", "transposed", "strided", "parameter", "negative", "empty"],
)
def test_kinds_of_tensors(given):
    scheme = SplineScheme(3, 6)
    result = scheme.encode(given)
    expected = scheme.encode(given.detach().resolve_neg().numpy())
    np.testing.assert_array_equal(result.detach(), expected)
    assert result.dtype == (given.dtype if given.is_floating_point() else torch.float64)
    assert type(result) is torch.Tensor


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (torch.zeros(4), ValueError, r"inputs has shape \(4,\), but .* needs 3 rows"),
        (torch.tensor(1.0), ValueError, r"inputs has shape \(\)"),
        (torch.ones(3, dtype=torch.complex64), TypeError, r"inputs must hold real .*complex64; t"),
        (torch.ones(3, dtype=torch.bfloat16), TypeError, r"bfloat16; pass inputs.float\(\)"),
        (torch.eye(3).to_sparse(), TypeError, "inputs must be a dense tensor, got torch.sparse"),
        (torch.tensor([0.0, np.nan, 1.0]), ValueError, r"inputs must be finite, but inputs\[1\]"),
        (torch.tensor([3e38, -3e38, 3e38]), ValueError, "inputs overflow: max"),
        (torch.tensor([6e4, -6e4, 6e4]).half(), ValueError, "overflows float16; pass float32"),
    ],
    ids=["rows", "single", "complex", "bfloat16", "sparse", "nan", "overflow", "half"],
)
@pytest.mark.parametrize("requires_grad", [False, True])
def test_bad_tensors_are_refused(given, error, words, requires_grad):
    if requires_grad and given.layout == torch.strided:
        given = given.clone().requires_grad_()
    with pytest.raises(error, match=words):
        BerrutScheme(3, 20).encode(given)


def test_bad_answers_are_refused():
    scheme = SplineScheme(3, 6)
    with pytest.raises(ValueError, match=r"coded_outputs has shape \(3,\), but there are 2"):
        scheme.decode(torch.zeros(3), [0, 1])
    with pytest.raises(ValueError, match=r"coded_outputs must be finite, but coded_outputs\[1\]"):
        scheme.decode(torch.tensor([0.0, np.inf]), [0, 1])


@pytest.mark.parametrize("lose", ["encode", "decode", "prior"])
def test_a_gradient_is_never_lost_without_a_word(lose):
    scheme = AnalogLagrangeScheme(2, 5, degree=2)
    with_prior = WithPrior(SplineScheme(2, 5), prior=lambda x: 0 * x).bind([0.0, 1.0])
    inputs, answers = numbers(2, requires_grad=True), numbers(5, requires_grad=True)
    code = {
        "encode": lambda: scheme.encode(inputs),
        "decode": lambda: scheme.estimate(answers, range(5)),
        "prior": lambda: with_prior.decode(answers, range(5)),
    }[lose]
    with pytest.raises(TypeError, match=r"requires grad, but .* is not differentiable; pass .*det"):
        code()
    with torch.no_grad():
        assert torch.is_tensor(code())


# ---- devices


@every_code
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_every_device_gives_what_the_cpu_gives(name, device, dtype):
    scheme = bound(name)
    who = lost_some(scheme)
    results = []
    for where in ("cpu", device):
        inputs = numbers(K, WIDTH, dtype=dtype, device=where, requires_grad=True)
        coded = scheme.encode(inputs)
        outputs = decoding(scheme)(coded[who].tanh(), who)
        outputs.sum().backward()
        assert {one.device.type for one in (coded, outputs, inputs.grad)} == {where}
        results.append([one.detach().cpu() for one in (coded, outputs, inputs.grad)])
    accuracy = 1e-6 if dtype == torch.float32 else 1e-13
    for here, there in zip(*results, strict=True):
        torch.testing.assert_close(there, here, rtol=accuracy, atol=accuracy)


@every_code
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_the_matrix_on_a_device_gives_what_the_map_gives(name, dtype):
    scheme = bound(name)
    linear_map = scheme._encoder()
    inputs = numbers(K, WIDTH, dtype=dtype, requires_grad=True)
    cotangent = numbers(scheme.n_workers, WIDTH, dtype=dtype, seed=1)
    accuracy = {torch.float16: 1e-3, torch.float32: 1e-6, torch.float64: 1e-13}[dtype]
    results = []
    for matrix_on in (None, dense_on):
        result = apply_to_tensor(linear_map, inputs, "inputs", matrix_on)
        (gradient,) = torch.autograd.grad(result, inputs, cotangent)
        assert result.dtype == gradient.dtype == dtype
        results.append((result, gradient))
    for here, there in zip(*results, strict=True):
        torch.testing.assert_close(there, here, rtol=accuracy, atol=accuracy)


def test_autocast_lowers_no_precision_on_a_device():
    linear_map = SplineScheme(5, 15)._encoder()
    inputs = numbers(5, 3, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coded = apply_to_tensor(linear_map, inputs, "inputs", dense_on)
    assert torch.equal(coded, apply_to_tensor(linear_map, inputs, "inputs", dense_on))
    assert coded.dtype == torch.float32


def test_copies_are_exact_on_a_device(rng):
    scheme = SplineScheme(5, 15).bind(rng.normal(size=(5, 3)))
    inputs = numbers(5, 3, dtype=torch.float32)
    coded = apply_to_tensor(scheme._encoder(), inputs, "inputs", dense_on)
    held = scheme._held()
    assert (held >= 0).all()
    assert torch.equal(coded, inputs[torch.from_numpy(held)])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([0.0, np.nan], r"inputs must be finite, but inputs\[1\] = nan"),
        ([3e38, -3e38], "inputs overflow: max"),
    ],
)
def test_bad_numbers_on_a_device_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        apply_to_tensor(
            MatrixMap([[2.0, -1.0]] @ np.eye(2)), torch.tensor(given), "inputs", dense_on
        )


def test_a_constant_is_added_on_a_device_too():
    affine = FilledMap(np.array([0, -1]), np.array([[0.5]]), np.array([[3.0]]))
    values = torch.tensor([[4.0]], requires_grad=True)
    result = apply_to_tensor(affine, values, "values", dense_on)
    assert result.flatten().tolist() == [4.0, 5.0]
    assert torch.autograd.grad(result.sum(), values)[0].item() == 1.5


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_shapes_are_told_on_the_meta_device(dtype):
    """No GPU is needed for it, and the way is a GPU's."""
    scheme = SplineScheme(3, 7)
    inputs = torch.empty(3, 4, device="meta", dtype=dtype, requires_grad=True)
    outputs = scheme.decode(scheme.encode(inputs)[1:], range(1, 7))
    (gradient,) = torch.autograd.grad(outputs.sum(), inputs)
    assert outputs.is_meta
    assert gradient.is_meta
    assert (outputs.shape, gradient.shape) == ((3, 4), (3, 4))
    assert outputs.dtype == gradient.dtype == dtype


def test_matrices_on_a_device_are_made_once_and_not_without_end():
    scheme = BerrutScheme(2, 12)
    answers = torch.empty(6, device="meta")
    for _ in range(3):
        scheme.decode(answers, range(6))
    assert scheme._on_tensors._matrix_on.cache_info().misses == 1
    for responders in itertools.islice(itertools.combinations(range(12), 6), 40):
        scheme.decode(answers, responders)
    assert scheme._on_tensors._matrix_on.cache_info().currsize <= 16
    for same in (pickle.loads(pickle.dumps(scheme)), copy.copy(scheme)):
        assert same._on_tensors._matrix_on.cache_info().currsize == 0


def test_no_torch_is_loaded_for_arrays():
    program = (
        "import sys, numpy as np\nfrom coded import SplineScheme\n"
        "scheme = SplineScheme(3, 6)\nscheme.decode(scheme.encode(np.ones(3)), range(6))\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "False"
