"""Analog Lagrange codes: exact behind masks, up to what the masks' size costs."""

import itertools
import math
import pickle
import re
import warnings
from concurrent.futures import ThreadPoolExecutor

import mpmath
import numpy as np
import pytest
import torch

from coded import AnalogLagrangeScheme, NotEnoughRespondersError, coded_map
from coded.algebra.linear_decoder import least_norm_decoder

EPS = np.finfo(np.float64).eps
GOLDEN_ERRORS = {1.0: 6e-16, 1e2: 7e-12, 1e4: 8e-8, 1e6: 8e-4}  # K = 2, T = 1, N = 8, f = x^2


def masked(n_inputs, n_workers, **options):
    options = {"degree": 2, "n_colluders": 1, "mask_std": 10.0} | options
    return AnalogLagrangeScheme(n_inputs, n_workers, **options)


def lagrange(nodes, values, point):
    """The interpolating polynomial's value, at 50 digits."""
    total = mpmath.mpc(0)
    for j, node in enumerate(nodes):
        others = (other for i, other in enumerate(nodes) if i != j)
        total += values[j] * mpmath.fprod((point - other) / (node - other) for other in others)
    return total


def exact_points(n_inputs, n_colluders, n_workers):
    """Points of inputs, masks and workers, written down again at 50 digits."""
    count = n_inputs + n_colluders
    circle = [mpmath.mpf(4) ** (mpmath.mpf(-1) / count) * mpmath.unitroots(count)[j] for j in
              range(count)]  # fmt: skip
    masks = {t * count // n_colluders for t in range(n_colluders)}
    inputs = [point for j, point in enumerate(circle) if j not in masks]
    return inputs, [circle[j] for j in sorted(masks)], mpmath.unitroots(n_workers)


@pytest.mark.parametrize(
    ("n_inputs", "n_colluders", "n_workers", "degree"),
    [(1, 0, 3, 2), (2, 0, 5, 2), (3, 0, 8, 3), (2, 1, 8, 2), (3, 2, 7, 1), (1, 2, 8, 3)],
)
def test_every_set_decodes_as_fifty_digits_do(n_inputs, n_colluders, n_workers, degree):
    options = {"mask_std": 3.0, "rng": 5} if n_colluders else {}
    scheme = AnalogLagrangeScheme(
        n_inputs, n_workers, degree=degree, n_colluders=n_colluders, **options
    )
    rng = np.random.default_rng(degree)
    inputs = rng.normal(size=n_inputs) + 1j * rng.normal(size=n_inputs)
    threshold = (n_inputs + n_colluders - 1) * degree + 1
    assert scheme.min_responders == threshold
    with mpmath.workdps(50):
        alpha, mask_points, beta = exact_points(n_inputs, n_colluders, n_workers)
        np.testing.assert_allclose(scheme.alpha, np.array(alpha, complex), atol=2 * EPS)
        np.testing.assert_allclose(scheme.beta, np.array(beta, complex), atol=4 * EPS)
        nodes = alpha + mask_points
        for unit in range(n_inputs + n_colluders):
            values = [mpmath.mpf(j == unit) for j in range(len(nodes))]
            column = np.array([lagrange(nodes, values, point) for point in beta], complex)
            matrix = np.hstack([scheme.encoding_matrix, scheme.mask_matrix])
            np.testing.assert_allclose(matrix[:, unit], column, rtol=0, atol=50 * EPS)
        coded_inputs = scheme.encode(inputs)
        coded_outputs = coded_inputs**degree + (1 - 2j) * coded_inputs
        for responders in itertools.chain.from_iterable(
            itertools.combinations(range(n_workers), count)
            for count in range(threshold, n_workers + 1)
        ):
            who = list(responders)
            # Any R of the answers give the exact outputs of these coded inputs.
            few = who[:threshold]
            answers = [mpmath.mpc(coded_inputs[n]) for n in few]
            answers = [value**degree + (1 - 2j) * value for value in answers]
            expected = [lagrange([beta[n] for n in few], answers, point) for point in alpha]
            outputs = scheme.decode(coded_outputs[who], responders)
            largest = np.abs(coded_outputs).max()
            # The few exact ones amplify the encoder's rounding too, by their own amplification.
            amplified = scheme.amplification(responders) + scheme.amplification(few)
            tolerance = 50 * (degree + 1) * EPS * amplified * largest
            np.testing.assert_allclose(outputs, np.array(expected, complex), rtol=0, atol=tolerance)
            true = inputs**degree + (1 - 2j) * inputs
            np.testing.assert_allclose(outputs, true, rtol=0, atol=tolerance)
            assert tolerance < 1e-8


def test_the_decoder_is_the_shortest_of_all_exact_ones():
    scheme, who = AnalogLagrangeScheme(3, 9, degree=2), [0, 1, 3, 4, 5, 7, 8]
    matrix = scheme.decoding_matrix(who)
    powers = scheme.beta[who, None] ** np.arange(5)
    np.testing.assert_allclose(
        matrix @ powers, scheme.alpha[:, None] ** np.arange(5), rtol=0, atol=50 * EPS
    )
    # Orthogonal to all matrices that may be added without harm: the left kernel of `powers`.
    kernel = np.linalg.svd(powers.T)[2][5:]
    assert np.abs(matrix @ kernel.T).max() < 100 * EPS


@pytest.mark.parametrize("n_workers", [1, 2, 5, 8, 12, 60, 210])
def test_no_worker_comes_near_a_point_of_an_input(n_workers):
    for count in range(1, min(n_workers, 40) + 1):
        scheme = AnalogLagrangeScheme(count, n_workers, degree=1)
        gaps = np.abs(scheme.beta[:, None] - scheme.alpha)
        assert gaps.min() >= 1.0 - 4.0 ** (-1.0 / count) - 4 * EPS


def median_of_worst_errors(decoders, scheme_of):
    """Over seeds, the worst error of the 56 sets of 5 answers, for f = x^2."""
    inputs, worst = np.array([1.0, -0.5]), []
    for seed in range(9):
        coded_outputs = scheme_of(seed, inputs) ** 2
        errors = [decoder @ coded_outputs[list(who)] - inputs**2 for who, decoder in decoders]
        worst.append(np.abs(errors).max())
    return np.median(worst)


@pytest.mark.parametrize("mask_std", GOLDEN_ERRORS)
def test_errors_grow_with_the_square_of_the_masks_for_squares(mask_std):
    sets = list(itertools.combinations(range(8), 5))
    scheme = masked(2, 8, mask_std=mask_std)
    published = np.exp(2j * np.pi * (np.arange(3) + 0.1) / 3)  # the golden errors' own points
    powers = scheme.beta[:, None] ** np.arange(5)
    wanted = published[:2, None] ** np.arange(5)
    encoder = powers[:, :3] @ np.linalg.inv(published[:, None] ** np.arange(3))

    def encode_as_published(seed, inputs):
        rng = np.random.default_rng(seed)
        mask = mask_std * (rng.normal() + 1j * rng.normal()) / math.sqrt(2.0)
        return encoder @ np.append(inputs, mask)

    golden = GOLDEN_ERRORS[mask_std]
    decoders = [(who, least_norm_decoder(powers[list(who)], wanted)) for who in sets]
    assert golden / 10 < median_of_worst_errors(decoders, encode_as_published) < 10 * golden
    ours = [(who, scheme.decoding_matrix(who)) for who in sets]
    found = median_of_worst_errors(
        ours, lambda seed, inputs: masked(2, 8, mask_std=mask_std, rng=seed).encode(inputs)
    )
    # Masks are larger in our coded inputs, which is why they hide 75 times more.
    assert golden / 10 < found < 30 * golden
    leaked = max(scheme.leakage([n], power=1.0) for n in range(8))
    assert leaked < {1.0: 10.1, 1e2: 0.146, 1e4: 1.5e-5, 1e6: 1.5e-9}[mask_std] / 2


def test_at_equal_leakage_errors_are_smaller_than_on_the_unit_circle():
    # K = 4, T = 2, N = 20, degree 3: sigma such that the worst pair learns 0.01 bits.
    inputs = np.array([1.0, -0.5, 0.3, -0.8])
    pairs = list(itertools.combinations(range(20), 2))
    trial = masked(4, 20, degree=3, n_colluders=2, mask_std=1e3)
    leaked = max(trial.leakage(pair, power=1.0) for pair in pairs)
    mask_std = 1e3 * math.sqrt(leaked / 0.01)
    scheme = masked(4, 20, degree=3, n_colluders=2, mask_std=mask_std, rng=0)
    assert max(scheme.leakage(pair, power=1.0) for pair in pairs) == pytest.approx(0.01, rel=0.01)
    outputs = scheme.decode(scheme.encode(inputs) ** 3, range(20))
    assert np.abs(outputs - inputs**3).max() < 1e-6  # on the unit circle about 1e-4


@pytest.mark.parametrize(("n_inputs", "n_colluders", "n_workers"), [(2, 1, 8), (4, 2, 20)])
def test_leakage_is_that_of_the_formula(n_inputs, n_colluders, n_workers):
    scheme = masked(n_inputs, n_workers, degree=1, n_colluders=n_colluders, mask_std=7.0)
    seen, hidden = scheme.encoding_matrix, scheme.mask_matrix
    assert (seen.shape, hidden.shape) == ((n_workers, n_inputs), (n_workers, n_colluders))
    for n in range(n_workers):
        ratio = 2.5 * (np.abs(seen[n]) ** 2).sum() / (49.0 * (np.abs(hidden[n]) ** 2).sum())
        assert scheme.leakage([n], power=2.5) == pytest.approx(math.log2(1 + ratio), rel=1e-12)
    for who in itertools.combinations(range(n_workers), n_colluders):
        together = scheme.leakage(who, power=2.5)
        assert together >= max(scheme.leakage([n], power=2.5) for n in who) - 1e-12
        assert math.isfinite(together)
    assert scheme.leakage(range(n_colluders + 1), power=2.5) == math.inf
    assert scheme.leakage([], power=1.0) == 0.0
    open_scheme = AnalogLagrangeScheme(n_inputs, n_workers, degree=1)
    assert open_scheme.leakage([3], power=1.0) == math.inf
    assert open_scheme.leakage([], power=1.0) == 0.0


def test_coded_inputs_are_as_large_as_masks_make_them():
    scheme = masked(2, 8, mask_std=100.0)
    coded_inputs = scheme.encode(np.zeros((2, 20_000)))
    expected = 100.0 * np.linalg.norm(scheme.mask_matrix, axis=1)
    np.testing.assert_allclose(
        np.sqrt((np.abs(coded_inputs) ** 2).mean(axis=1)), expected, rtol=0.05
    )


def test_masks_are_fresh_unless_seeded():
    inputs = np.ones((2, 3))
    scheme = masked(2, 8)
    assert not np.array_equal(scheme.encode(inputs), scheme.encode(inputs))
    copy = pickle.loads(pickle.dumps(scheme))
    assert not np.array_equal(copy.encode(inputs), scheme.encode(inputs))
    seeded, same, other = (masked(2, 8, rng=rng) for rng in (3, 3, 4))
    np.testing.assert_array_equal(seeded.encode(inputs), same.encode(inputs))
    assert not np.array_equal(seeded.encode(inputs), other.encode(inputs))
    generator = np.random.default_rng(0)
    drawn = masked(2, 8, rng=generator)
    assert generator.random() == np.random.default_rng(0).random()
    np.testing.assert_array_equal(drawn.encode(inputs), drawn.encode(inputs))
    again = eval(repr(drawn), {"AnalogLagrangeScheme": AnalogLagrangeScheme})
    np.testing.assert_array_equal(drawn.encode(inputs), again.encode(inputs))


def test_masks_of_one_encoding_are_independent():
    scheme = masked(2, 9, n_colluders=3, mask_std=2.0)
    seen = scheme.encode(np.zeros((2, 20_000)))
    covariance = seen @ seen.conj().T / 20_000
    expected = 4.0 * scheme.mask_matrix @ scheme.mask_matrix.conj().T
    np.testing.assert_allclose(covariance, expected, rtol=0, atol=0.08 * np.abs(expected).max())


def test_threads_and_copies_of_a_scheme_never_share_masks():
    scheme = masked(1, 8)
    copies = [scheme] * 20 + [pickle.loads(pickle.dumps(scheme)) for _ in range(20)]
    with ThreadPoolExecutor(8) as pool:
        firsts = list(pool.map(lambda one: tuple(one.encode([[7.0, 7.0]])[0]), copies * 2))
    assert len(set(firsts)) == len(firsts)
    assert all(one != other for one, other in firsts)


def test_unstable_sets_are_refused_with_their_amplification():
    scheme = AnalogLagrangeScheme(10, 100, degree=4)
    together = range(scheme.min_responders)
    assert scheme.can_decode(range(100))
    assert scheme.amplification(range(100)) < 2
    assert not scheme.can_decode(together)
    assert not scheme.exact_mask(together).any()
    with pytest.raises(NotEnoughRespondersError, match=r"at most 1e\+08, and these do by (inf|\d)"):
        scheme.decode(np.zeros(len(together)), together)
    with pytest.raises(NotEnoughRespondersError, match=r"5 of 100 workers .* needs 37 answers"):
        scheme.decode(np.zeros(5), range(5))
    assert scheme.amplification(range(5)) == math.inf


@pytest.mark.parametrize("n_lost", [0, 10, 30, 50, 63])
def test_no_accepted_set_errs_by_more_than_its_amplification_allows(n_lost):
    scheme, rng = AnalogLagrangeScheme(10, 100, degree=4), np.random.default_rng(n_lost)
    inputs = rng.normal(size=(10, 6))
    coded_outputs = scheme.encode(inputs) ** 4
    for n_together in (1, 5):
        for _ in range(10):
            starts = rng.permutation(100)[:n_lost]
            runs = [(start + i) % 100 for start in starts for i in range(n_together)]
            who = np.setdiff1d(np.arange(100), runs[:n_lost])
            if not scheme.can_decode(who):
                assert scheme.amplification(who) > 1e8
                continue
            error = np.abs(scheme.decode(coded_outputs[who], who) - inputs**4).max()
            allowed = 20 * EPS * scheme.amplification(who) * np.abs(coded_outputs).max()
            assert error <= allowed


def test_masks_that_eat_all_digits_are_told():
    inputs, everyone = np.array([1.0, -0.5]), range(8)
    for mask_std in 10.0 ** np.arange(0, 13):
        scheme = masked(2, 8, mask_std=mask_std, rng=2)
        answers = scheme.encode(inputs) ** 2
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            error = np.abs(scheme.decode(answers, everyone) - inputs**2).max()
        assert error < 1.0 or caught
        assert mask_std > 1e5 or not caught
        for warning in caught:
            assert warning.category is RuntimeWarning
            assert warning.filename == __file__
            assert re.search(
                r"rounding errors up to about \d.* lower mask_std", str(warning.message)
            )
    assert caught


def test_the_warning_begins_where_rounding_is_a_tenth_of_the_outputs():
    scheme, enough = masked(2, 8), range(5)
    matrix = scheme.decoding_matrix(enough)
    large = np.linalg.svd(matrix)[2][-1].conj()  # decodes to 0
    large /= np.abs(large).max()
    amplified = np.abs(matrix).sum(axis=1).max()
    for ratio, told in ((0.09, False), (0.11, True)):
        output = 3 * EPS * amplified / ratio
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            scheme.decode(large + output, enough)
        assert bool(caught) == told, ratio


def test_real_numbers_of_any_dtype_come_back_complex():
    scheme = masked(2, 8, rng=0)
    expected = scheme.encode(np.array([[1.0, 2.0], [3.0, 4.0]]))
    for inputs in (
        [[1, 2], [3, 4]],
        np.array([[1, 2], [3, 4]], dtype=np.int32),
        np.array([[1, 2], [3, 4]], dtype=np.float32),
        np.array([[1, 2], [3, 4]], dtype=np.complex64),
        np.array([[1, 2], [3, 4]], dtype=">f8"),
    ):
        found = scheme.encode(inputs)
        assert found.dtype == np.complex128
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(scheme.encode([True, False]), scheme.encode([1.0, 0.0]))
    np.testing.assert_allclose(scheme.decode(expected**2, range(8)).imag, 0.0, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64, torch.complex128])
def test_tensors_come_back_as_complex_tensors(dtype):
    scheme, inputs = masked(2, 8, rng=0), torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=dtype)
    encoded = scheme.encode(inputs.conj())  # lazily conjugated where complex
    assert encoded.dtype == torch.complex128
    decoded = scheme.decode(encoded**2, range(8))
    np.testing.assert_allclose(decoded.numpy(), inputs.numpy() ** 2, rtol=0, atol=1e-10)


def test_the_runtime_keeps_complex_numbers():
    from concurrent.futures import ThreadPoolExecutor

    inputs = np.array([[1.0, 2.0], [3.0, -4.0]])
    with ThreadPoolExecutor(4) as pool:
        result = coded_map(np.square, inputs, masked(2, 8), pool, timeout=60)
    assert result.outputs.dtype == np.complex128
    assert result.exact.all()
    np.testing.assert_allclose(result.outputs.real, inputs**2, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"degree": 0}, ValueError, "degree must be >= 1, got 0"),
        ({"degree": 2.0}, TypeError, "degree must be an integer"),
        ({"n_colluders": -1}, ValueError, "n_colluders must be >= 0, got -1"),
        ({"n_colluders": 3}, ValueError, r"n_colluders - 1\) \* degree \+ 1 = 9, got 8; add work"),
        ({"mask_std": None}, ValueError, "mask_std must be given with n_colluders=1: leakage"),
        ({"n_colluders": 0}, ValueError, "mask_std = 10.0 has no use with n_colluders=0"),
        ({"mask_std": 0.0}, ValueError, r"mask_std must lie in \(0, inf\), got 0"),
        ({"mask_std": -1}, ValueError, r"mask_std must lie in \(0, inf\), got -1"),
        ({"mask_std": math.inf}, ValueError, r"mask_std must lie in \(0, inf\), got inf"),
        ({"mask_std": math.nan}, ValueError, r"mask_std must lie in \(0, inf\), got nan"),
        ({"mask_std": "1"}, TypeError, "mask_std must be a number, got '1'"),
        ({"mask_std": True}, TypeError, "mask_std must be a number, got True"),
        ({"rng": -1}, ValueError, "rng must be >= 0, got -1"),
        ({"rng": "seed"}, TypeError, "rng must be an integer"),
    ],
)
def test_bad_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        masked(2, 8, **options)


def test_bad_numbers_and_workers_are_refused():
    scheme = masked(2, 8)
    for inputs, message in [
        (["a", "b"], "inputs must hold real or complex numbers, got dtype <U1"),
        (np.ones(2, np.clongdouble), "inputs must hold real or complex numbers, got dtype c"),
        (np.ma.masked_array([1.0, 2.0], [True, False]), "inputs is a masked array"),
    ]:
        with pytest.raises(TypeError, match=message):
            scheme.encode(inputs)
    with pytest.raises(ValueError, match="inputs overflow"):
        scheme.encode([1.7e308, 1.7e308])
    for power in (0.0, -1.0, math.inf):
        with pytest.raises(ValueError, match="power must lie in"):
            scheme.leakage([0], power=power)
    with pytest.raises(ValueError, match=r"responders must lie in \[0, n_workers\)"):
        scheme.leakage([8], power=1.0)
