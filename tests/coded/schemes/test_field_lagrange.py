import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import galois
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coded import (
    FieldLagrangeScheme,
    LocalWorkers,
    NotEnoughRespondersError,
    Scheme,
    coded_map,
    simulate,
)
from coded.algebra.prime_field import LARGEST_PRIME, balanced, power
from coded.schemes.field_lagrange import VARIANTS
from coded.schemes.registry import Setting

INT64 = np.iinfo(np.int64)
# n_inputs, n_workers, options
SMALL = [
    (1, 1, {"degree": 1}),
    (1, 4, {"degree": 3}),
    (2, 6, {"degree": 3}),
    (3, 7, {"degree": 2}),
    (4, 4, {"degree": 1}),
    (2, 7, {"degree": 2, "n_colluders": 1}),
    (1, 8, {"degree": 2, "n_colluders": 2}),
    (2, 7, {"degree": 2, "n_liars": 1}),
    (1, 8, {"degree": 1, "n_colluders": 1, "n_liars": 2}),
]
PRIMES = [17, 97, 65537, LARGEST_PRIME]
every_prime = pytest.mark.parametrize("prime", PRIMES)
every_small = pytest.mark.parametrize(("n_inputs", "n_workers", "options"), SMALL)


def some_inputs(n_inputs, *trailing, prime=LARGEST_PRIME, seed=0):
    half = prime // 2
    return np.random.default_rng(seed).integers(-half, half + 1, (n_inputs, *trailing))


def polynomial(degree, prime):
    """A worker's f, ``x^d - 2 x + 1`` modulo p, in Python's integers: it cannot overflow."""

    def f(x):
        exact = np.asarray(x).astype(object)
        return ((exact**degree - 2 * exact + 1) % prime).astype(np.int64)

    return f


def centred(values, prime):
    """The same in [-(p - 1) / 2, (p - 1) / 2], by adding and subtracting."""
    half = (prime - 1) // 2
    return (np.asarray(values) % prime + half) % prime - half


# Exactness.


@every_prime
@every_small
def test_every_responder_set_gives_f_bit_for_bit(n_inputs, n_workers, options, prime):
    scheme = FieldLagrangeScheme(n_inputs, n_workers, prime=prime, **options)
    f = polynomial(options["degree"], prime)
    inputs = some_inputs(n_inputs, 3, prime=prime)
    expected = centred(f(inputs), prime)
    answers = f(scheme.encode(inputs))
    threshold = (n_inputs + scheme.n_colluders - 1) * scheme.degree + 1
    assert scheme.min_responders == threshold + 2 * scheme.n_liars
    for count in range(n_workers + 1):
        for responders in itertools.combinations(range(n_workers), count):
            assert scheme.can_decode(responders) == (count >= threshold)
            assert scheme.exact_mask(responders).tolist() == [count >= threshold] * n_inputs
            if count < threshold:
                with pytest.raises(NotEnoughRespondersError, match=f"needs {threshold} answers"):
                    scheme.decode(answers[list(responders)], responders)
                continue
            rows = answers[list(responders)]
            outputs = scheme.decode(rows, responders)
            assert outputs.dtype == np.int64
            assert np.array_equal(outputs, expected)
            matrix = scheme.decoding_matrix(responders)
            assert matrix.shape == (n_inputs, count)
            by_matrix = (matrix.astype(object) @ rows.astype(object)).astype(object) % prime
            assert np.array_equal(centred(by_matrix.astype(np.int64), prime), expected)


@every_prime
@every_small
def test_coded_inputs_lie_on_galois_polynomial_through_the_inputs(
    n_inputs, n_workers, options, prime
):
    scheme = FieldLagrangeScheme(n_inputs, n_workers, prime=prime, **options)
    inputs = some_inputs(n_inputs, prime=prime)
    coded_inputs = scheme.encode(inputs)
    assert np.abs(coded_inputs).max() <= (prime - 1) // 2
    gf = galois.GF(prime, compile="python-calculate")
    sources = n_inputs + scheme.n_colluders
    through = galois.lagrange_poly(gf(scheme.beta[:sources]), gf(coded_inputs[:sources] % prime))
    assert through.degree < sources
    assert np.array_equal(through(gf(scheme.beta)), coded_inputs % prime)
    assert np.array_equal(through(gf(scheme.alpha)), inputs % prime)


@pytest.mark.parametrize("prime", [97, LARGEST_PRIME])
def test_matrices_are_the_formula(prime):
    def entry(points, nodes, i, j):
        value = 1
        for m, node in enumerate(nodes):
            if m != j:
                value = value * (points[i] - node) * pow(nodes[j] - node, -1, prime) % prime
        return value

    scheme = FieldLagrangeScheme(3, 9, degree=2, n_colluders=1, prime=prime)
    alpha, beta = scheme.alpha.tolist(), scheme.beta.tolist()
    masked = [*alpha, 3]
    assert set(masked).isdisjoint(beta)
    encoder = [[entry(beta, masked, n, k) for k in range(3)] for n in range(9)]
    assert scheme.encoding_matrix.dtype == np.int64
    assert scheme.encoding_matrix.tolist() == encoder
    responders = [0, 2, 3, 4, 6, 7, 8]
    nodes = [beta[n] for n in responders]
    decoder = [[entry(alpha, nodes, k, r) for r in range(7)] for k in range(3)]
    assert scheme.decoding_matrix(responders).tolist() == decoder


def test_without_masks_the_first_workers_hold_the_inputs():
    scheme = FieldLagrangeScheme(3, 8, degree=2)
    inputs = some_inputs(3, 4)
    assert np.array_equal(scheme.encode(inputs)[:3], inputs)
    assert np.array_equal(scheme.encoder_fit(inputs), inputs)
    assert scheme.bind(inputs) is scheme


@every_prime
@pytest.mark.parametrize("n_colluders", [0, 1])
def test_the_largest_numbers_are_exact(prime, n_colluders):
    half = (prime - 1) // 2
    scheme = FieldLagrangeScheme(3, 13, degree=2, prime=prime, n_colluders=n_colluders)
    assert scheme.headroom == half
    inputs = np.array([[half, -half, half], [half, -half, -half], [half, -half, 0]])
    answers = balanced(scheme.encode(inputs) ** 2, prime)
    expected = [[x * x % prime for x in row] for row in inputs.tolist()]
    for responders in (range(7), range(6, 13), range(13)):
        outputs = scheme.decode(answers[list(responders)], list(responders))
        assert (outputs % prime).tolist() == expected


def test_answers_are_congruent_however_they_are_represented():
    prime = LARGEST_PRIME
    scheme = FieldLagrangeScheme(2, 4, degree=1)
    inputs = some_inputs(2, 5)
    answers = scheme.encode(inputs)
    exact = answers.astype(object)
    up = (exact + (INT64.max - exact) // prime * prime).astype(np.int64)  # the largest that fit
    down = (exact - (exact - INT64.min) // prime * prime).astype(np.int64)  # the least that fit
    assert up.min() > INT64.max - prime
    assert down.max() < INT64.min + prime
    for congruent in (up, down, up.astype(np.uint64), answers % prime):
        assert np.array_equal(scheme.decode(congruent, range(4)), inputs)


def test_many_columns_are_exact():
    scheme = FieldLagrangeScheme(4, 14, degree=3, n_liars=1)
    inputs = some_inputs(4, 20_000)
    f = polynomial(3, scheme.prime)
    answers = f(scheme.encode(inputs))
    assert np.array_equal(scheme.decode(answers, range(14)), centred(f(inputs), scheme.prime))


@given(
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(0, 4),
    st.sampled_from([101, 65537, 2**31 - 19, LARGEST_PRIME]),
    st.integers(0, 10**6),
)
def test_any_code_decodes_any_polynomial(
    n_inputs, degree, n_colluders, n_liars, n_spare, prime, seed
):
    rng = np.random.default_rng(seed)
    needed = (n_inputs + n_colluders - 1) * degree + 1 + 2 * n_liars
    scheme = FieldLagrangeScheme(
        n_inputs,
        needed + n_spare,
        degree=degree,
        prime=prime,
        n_colluders=n_colluders,
        n_liars=n_liars,
    )
    coefficients = rng.integers(0, prime, degree + 1).tolist()

    def f(x):
        exact = x.astype(object)
        return (sum(c * exact**j for j, c in enumerate(coefficients)) % prime).astype(np.int64)

    inputs = some_inputs(n_inputs, 2, prime=prime, seed=seed)
    answers = f(scheme.encode(inputs))
    responders = np.sort(rng.choice(needed + n_spare, needed, replace=False))
    liars = np.sort(rng.choice(responders, n_liars, replace=False))
    answers[liars] += rng.integers(1, prime, (n_liars, 2))
    outputs = scheme.decode(answers[responders], responders)
    assert np.array_equal(outputs, centred(f(inputs), prime))
    assert scheme.find_liars(answers[responders], responders) == tuple(liars)


# Liars.


@pytest.mark.parametrize("prime", [97, LARGEST_PRIME])
@pytest.mark.parametrize(
    ("n_inputs", "n_workers", "options"),
    [
        (1, 5, {"degree": 2, "n_liars": 2}),
        (2, 6, {"degree": 1, "n_liars": 2}),
        (2, 6, {"degree": 3, "n_liars": 1}),
        (2, 9, {"degree": 2, "n_colluders": 1, "n_liars": 2}),
    ],
)
@pytest.mark.parametrize("share", [1.0, 0.4], ids=["everywhere", "in-places"])
def test_every_set_of_liars_is_located_and_corrected(n_inputs, n_workers, options, prime, share):
    scheme = FieldLagrangeScheme(n_inputs, n_workers, prime=prime, **options)
    f = polynomial(options["degree"], prime)
    inputs = some_inputs(n_inputs, 2, 3, prime=prime)
    expected = centred(f(inputs), prime)
    honest = f(scheme.encode(inputs))
    rng = np.random.default_rng(0)
    everyone = np.arange(n_workers)
    for count in range(scheme.n_liars + 1):
        for liars in itertools.combinations(range(n_workers), count):
            answers = honest.copy()
            lies = rng.integers(1, prime, (count, 2, 3)) * (rng.random((count, 2, 3)) < share)
            answers[list(liars)] += lies
            wrong = np.array(liars, int)[lies.any(axis=(1, 2))]
            assert np.array_equal(scheme.decode(answers, everyone), expected)
            assert scheme.find_liars(answers, everyone) == tuple(wrong)


def test_liars_among_few_answers_are_corrected_as_far_as_these_go():
    scheme = FieldLagrangeScheme(2, 9, degree=2, n_liars=3)
    inputs = np.array([5, 11])
    answers = scheme.encode(inputs) ** 2
    answers[[2, 4]] += 1
    for count, is_corrected in [(9, True), (8, True), (7, True), (6, False), (5, False)]:
        responders = range(count)
        if is_corrected:
            assert scheme.decode(answers[:count], responders).tolist() == [25, 121]
            assert scheme.find_liars(answers[:count], responders) == (2, 4)
            continue
        with pytest.raises(NotEnoughRespondersError, match="wrong than can be corrected") as caught:
            scheme.decode(answers[:count], responders)
        assert caught.value.responders == tuple(responders)
    assert scheme.find_liars(answers[[0, 1, 3]], [0, 1, 3]) == ()


@pytest.mark.parametrize("n_wrong", [3, 4, 5])
def test_more_liars_than_can_be_corrected_are_an_error(n_wrong):
    scheme = FieldLagrangeScheme(2, 8, degree=2, n_liars=2)  # 5 answers more than the threshold
    honest = scheme.encode(some_inputs(2, 4)).astype(object) ** 2 % scheme.prime
    rng = np.random.default_rng(n_wrong)
    for liars in itertools.combinations(range(8), n_wrong):
        answers = honest.astype(np.int64)
        answers[list(liars)] = rng.integers(0, scheme.prime, (n_wrong, 4))
        for decode in (scheme.decode, scheme.find_liars):
            with pytest.raises(NotEnoughRespondersError, match="corrects 2 with 5 answers above"):
                decode(answers, range(8))


def test_an_answer_to_spare_shows_a_lie_and_a_degree_too_high():
    scheme = FieldLagrangeScheme(2, 4, degree=2)
    answers = scheme.encode(np.array([3, 4])) ** 2
    assert scheme.decode(answers, range(4)).tolist() == [9, 16]
    for liar in range(4):
        lied = answers.copy()
        lied[liar] += 1
        with pytest.raises(NotEnoughRespondersError, match="corrects 0 with 1 answers above"):
            scheme.decode(lied, range(4))
    with pytest.raises(NotEnoughRespondersError, match="polynomial of degree <= 2"):
        scheme.decode(scheme.encode(np.array([3, 4])) ** 3, range(4))


# Privacy.


@pytest.mark.parametrize(
    ("n_inputs", "n_colluders", "n_workers", "prime"),
    [(1, 1, 3, 5), (2, 1, 4, 7), (1, 2, 4, 7)],
)
def test_coded_inputs_of_colluders_are_uniform_whatever_the_inputs(
    n_inputs, n_colluders, n_workers, prime
):
    # T coded inputs are a fixed function of the T uniform masks. Where it reaches all p^T values
    # from the p^T masks it reaches each once: then they are uniform, for these inputs too.
    scheme = FieldLagrangeScheme(
        n_inputs, n_workers, degree=1, prime=prime, n_colluders=n_colluders, rng=0
    )
    n_draws = 40 * prime**n_colluders
    half = prime // 2
    for inputs in itertools.product(range(-half, half + 1), repeat=n_inputs):
        drawn = scheme.encode(np.repeat(np.array(inputs)[:, None], n_draws, axis=1))
        for colluders in itertools.combinations(range(n_workers), n_colluders):
            seen = set(map(tuple, drawn[list(colluders)].T.tolist()))
            assert len(seen) == prime**n_colluders
        for more in itertools.combinations(range(n_workers), n_colluders + 1):
            seen = set(map(tuple, drawn[list(more)].T.tolist()))
            assert len(seen) == prime**n_colluders  # of p^(T + 1): one more worker learns something


def test_masks_are_new_in_each_encoding_unless_rng_is_given():
    inputs = some_inputs(2, 5)
    scheme = FieldLagrangeScheme(2, 5, degree=1, n_colluders=1)
    first, second = scheme.encode(inputs), scheme.encode(inputs)
    assert not (first == second).any()  # each number is equal once in 2^31
    copied = pickle.loads(pickle.dumps(scheme))
    assert not np.array_equal(copied.encode(inputs), copied.encode(inputs))

    rng = np.random.default_rng(3)
    state = rng.bit_generator.state
    seeded = FieldLagrangeScheme(2, 5, degree=1, n_colluders=1, rng=rng)
    first = seeded.encode(inputs)
    assert rng.bit_generator.state == state
    rng.random()
    assert np.array_equal(seeded.encode(inputs), first)
    assert np.array_equal(pickle.loads(pickle.dumps(seeded)).encode(inputs), first)
    by_number = FieldLagrangeScheme(2, 5, degree=1, n_colluders=1, rng=3)
    assert np.array_equal(by_number.encode(inputs), by_number.encode(inputs))
    other = FieldLagrangeScheme(2, 5, degree=1, n_colluders=1, rng=4)
    assert not (other.encode(inputs) == by_number.encode(inputs)).any()


def test_masks_of_one_encoding_are_independent_and_uniform():
    # What two colluders of two see of many equal inputs: each of the p^2 pairs equally often.
    prime, count = 7, 49_000
    scheme = FieldLagrangeScheme(1, 4, degree=1, prime=prime, n_colluders=2)
    coded_inputs = scheme.encode(np.full((1, count), 3)) % prime
    for first, second in itertools.combinations(range(4), 2):
        seen = np.bincount(coded_inputs[first] * prime + coded_inputs[second], minlength=prime**2)
        chi_square = ((seen - count / prime**2) ** 2).sum() / (count / prime**2)
        assert chi_square < 48 + 7 * np.sqrt(2 * 48)  # once in 1e8


def test_threads_and_copies_of_a_scheme_never_share_masks():
    scheme = FieldLagrangeScheme(1, 3, degree=1, n_colluders=1)
    copies = [scheme] * 20 + [pickle.loads(pickle.dumps(scheme)) for _ in range(20)]
    with ThreadPoolExecutor(8) as pool:
        firsts = list(pool.map(lambda one: tuple(one.encode([[7, 7]])[0]), copies * 2))
    assert len(set(firsts)) == len(firsts)


# Arrays and their kinds.


@pytest.mark.parametrize("trailing", [(), (1,), (4,), (2, 3), (2, 0)])
@pytest.mark.parametrize("n_colluders", [0, 1])
def test_only_the_first_axis_is_touched(trailing, n_colluders):
    scheme = FieldLagrangeScheme(2, 6, degree=2, n_colluders=n_colluders)
    inputs = some_inputs(2, *trailing, prime=2**15)
    coded_inputs = scheme.encode(inputs)
    assert coded_inputs.shape == (6, *trailing)
    outputs = scheme.decode(coded_inputs**2, range(6))
    assert outputs.shape == (2, *trailing)
    assert np.array_equal(outputs, inputs**2)


@pytest.mark.parametrize(
    "dtype",
    ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", ">i4"],
)
def test_every_integer_dtype_is_read_and_int64_comes_back(dtype):
    scheme = FieldLagrangeScheme(3, 5, degree=2)
    inputs = np.array([0, 1, 100 if dtype != np.bool else 1]).astype(dtype)
    coded_inputs = scheme.encode(inputs)
    assert coded_inputs.dtype == np.int64
    outputs = scheme.decode(coded_inputs**2, range(5))
    assert outputs.dtype == np.int64
    assert outputs.tolist() == [int(x) ** 2 for x in inputs]


def test_answers_of_narrow_dtypes_are_read_too():
    scheme = FieldLagrangeScheme(2, 3, degree=1, prime=97)
    answers = (scheme.encode([5, 11]) % 97).astype(np.uint8)
    assert scheme.decode(answers, range(3)).tolist() == [5, 11]


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_tensors_come_back_as_tensors(dtype):
    scheme = FieldLagrangeScheme(2, 6, degree=2, n_liars=1)
    coded_inputs = scheme.encode(torch.tensor([3, 12], dtype=dtype))
    assert coded_inputs.dtype == torch.int64
    answers = coded_inputs**2
    answers[1] = 0
    outputs = scheme.decode(answers, range(6))
    assert torch.equal(outputs, torch.tensor([9, 144]))
    assert scheme.find_liars(answers, range(6)) == (1,)


def test_arguments_are_left_alone_and_may_be_read_only_or_strided():
    scheme = FieldLagrangeScheme(2, 6, degree=2, n_liars=1)
    inputs = some_inputs(2, 8, prime=2**15)
    expected = inputs**2
    inputs.flags.writeable = False
    answers = balanced(scheme.encode(inputs) ** 2, scheme.prime)
    answers[5] += 1
    kept = answers.copy()
    answers.flags.writeable = False
    assert np.array_equal(scheme.decode(answers, range(6)), expected)
    assert np.array_equal(scheme.decode(np.asfortranarray(answers), range(6)), expected)
    assert np.array_equal(scheme.decode(answers[:, ::2], range(6)), expected[:, ::2])
    assert np.array_equal(answers, kept)
    for points in (scheme.alpha, scheme.beta):
        with pytest.raises(ValueError, match="read-only"):
            points[0] = 50


def test_one_scheme_serves_many_threads():
    scheme = FieldLagrangeScheme(3, 11, degree=2, n_colluders=1, n_liars=1)
    sets = list(itertools.combinations(range(11), 9))

    def work(i):
        inputs = some_inputs(3, 10, prime=2**15, seed=i)
        answers = balanced(scheme.encode(inputs) ** 2, scheme.prime)
        answers[i % 11] += i + 1
        responders = sets[i % len(sets)]
        return np.array_equal(scheme.decode(answers[list(responders)], responders), inputs**2)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(200)))


def test_a_scheme_pickles_and_prints_what_could_be_typed():
    scheme = FieldLagrangeScheme(2, 9, degree=2, prime=97, n_colluders=1, n_liars=2)
    written = "FieldLagrangeScheme(2, 9, degree=2, prime=97, n_colluders=1, n_liars=2)"
    assert repr(scheme) == written
    assert repr(eval(written)) == written
    assert isinstance(scheme, Scheme)
    copied = pickle.loads(pickle.dumps(scheme))
    assert repr(copied) == written
    answers = copied.encode([3, 4]) ** 2
    assert scheme.decode(answers, range(9)).tolist() == [9, 16]
    assert (scheme.degree, scheme.prime, scheme.n_colluders, scheme.n_liars) == (2, 97, 1, 2)
    assert (scheme.min_responders, scheme.n_stragglers) == (9, 0)


# The door.


def test_thresholds_are_named_where_the_workers_do_not_meet_them():
    FieldLagrangeScheme(3, 13, degree=2, n_colluders=2, n_liars=2)
    with pytest.raises(ValueError, match=r"2 \* n_liars = 13, got 12; add workers"):
        FieldLagrangeScheme(3, 12, degree=2, n_colluders=2, n_liars=2)


def test_the_prime_must_be_prime_and_hold_the_points():
    assert FieldLagrangeScheme(2, 5, degree=1, prime=5).encode([0, 1]).shape == (5,)
    with pytest.raises(ValueError, match=r"prime must be at least 6, .* got 5"):
        FieldLagrangeScheme(2, 6, degree=1, prime=5)
    assert FieldLagrangeScheme(2, 4, degree=1, prime=7, n_colluders=1).prime == 7
    with pytest.raises(ValueError, match=r"prime must be at least 8, .* got 7"):
        FieldLagrangeScheme(2, 5, degree=1, prime=7, n_colluders=1)
    with pytest.raises(ValueError, match="must be a prime number, got 91"):
        FieldLagrangeScheme(2, 4, degree=1, prime=91)
    with pytest.raises(ValueError, match="at least 3"):
        FieldLagrangeScheme(1, 1, degree=1, prime=2)
    with pytest.raises(ValueError, match=r"at most 2147483647 .* got 2305843009213693951"):
        FieldLagrangeScheme(2, 4, degree=1, prime=2**61 - 1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"degree": 0}, ValueError, "degree must be >= 1"),
        ({"degree": 1.0}, TypeError, "degree must be an integer"),
        ({"degree": 1, "n_colluders": -1}, ValueError, "n_colluders must be >= 0"),
        ({"degree": 1, "n_liars": -1}, ValueError, "n_liars must be >= 0"),
        ({"degree": 1, "n_liars": True}, TypeError, "n_liars must be an integer"),
        ({"degree": 1, "prime": 97.0}, TypeError, "prime must be an integer"),
        ({"degree": 1, "rng": -1}, ValueError, "rng must be >= 0"),
        ({"degree": 1, "rng": "0"}, TypeError, "rng must be an integer"),
    ],
)
def test_bad_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        FieldLagrangeScheme(2, 9, **options)


def test_inputs_out_of_range_are_refused_with_the_range():
    scheme = FieldLagrangeScheme(2, 3, degree=1, prime=97)
    assert scheme.encode([48, -48])[:2].tolist() == [48, -48]
    for bad in (49, -49, 97, INT64.min, INT64.max):
        with pytest.raises(ValueError, match=rf"inputs must lie in \[-48, 48\] .* got {bad}"):
            scheme.encode([0, bad])


@pytest.mark.parametrize("values", [[1.0, 2.0], np.float32([1, 2]), [1j, 2], torch.ones(2)])
def test_floats_are_refused_and_the_way_is_shown(values):
    scheme = FieldLagrangeScheme(2, 2, degree=1)
    with pytest.raises(TypeError, match=r"inputs must hold integers .* LagrangeScheme .*rint"):
        scheme.encode(values)
    with pytest.raises(TypeError, match="coded_outputs must hold integers"):
        scheme.decode(values, [0, 1])


def test_other_wrong_arrays_are_refused():
    scheme = FieldLagrangeScheme(2, 2, degree=1)
    with pytest.raises(ValueError, match="needs 2 rows"):
        scheme.encode([1, 2, 3])
    with pytest.raises(ValueError, match="needs 2 rows"):
        scheme.encode(5)
    with pytest.raises(TypeError, match="inputs must be an array of numbers, but is ragged"):
        scheme.encode([[1, 2], [3]])
    with pytest.raises(TypeError, match="inputs cannot be read as a numpy array"):
        scheme.encode(torch.ones(2, dtype=torch.bfloat16))
    with pytest.raises(TypeError, match="masked array"):
        scheme.encode(np.ma.masked_array([1, 2], mask=[True, False]))
    with pytest.raises(TypeError, match="at most 64 bits, got dtype object; reduce Python's"):
        scheme.encode([2**70, 0])
    with pytest.raises(
        ValueError, match="coded_outputs must fit in int64, got 18446744073709551615"
    ):
        scheme.decode(np.array([2**64 - 1, 0], np.uint64), [0, 1])
    with pytest.raises(ValueError, match="one row for each responder"):
        scheme.decode([1], [0, 1])
    with pytest.raises(ValueError, match="strictly ascending"):
        scheme.decode([1, 2], [1, 0])
    for count in (0, 1):
        with pytest.raises(NotEnoughRespondersError, match=f"{count} of 2 workers answered"):
            scheme.decode(np.zeros(count, int), range(count))
        with pytest.raises(NotEnoughRespondersError, match=f"{count} of 2 workers answered"):
            scheme.find_liars(np.zeros(count, int), range(count))


# With the rest of the package.


@pytest.mark.parametrize(
    ("name", "threshold"), [("field-lagrange", 5), ("field-lagrange-private", 7)]
)
def test_the_variants_serve_polynomials_only(name, threshold):
    variant = VARIANTS[name]
    assert variant.numbers == "integer"
    assert variant.make(Setting(3, 9, 1, degree=2)).min_responders == threshold
    assert variant.make(Setting(3, 9, 1, degree=2, n_liars=1)).min_responders == threshold + 2
    with pytest.raises(ValueError, match="polynomial of known degree"):
        variant.make(Setting(3, 9, 1))
    with pytest.raises(ValueError, match="n_workers must be >= "):
        variant.make(Setting(3, 4, 1, degree=2))


def test_coded_map_gives_integers_and_survives_a_liar():
    scheme = FieldLagrangeScheme(3, 11, degree=2, n_colluders=1, n_liars=1, rng=0)
    inputs = some_inputs(3, 4, prime=2**15)
    lied_about = scheme.encode(inputs)[6]

    def lying_square(x):
        assert x.dtype == np.int64
        return np.zeros(4, int) if np.array_equal(x, lied_about) else x**2

    with ThreadPoolExecutor(4) as pool:
        result = coded_map(lying_square, inputs, scheme, pool, wait_for=11)
    assert result.outputs.dtype == np.int64
    assert np.array_equal(result.outputs, inputs**2)
    assert result.exact.all()


def test_coded_map_keeps_tensors_and_counts_float_answers_as_failures():
    scheme = FieldLagrangeScheme(2, 4, degree=2)
    inputs = torch.tensor([3, 4])

    def square(x):
        return x.double() if x == 3 else x**2

    with ThreadPoolExecutor(1) as pool:  # worker 0 answers first
        result = coded_map(square, inputs, scheme, pool, wait_for=3)
    assert torch.equal(result.outputs, inputs**2)
    assert result.stragglers.tolist() == [0]
    assert "must hold integers" in str(result.failures[0])


def test_processes_cube_integers():
    scheme = FieldLagrangeScheme(2, 6, degree=3, n_colluders=0, n_liars=1)
    cube = partial(power, exponent=3, prime=scheme.prime)
    with LocalWorkers(2) as workers:
        result = coded_map(
            cube, np.array([[1000, -1000], [2, -3]]), scheme, workers.executors, timeout=60.0
        )
    assert result.complete
    assert result.outputs.tolist() == [[10**9, -(10**9)], [8, -27]]


def test_a_simulation_has_no_error():
    scheme = FieldLagrangeScheme(3, 9, degree=2, n_colluders=1)
    inputs = some_inputs(3, 4, prime=2**15)
    result = simulate(np.square, inputs, scheme, stragglers=2, repeats=5)
    assert np.array_equal(result.outputs, np.broadcast_to(inputs**2, (5, 3, 4)))
    assert result.mean_l2.tolist() == [0.0] * 5
