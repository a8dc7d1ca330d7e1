"""What all exact codes share: decoders are made once, and spare answers are looked at."""

import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from coded import (
    AnalogLagrangeScheme,
    InconsistentAnswersError,
    LagrangeScheme,
    MDSScheme,
    NotEnoughRespondersError,
    ParityScheme,
    ProductScheme,
    coded_map,
)
from coded.schemes.exact import LARGEST_AMPLIFICATION

SCHEMES = {
    "lagrange": (LagrangeScheme, (2, 6), {"degree": 1}),
    "analog lagrange": (
        AnalogLagrangeScheme,
        (2, 6),
        {"degree": 1, "n_colluders": 1, "mask_std": 10.0},
    ),
    "mds": (MDSScheme, (3, 6), {}),
    "parity": (ParityScheme, (3, 5), {}),
    "product": (ProductScheme, (4, 9), {}),
}


def counting(family, *counts, **settings):
    """Make a scheme that lists the sets for which it makes a decoder."""

    class Counting(family):
        def _build_exact(self, responders):
            self.made.append(responders)
            return super()._build_exact(responders)

    scheme = Counting(*counts, **settings)
    scheme.made = []
    return scheme


@pytest.mark.parametrize(("family", "counts", "settings"), SCHEMES.values(), ids=SCHEMES)
def test_a_decoder_is_made_once_for_the_same_responders(family, counts, settings):
    scheme = counting(family, *counts, **settings)
    answers = scheme.encode(np.linspace(1.0, 2.0, scheme.n_inputs))
    workers = tuple(range(1, scheme.n_workers))
    assert scheme.can_decode(workers)
    first = scheme.decode(answers[1:], workers)
    again = scheme.decode(answers[1:], workers)
    np.testing.assert_array_equal(again, first)
    assert scheme.amplification(workers) <= LARGEST_AMPLIFICATION
    assert scheme.made == [workers]
    everybody = tuple(range(scheme.n_workers))
    scheme.decode(answers, everybody)
    assert scheme.made == [workers, everybody]


def test_a_refused_set_is_solved_once():
    scheme = counting(LagrangeScheme, 10, 60, degree=5)
    together = tuple(range(46))
    for _ in range(3):
        assert not scheme.can_decode(together)
        assert not scheme.exact_mask(together).any()
        with pytest.raises(NotEnoughRespondersError, match="these do by"):
            scheme.decode(np.zeros(46), together)
    assert scheme.made == [together]


# What spare answers tell.

CHECKED = {
    "lagrange": lambda: LagrangeScheme(6, 30, degree=2),
    "lagrange-1": lambda: LagrangeScheme(4, 12, degree=1),
    "analog": lambda: AnalogLagrangeScheme(3, 14, degree=2),
    "analog-private": lambda: AnalogLagrangeScheme(
        3, 14, degree=2, n_colluders=1, mask_std=100.0, rng=0
    ),
    "mds": lambda: MDSScheme(6, 14),
    "mds-random": lambda: MDSScheme(12, 26),
    "product": lambda: ProductScheme(9, 36),
}
every_checked = pytest.mark.parametrize("code", CHECKED)


def inside(x):
    """Of degree 1."""
    return 3.0 * x - 0.5 * x[..., ::-1] + 1.0


def answers_of(scheme, fn, n_columns=5, seed=0):
    inputs = np.random.default_rng(seed).normal(size=(scheme.n_inputs, n_columns))
    return inputs, np.stack([fn(row) for row in scheme.encode(inputs)])


OUTSIDE = {
    "tanh": np.tanh,
    "exp": lambda x: np.exp(x / 4.0),
    "abs": np.abs,
    "a power more": lambda x: x**3,
    "one column of many": lambda x: np.where(np.arange(len(x)) == 2, 1e-3 * np.sin(3.0 * x), x),
}


@every_checked
@pytest.mark.parametrize("outside", OUTSIDE)
def test_functions_outside_of_the_promised_class_are_refused(code, outside):
    scheme = CHECKED[code]()
    if code == "analog-private":
        scheme = AnalogLagrangeScheme(3, 14, degree=2)  # behind masks of 100 all columns are alike
    _, answers = answers_of(scheme, OUTSIDE[outside], n_columns=12)
    everyone = range(scheme.n_workers)
    for decode in (scheme.decode, scheme.find_liars):
        with pytest.raises(
            InconsistentAnswersError, match=r"answers contradict each other"
        ) as told:
            decode(answers, everyone)
        assert 1e-6 < told.value.residual <= 1.0
    assert np.isfinite(scheme.estimate(answers, everyone)).all()


def test_the_error_says_what_is_wrong_and_what_helps():
    scheme = LagrangeScheme(6, 30, degree=2)
    _, answers = answers_of(scheme, np.tanh)
    with pytest.raises(
        InconsistentAnswersError,
        match=r"22 answers contradict each other: LagrangeScheme\(6, 30, degree=2\) is for f that "
        r"is a polynomial of degree 2 or less, and these miss that by \d\.\de-02 of their size, "
        r"beyond rounding\. f is no such function \(require_polynomial tests one\), .*, or workers "
        r"answer wrongly.*: so many answers tell who, if at most 5 do, .* Take another code .*`est",
    ) as told:
        scheme.decode(answers[8:], range(8, 30))
    assert isinstance(told.value, ValueError)
    copied = pickle.loads(pickle.dumps(told.value))
    assert str(copied) == str(told.value)
    assert (copied.residual, copied.suspects) == (told.value.residual, told.value.suspects)


@every_checked
@pytest.mark.parametrize("n_columns", [1, 7])
def test_whoever_lies_is_left_out_and_the_rest_is_exact(code, n_columns):
    scheme = CHECKED[code]()
    inputs, answers = answers_of(scheme, inside, n_columns)
    everyone = range(scheme.n_workers)
    assert scheme.find_liars(answers, everyone) == ()
    size = np.abs(answers).max()
    for liar in everyone:
        for lie in (
            -answers[liar],
            0.0,
            answers[liar - 1],
            1e6 * size,
            answers[liar] + 1e-3 * size,
        ):
            lied = answers.copy()
            lied[liar] = lie
            assert scheme.find_liars(lied, everyone) == (liar,)
            honest = [n for n in everyone if n != liar]
            rounding = 1e3 * 2e-16 * scheme.amplification(honest) * size
            found = scheme.decode(lied, everyone)
            np.testing.assert_allclose(found, inside(inputs), rtol=0, atol=rounding)


@every_checked
def test_as_many_liars_are_found_as_the_distance_allows(code, rng):
    scheme = CHECKED[code]()
    inputs, answers = answers_of(scheme, inside)
    for _ in range(10):
        n_lost = int(rng.integers(0, 3))
        responders = np.sort(rng.permutation(scheme.n_workers)[n_lost:])
        most = scheme._most_liars(tuple(responders.tolist()))
        assert most >= 1
        liars = np.sort(rng.choice(responders, most, replace=False))
        lied = answers.copy()
        lied[liars] += np.abs(answers).max() * rng.normal(size=(most, answers.shape[1]))
        assert scheme.find_liars(lied[responders], responders) == tuple(liars.tolist())
        outputs = scheme.decode(lied[responders], responders)
        np.testing.assert_allclose(outputs, inside(inputs), rtol=0, atol=1e-6)


def test_a_product_code_tells_one_liar_where_any_two_more_may_be_lost():
    scheme = ProductScheme(4, 9)
    inputs, answers = answers_of(scheme, inside)
    n_told = 0
    for responders in itertools.combinations(range(9), 7):
        liar = responders[3]
        lied = answers.copy()
        lied[liar] += 1.0
        pairs = itertools.combinations(responders, 2)
        if all(scheme.can_decode([n for n in responders if n not in two]) for two in pairs):
            n_told += 1
            assert scheme.find_liars(lied[list(responders)], responders) == (liar,)
        else:
            with pytest.raises(InconsistentAnswersError) as told:
                scheme.decode(lied[list(responders)], responders)
            assert told.value.suspects == () or liar in told.value.suspects
    assert scheme._most_liars(tuple(range(9))) == 1
    assert scheme._most_liars(tuple(range(8))) == 1
    assert n_told < 36
    np.testing.assert_allclose(scheme.decode(answers, range(9)), inside(inputs), atol=1e-12)


@every_checked
def test_with_exactly_the_answers_that_are_needed_nothing_is_looked_at(code):
    scheme = CHECKED[code]()
    _, answers = answers_of(scheme, np.tanh)
    grid = [n for n in range(36) if n % 6 < 3 and n // 6 < 3]
    enough = {"product": grid, "lagrange": [*range(0, 30, 3), 29]}.get(code)
    workers = enough or list(range(scheme.min_responders))
    assert scheme.find_liars(answers[workers], workers) == ()
    np.testing.assert_array_equal(
        scheme.decode(answers[workers], workers), scheme.estimate(answers[workers], workers)
    )


def test_a_parity_models_answers_may_differ_from_those_of_f():
    scheme = ParityScheme(3, 5)
    inputs, answers = answers_of(scheme, np.tanh)
    assert scheme.find_liars(answers, range(5)) == ()
    np.testing.assert_array_equal(scheme.decode(answers, range(5)), np.tanh(inputs))


@every_checked
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_honest_answer_is_suspected(code, dtype, rng):
    """Sums of 4,096 terms, three layers, and polynomials: what f itself rounds."""
    scheme = CHECKED[code]()
    layers = [rng.normal(size=shape) / shape[0] ** 0.5 for shape in ((4096, 30), (30, 30), (30, 9))]
    layers = [layer.astype(dtype) for layer in layers]

    def network(x):
        for layer in layers:
            x = x.astype(dtype if np.isrealobj(x) else complex) @ layer + dtype(0.5)
        return x

    for offset in (0, 100):
        inputs = (rng.normal(size=(scheme.n_inputs, 4096)) + offset).astype(dtype)
        answers = np.stack([network(row) for row in scheme.encode(inputs)])
        for _ in range(5):
            n_lost = int(rng.integers(0, scheme.n_stragglers))
            responders = np.sort(rng.permutation(scheme.n_workers)[n_lost:])
            if scheme.can_decode(responders):
                assert scheme.find_liars(answers[responders], responders) == ()


@every_checked
def test_tensors_are_looked_at_as_arrays_are(code):
    scheme = CHECKED[code]()
    _, answers = answers_of(scheme, inside)
    lied = answers.copy()
    lied[2] = 0.0
    everyone = range(scheme.n_workers)
    assert scheme.find_liars(torch.from_numpy(lied), everyone) == (2,)
    found = scheme.decode(torch.from_numpy(lied), everyone)
    assert torch.is_tensor(found)
    np.testing.assert_array_equal(found.numpy(), scheme.decode(lied, everyone))
    if "analog" in code:
        return
    together = torch.func.vmap(lambda y: scheme.decode(y, everyone))(
        torch.from_numpy(np.stack([answers, lied]))
    )
    np.testing.assert_allclose(together[0], together[1], rtol=0, atol=1e-9)


# The digits that an answer has.


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_accepted_sets_of_coarse_answers_err_by_a_hundredth_at_most(dtype, rng):
    scheme = LagrangeScheme(20, 60, degree=1)
    inputs = rng.normal(size=(20, 50)).astype(dtype)
    answers = scheme.encode(inputs)
    n_refused = 0
    for _ in range(300):
        responders = np.sort(rng.permutation(60)[: int(rng.integers(20, 35))])
        if scheme.can_decode(responders, dtype=dtype):
            outputs = scheme.decode(answers[responders], responders)
            assert outputs.dtype == dtype
            assert np.abs(outputs - inputs).max() < 1e-2 * np.abs(answers).max()
            continue
        is_refused_for_it = scheme.can_decode(responders)
        n_refused += is_refused_for_it
        limit = {np.float16: r"1e\+01 in float16", np.float32: r"8e\+04 in float32"}[dtype]
        for given in (answers, torch.from_numpy(answers)):
            with pytest.raises(
                NotEnoughRespondersError, match=limit if is_refused_for_it else "amplify|needs 20"
            ):
                scheme.decode(given[responders], responders)
    assert n_refused > 10


def test_what_the_runtime_decodes_it_has_waited_for():
    """Float32 answers: more of them are waited for where the first ones are amplified too much."""
    scheme = LagrangeScheme(6, 12, degree=1)
    together = list(range(6))
    assert 8e4 > scheme.amplification(range(8)) > 10 * scheme.amplification(range(12))
    assert not scheme.can_decode(together, dtype=np.float16)
    inputs = np.linspace(0.0, 1.0, 6)[:, None].astype(np.float16)
    with ThreadPoolExecutor(1) as pool:  # in order, so that those side by side come first
        result = coded_map(lambda x: x + x, inputs, scheme, pool, timeout=60)
    assert result.complete
    assert scheme.can_decode(result.responders, dtype=np.float16)
    assert result.outputs.dtype == np.float16
    np.testing.assert_allclose(result.outputs, 2 * inputs, rtol=0, atol=2e-2)


@pytest.mark.parametrize("code", ["product", "lagrange"])
def test_a_set_that_determines_nothing_is_looked_at_once(code, monkeypatch):
    scheme, asked = CHECKED[code](), []
    determine = type(scheme)._determine
    monkeypatch.setattr(
        type(scheme), "_determine", lambda self, who: asked.append(who) or determine(self, who)
    )
    for _ in range(3):
        assert not scheme.can_decode([0, 1, 2])
        assert scheme.amplification([0, 1, 2]) == np.inf
    assert asked == [(0, 1, 2)]
