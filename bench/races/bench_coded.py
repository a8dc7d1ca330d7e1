"""Codes against their dense matrices by BLAS; the runtime against bare pools."""

import os
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from itertools import cycle
from operator import itemgetter

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from bench.races import reference
from bench.races.race import Competitor, error_against
from coded import BerrutScheme, KernelScheme, SplineScheme, TorchWorker, coded_map, path_order
from coded.digits.lenet5 import load
from coded.schemes import codes
from coded.schemes.registry import Setting

TOLERANCE = 1e-6
IMAGE = (3, 224, 224)
SAMPLE = np.r_[:20, 3 * 224 * 224 - 20 : 3 * 224 * 224]
CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()

settings = pytest.mark.parametrize(
    ("n_inputs", "n_workers", "n_stragglers"), [(20, 100, 60), (60, 100, 20)]
)


def images(count):
    return np.random.default_rng(0).standard_normal((count, *IMAGE), np.float32)


def dense(matrix, rows):
    """The product that a precomputed matrix takes, into a new array as for the codes."""
    matrix, rows = matrix.astype(np.float32), rows.reshape(len(rows), -1)
    return Competitor(lambda: matrix @ rows)


@pytest.mark.benchmark(group="coded")
@settings
def test_encode(race, n_inputs, n_workers, n_stragglers):
    inputs = images(n_inputs)
    scheme = SplineScheme.paper(n_inputs, n_workers, n_stragglers=n_stragglers)
    berrut = BerrutScheme(n_inputs, n_workers)
    along = inputs.reshape(n_inputs, -1)[:, SAMPLE]
    expected = reference.smooth(scheme.alpha, along, scheme.beta, lam=0.0)
    race(
        "LeTCC: encode images",
        lambda: scheme.encode(inputs),
        {
            "dense x BLAS": dense(scheme.encoding_matrix, inputs),
            "`BerrutScheme`": Competitor(lambda: berrut.encode(inputs), checked=False),
        },
        error=error_against(expected, SAMPLE),
        tolerance=TOLERANCE,
        shape=f"({n_inputs} -> {n_workers}) x 3 x 224 x 224",
        dtype="float32",
        threads=CPUS,
    )


@pytest.mark.benchmark(group="coded")
@settings
def test_decode(race, n_inputs, n_workers, n_stragglers):
    rng = np.random.default_rng(1)
    scheme = SplineScheme.paper(n_inputs, n_workers, n_stragglers=n_stragglers)
    berrut = BerrutScheme(n_inputs, n_workers)
    responders = np.sort(rng.choice(n_workers, n_workers - n_stragglers, replace=False))
    answers = images(len(responders))
    some = answers.reshape(len(answers), -1)[:, SAMPLE]
    expected = reference.smooth(scheme.beta[responders], some, scheme.alpha, lam=0.0)
    race(
        "LeTCC: decode images",
        lambda: scheme.decode(answers, responders),
        {
            "dense x BLAS": dense(scheme.decoding_matrix(responders), answers),
            "`BerrutScheme`": Competitor(lambda: berrut.decode(answers, responders), checked=False),
        },
        error=error_against(expected, SAMPLE),
        tolerance=TOLERANCE,
        shape=f"({len(responders)} -> {n_inputs}) x 3 x 224 x 224",
        dtype="float32",
        threads=CPUS,
    )


def made(code):
    """A scheme with 20 inputs, of the first setting that the code can serve; one with matrices."""
    for n_workers, n_stragglers in ((60, 20), (22, 2)):
        try:
            scheme = codes()[code].make(Setting(20, n_workers, n_stragglers, degree=1))
        except ValueError:
            continue
        if not isinstance(scheme, KernelScheme):
            return scheme
        options = {"objective": scheme.objective, "between": scheme.between}
        return KernelScheme(20, n_workers, n_stragglers=n_stragglers, fit=None, **options)
    raise AssertionError("the code serves none of the settings")


def numbers(variant, rows):
    rng = np.random.default_rng(0)
    if variant.numbers == "integer":
        return rng.integers(-1000, 1000, size=(rows, 3072))
    if variant.numbers == "complex":
        return rng.normal(size=(rows, 3072)) + 1j * rng.normal(size=(rows, 3072))
    return rng.normal(size=(rows, 3072))


@pytest.mark.benchmark(group="codes")
@pytest.mark.parametrize("code", codes())
@pytest.mark.parametrize("step", ["encode", "decode", "decode with spare answers"])
def test_every_code(race, code, step):
    variant = codes()[code]
    scheme = made(code)
    inputs = numbers(variant, 20)
    bound = scheme.bind(inputs)
    if "spare" in step:
        responders = np.delete(np.arange(scheme.n_workers), [0, scheme.n_workers // 2])
    else:
        rng = np.random.default_rng(2)
        draws = (rng.permutation(scheme.n_workers)[: bound.min_responders] for _ in range(99))
        responders = next(some for some in map(np.sort, draws) if bound.can_decode(some))
    rows = inputs if step == "encode" else bound.encode(inputs)[responders]
    matrix = bound.encoding_matrix if step == "encode" else bound.decoding_matrix(responders)
    of_integers = matrix.astype(object)
    matrix = matrix.astype(np.result_type(rows.dtype, np.float64))
    flat = rows.astype(matrix.dtype)
    call = bound.encode if step == "encode" else partial(bound.decode, responders=responders)

    def error(result):
        if step == "encode" and getattr(scheme, "n_colluders", 0):  # masks: decode them away
            return float(np.abs(bound.decode(result, range(scheme.n_workers)) - rows).max())
        if variant.numbers != "integer":
            return float(np.abs(result - matrix @ flat).max() / np.abs(matrix @ flat).max())
        wrong = (result[:, :20] - of_integers @ rows[:, :20].astype(object)) % scheme.prime
        return float(np.count_nonzero(wrong))

    race(
        f"`{code}`: {step}",
        lambda: call(rows),
        {"dense x BLAS": Competitor(lambda: matrix @ flat, checked=False)},
        error=error,
        tolerance=1e-10,
        shape=f"({len(rows)} -> {len(matrix)}) x 3,072",
        dtype=str(rows.dtype),
        threads=CPUS,
    )


class VisionTransformer(torch.nn.Module):
    """As large as ViT-S/14 on 224 x 224 pixels; its weights do not matter for its time."""

    def __init__(self):
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 384, 14, stride=14)
        layer = torch.nn.TransformerEncoderLayer(384, 6, 1536, batch_first=True)
        self.layers = torch.nn.TransformerEncoder(layer, 12, enable_nested_tensor=False)
        self.head = torch.nn.Linear(384, 1000)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).swapaxes(1, 2)
        return self.head(self.layers(tokens).mean(axis=1))


NETWORKS = {"LeNet5": (load, (1, 32, 32)), "ViT-S/14": (VisionTransformer, (3, 224, 224))}
SHARED = {
    "KernelScheme": KernelScheme,
    "KernelScheme, fit=None": partial(KernelScheme, fit=None),
    "SplineScheme": SplineScheme,
    "LeTCC": SplineScheme.paper,
}


@pytest.fixture
def one_torch_thread():
    """Give torch one thread, as in each of many worker processes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.benchmark(group="share")
@pytest.mark.usefixtures("one_torch_thread")
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("code", SHARED)
@pytest.mark.parametrize("binds", [False, True])
def test_share_of_encoding_and_decoding(race, network, code, binds):
    build, shape = NETWORKS[network]
    worker = TorchWorker(build().eval())
    scheme = SHARED[code](20, 60, n_stragglers=20)
    rng = np.random.default_rng(0)
    inputs = rng.random((20, *shape), np.float32)
    bound = scheme.bind(inputs)
    coded_answers = (bound.encoding_matrix @ rng.random((20, 10))).astype(np.float32)
    # More responder sets than a scheme keeps plans of: each decoder is made anew.
    sets = [np.sort(rng.choice(60, 40, replace=False)) for _ in range(400)]
    ahead = cycle(sets)

    def code_once():
        coder = scheme.bind(inputs) if binds else bound
        responders = next(ahead)
        outputs = coder.decode(coded_answers[responders], responders)
        return coder.encode(inputs), outputs, responders

    def error(result):
        coded, outputs, responders = result
        encoded = bound.encoding_matrix @ inputs.reshape(20, -1)[:, :1000]
        of_encoding = float(np.abs(coded.reshape(60, -1)[:, :1000] - encoded).max())
        if code == "KernelScheme":  # fitted to the answers, so that it has no matrix
            return of_encoding
        decoded = bound.decoding_matrix(responders) @ coded_answers[responders]
        return max(of_encoding, float(np.abs(outputs - decoded).max() / np.abs(decoded).max()))

    few = 2  # of the 60 coded inputs: the network's time is the same for all
    steps = "bind + encode + decode" if binds else "encode + decode"
    race(
        f"{network}: `{code}`, {steps}",
        code_once,
        {
            "the network on N inputs": Competitor(
                lambda: [worker(image) for image in inputs[:few]], scale=60 / few, checked=False
            )
        },
        error=error,
        tolerance=TOLERANCE,
        shape=f"(20 -> 60) x {' x '.join(map(str, shape))}",
        dtype="float32",
        threads=1,
    )


@pytest.mark.benchmark(group="runtime")
def test_overhead_of_coded_map(race):
    scheme = SplineScheme(20, 100)
    inputs = np.random.default_rng(0).standard_normal((20, 784))
    tasks = scheme.bind(inputs).encode(inputs)
    ten_numbers = itemgetter(slice(10))
    everyone = np.arange(100)

    with ThreadPoolExecutor(CPUS) as pool:

        def submit_and_wait():
            done, _ = wait([pool.submit(ten_numbers, task) for task in tasks])
            return [future.result() for future in done]

        def code_alone():
            bound = scheme.bind(inputs)
            return bound.decode_with_std(bound.encode(inputs)[:, :10], everyone)

        race(
            "`coded_map` of a task that costs nothing, for all answers",
            lambda: coded_map(ten_numbers, inputs, scheme, pool, wait_for=100),
            {
                "bare submit and wait": Competitor(submit_and_wait, checked=False),
                "bind + encode + decode": Competitor(code_alone, checked=False),
            },
            error=lambda result: float(abs(result.outputs - inputs[:, :10]).max()),
            tolerance=0.0,  # systematic: the answers themselves
            shape="(20 -> 100) x 784",
            dtype="float64",
            threads=CPUS,
        )


@pytest.mark.benchmark(group="runtime")
@pytest.mark.parametrize("n_inputs", [60, 1000])
def test_path_order(race, n_inputs):
    inputs = np.random.default_rng(0).standard_normal((n_inputs, 784))

    def nearest_neighbours():
        distances = cdist(inputs, inputs)
        path = [0]
        for _ in range(1, len(inputs)):
            distances[:, path[-1]] = np.inf
            path.append(int(distances[path[-1]].argmin()))
        return path

    shortest = length(inputs, nearest_neighbours())
    race(
        "`path_order`, whose path is shorter",
        lambda: path_order(inputs),
        {"nearest neighbours": Competitor(nearest_neighbours)},
        error=lambda path: max(0.0, length(inputs, path) / shortest - 1.0),
        tolerance=0.0,
        shape=f"{n_inputs:,} x 784",
        dtype="float64",
    )


def length(inputs, path):
    assert sorted(path) == list(range(len(inputs)))
    return np.linalg.norm(np.diff(inputs[path], axis=0), axis=1).sum()
