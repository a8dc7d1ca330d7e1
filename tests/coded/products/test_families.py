"""Values of papers, and of programs of their authors, for single codes."""

import itertools

import numpy as np
import pytest

from coded import (
    CirculantMatmulCode,
    KhatriRaoMatmulCode,
    MDSMatmulCode,
    OrthoMatDotMatmulCode,
    OrthoPolyMatmulCode,
    PolynomialMatmulCode,
    RotationMatmulCode,
)
from coded.algebra.linear_decoder import amplification
from coded.algebra.mds_generator import mds_generator
from coded.products.khatri_rao import worst_amplification


def subsets(n, count):
    return itertools.combinations(range(n), count)


@pytest.mark.parametrize(("m", "n", "n_workers"), [(2, 2, 7), (3, 2, 8), (2, 4, 10)])
def test_a_rotation_is_conditioned_as_the_unit_circle(m, n, n_workers):
    """The real survivor matrix is similar, by unitary maps, to diag(V, conj V)."""
    code = RotationMatmulCode(m, n, n_workers)
    turns = np.outer(np.arange(n_workers), np.arange(m * n))
    circle = np.exp(2j * np.pi / n_workers * turns)
    for who in subsets(n_workers, m * n):
        assert code.condition(who) == pytest.approx(np.linalg.cond(circle[list(who)]), rel=1e-6)


def test_the_worst_condition_of_a_small_rotation_is_the_known_one():
    """Ramamoorthy and Tang's script, n = 11, k_A = 4, k_B = 2: 29.21 worst, 8.10 mean."""
    code = RotationMatmulCode(4, 2, 11)
    found = [code.condition(who) for who in subsets(11, 8)]
    assert max(found) == pytest.approx(29.21, abs=0.01)
    assert np.mean(found) == pytest.approx(8.10, abs=0.01)


@pytest.mark.parametrize(("m", "n", "spare"), [(2, 2, 2), (3, 2, 3), (3, 3, 3)])
def test_minors_give_the_worst_of_all_sets(m, n, spare):
    code = KhatriRaoMatmulCode(m, n, m * n + spare)
    worst = max(code.amplification(who) for who in subsets(code.n_workers, m * n))
    assert worst_amplification(code.generator[m * n :, 0]) == pytest.approx(worst, rel=1e-9)


@pytest.mark.parametrize(
    ("setting", "most"), [((3, 3, 12), 460.0), ((4, 4, 18), 320.0), ((4, 4, 20), 1.7e4)], ids=str
)
def test_the_chosen_seed_is_a_good_one(setting, most):
    m, n, n_workers = setting
    code = KhatriRaoMatmulCode(*setting)
    chosen = worst_amplification(code.generator[m * n :, 0])
    assert chosen <= most
    rng = np.random.default_rng(0)
    others = []
    for _ in range(5):
        left, right = (
            rng.normal(size=(n_workers - m * n, m)),
            rng.normal(size=(n_workers - m * n, n)),
        )
        left /= np.linalg.norm(left, axis=1, keepdims=True)
        right /= np.linalg.norm(right, axis=1, keepdims=True)
        others.append(worst_amplification(np.einsum("sx,sy->sxy", left, right).reshape(-1, m * n)))
    assert chosen < np.median(others)


def test_a_singular_mixture_is_the_worst():
    assert worst_amplification(np.array([[1.0, 0.0]])) == np.inf


def test_plain_workers_answer_blocks_bit_for_bit(rng):
    for code in (KhatriRaoMatmulCode(2, 3, 8), MDSMatmulCode(6, 8)):
        a, b = rng.normal(size=(12, 7)), rng.normal(size=(7, 9))
        job = code.prepare(a, b)
        answers = [x @ y for x, y in job.payloads]
        product = job.decode(answers[:6], np.arange(6))
        m, _, n = code.grid
        for k in range(6):
            i, j = divmod(k, n)
            block = product[i * 12 // m : (i + 1) * 12 // m, j * 9 // n : (j + 1) * 9 // n]
            np.testing.assert_array_equal(block, answers[k])


def test_rows_alone_are_coded_by_the_mds_generator():
    code = MDSMatmulCode(5, 8)
    np.testing.assert_array_equal(code.generator[:, 0], mds_generator(5, 8))
    lost = np.linalg.inv(mds_generator(5, 8)[3:])
    assert code.amplification(range(3, 8)) == pytest.approx(amplification(lost))
    assert code.load == pytest.approx(1 / 5)
    assert KhatriRaoMatmulCode(2, 3, 8).load == pytest.approx(1 / 6)
    assert RotationMatmulCode(2, 3, 8).load == pytest.approx(1 / 6)


def test_the_generator_of_given_mixtures_has_the_known_minors():
    """Subramaniam, Heidarzadeh and Narayanan's construction with small whole numbers."""

    class Given(KhatriRaoMatmulCode):
        def _encoders(self):
            left = np.array([[1, 0], [1, 1], [1, 2], [1, -1], [2, 1]], float)
            right = np.array([[1, 0], [1, 1], [1, -1], [1, 3], [3, 1]], float)
            return left[:, None], right[:, None]

    rows = Given(2, 2, 5).generator[:, 0]
    minors = [round(np.linalg.det(rows[list(who)])) for who in subsets(5, 4)]
    assert minors == [-22, -2, 10, -48, 72]


@pytest.mark.parametrize(
    ("m", "n", "n_workers", "worst"), [(2, 1, 5, 3.0776835372), (2, 2, 7, 8.9)]
)
def test_the_worst_condition_of_all_sets(m, n, n_workers, worst):
    code = RotationMatmulCode(m, n, n_workers)
    found = max(code.condition(who) for who in subsets(n_workers, m * n))
    assert found == pytest.approx(worst, rel=0.006)


@pytest.mark.parametrize(("p", "m", "n"), [(1, 2, 2), (2, 2, 1), (2, 2, 2), (4, 1, 1), (2, 1, 2)])
def test_entangled_polynomials_need_as_many_answers_as_the_theorem_says(p, m, n, rng):
    """Yu, Maddah-Ali and Avestimehr, theorem 1: p m n + p - 1; points at x and -x may need less."""
    needed = p * m * n + p - 1
    code = PolynomialMatmulCode(m, n, needed + 2, p=p)
    assert code.min_responders == needed
    a, b = rng.normal(size=(8, 8)), rng.normal(size=(8, 8))
    job = code.prepare(a, b)
    answers = [x @ y for x, y in job.payloads]
    for who in subsets(needed + 2, needed):
        product = job.decode([answers[i] for i in who], np.array(who))
        np.testing.assert_allclose(product, a @ b, atol=1e-13 * code.amplification(who) * 100)
    fewer = [code.can_decode(who) for who in subsets(needed + 2, needed - 1)]
    assert not any(fewer) if p == 1 else not all(fewer)


def test_polynomial_codes_give_the_known_product():
    a = np.arange(1.0, 17.0).reshape(4, 4)
    b = np.array([[1, 0, 2, 1], [0, 1, 1, 3], [2, 1, 0, 1], [1, 1, 1, 0.0]])
    job = PolynomialMatmulCode(2, 2, 5).prepare(a.T, b)
    product = job.decode([x @ y for x, y in job.payloads[1:]], np.arange(1, 5))
    expected = [[32, 27, 20, 25], [36, 30, 24, 30], [40, 33, 28, 35], [44, 36, 32, 40]]
    np.testing.assert_allclose(product, expected, atol=1e-11)


def test_matdot_gives_the_known_product():
    """Dutta et al., construction 1, m = 2, at -1, 0 and 1: ``(y(1) - y(-1)) / 2``."""

    class AtIntegers(PolynomialMatmulCode):
        def _encoders(self):
            powers = np.array([-1.0, 0.0, 1.0])[:, None] ** np.arange(2)
            return powers[:, None], powers[:, None, ::-1].copy()

    a = np.arange(1.0, 17.0).reshape(4, 4)
    b = np.array([[1, 0, 2, 1], [0, 1, 1, 3], [2, 1, 0, 1], [1, 1, 1, 0.0]])
    code = AtIntegers(1, 1, 3, p=2)
    job = code.prepare(a, b)
    product = job.decode([x @ y for x, y in job.payloads], np.arange(3))
    expected = [[11, 9, 8, 10], [27, 21, 24, 30], [43, 33, 40, 50], [59, 45, 56, 70]]
    np.testing.assert_allclose(product, expected, atol=1e-12)
    np.testing.assert_allclose(code.decoder((0, 1, 2)), [[-0.5, 0.0, 0.5]], atol=1e-14)


def test_matdot_is_the_entangled_code_of_the_inner_dimension():
    """Powers i for A's blocks and p - 1 - i for B's, at the roots of the N-th Chebyshev one."""
    code = PolynomialMatmulCode(1, 1, 8, p=3)
    points = -np.cos((2 * np.arange(8) + 1) * np.pi / 16)[:, None]
    left, right = code.encoding_matrices
    np.testing.assert_allclose(left[:, 0], points ** [0, 1, 2], atol=1e-14)
    np.testing.assert_allclose(right[:, 0], points ** [2, 1, 0], atol=1e-14)
    assert code.min_responders == 5


@pytest.mark.parametrize(("k", "n_workers"), [(2, 5), (3, 5), (4, 7)])
def test_shifts_are_conditioned_as_the_unit_circle(k, n_workers):
    """Ramamoorthy and Tang, section IV: eigenvalue blocks are Vandermonde, 1 is left out.

    Their worst condition for k = 2, n = q = 5 is 3.0776835372.
    """
    code = CirculantMatmulCode(k, n_workers)
    q = n_workers  # a prime
    balancing = np.vstack([np.eye(q - 1), -np.ones(q - 1)])
    alone = np.kron(np.eye(k), np.linalg.pinv(balancing))
    roots = np.exp(2j * np.pi / q * np.arange(1, q))
    worst = 0.0
    for who in subsets(n_workers, k):
        sizes = np.linalg.svd(code.generator[list(who)].reshape(k * q, -1) @ alone)[1]
        circle = [root ** np.outer(who, np.arange(k)) for root in roots]
        found = np.concatenate([np.linalg.svd(block)[1] for block in circle])
        np.testing.assert_allclose(sizes[: k * (q - 1)], np.sort(found)[::-1], atol=1e-10)
        worst = max(worst, *(np.linalg.cond(block) for block in circle))
    if (k, n_workers) == (2, 5):
        assert worst == pytest.approx(3.0776835372, abs=1e-9)


def test_shifts_add_and_subtract_and_take_the_next_prime():
    code = CirculantMatmulCode(4, 8)
    left, _ = code.encoding_matrices
    assert set(left.ravel().tolist()) == {-1.0, 0.0, 1.0}
    plain = np.vstack([np.eye(10), -np.ones(10)])
    for n, j in itertools.product(range(8), range(4)):  # block j by n j places
        np.testing.assert_array_equal(
            left[n, :, 10 * j : 10 * j + 10], np.roll(plain, n * j, axis=0)
        )
    assert code.grid == (4 * 10, 1, 1)
    assert left.shape == (8, 11, 40)
    assert code.load == pytest.approx(11 / 40)


def test_ortho_matdot_decodes_by_the_known_weights():
    """Fahim and Cadambe, construction 1, m = 2, N = 6; points descend there, and ascend here."""
    code = OrthoMatDotMatmulCode(2, 6)
    weights = code.decoder((0, 3, 5))[0]
    np.testing.assert_allclose(weights, [0.6339745962, 1.0, 0.3660254038], atol=1e-9)


@pytest.mark.parametrize(
    ("m", "n", "n_workers", "worst"), [(2, 5, 12, 328.246), (5, 3, 18, 25058.4)]
)
def test_ortho_poly_is_conditioned_as_in_its_authors_program(m, n, n_workers, worst):
    code = OrthoPolyMatmulCode(m, n, n_workers)
    who = [(2, 3, 4, 5, 6, 7, 8, 9, 10, 11), tuple(range(3, 18))][n_workers == 18]
    mirrored = tuple(sorted(n_workers - 1 - i for i in who))
    assert code.condition(mirrored) == pytest.approx(worst, rel=1e-3)


def test_monomials_lose_the_digits_of_float32():
    code = PolynomialMatmulCode(4, 4, 20)
    assert not code.can_decode(range(4, 20), dtype=np.float32)
    assert OrthoPolyMatmulCode(4, 4, 20).amplification(range(4, 20)) < code.amplification(
        range(4, 20)
    )
