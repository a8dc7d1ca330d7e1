import itertools

import galois
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coded.algebra.prime_field import (
    LARGEST_PRIME,
    balanced,
    inverse,
    is_prime,
    lagrange_matrix,
    power,
    product,
    random_residues,
    rank,
    read_prime,
    reduced,
    solve,
    vandermonde,
)

INT64 = np.iinfo(np.int64)
PRIMES = [2, 3, 5, 97, 65537, 46337, 2**31 - 19, LARGEST_PRIME]
every_prime = pytest.mark.parametrize("prime", PRIMES)


def field(prime):
    """The oracle's field, in Python integers, which needs no compilation."""
    return galois.GF(prime, compile="python-calculate")


def exact_product(left, right, prime):
    return ((left.astype(object) @ right.astype(object)) % prime).astype(np.int64)


def random_numbers(shape, prime, seed=0):
    return np.random.default_rng(seed).integers(1 - prime, prime, shape)


# Primes.


def test_primes_are_those_of_the_sieve():
    sieve = np.ones(20_000, bool)
    sieve[:2] = False
    for n in range(2, 142):
        sieve[n * n :: n] = False
    assert [n for n in range(20_000) if is_prime(n)] == np.flatnonzero(sieve).tolist()


# Carmichael numbers; strong pseudoprimes to the first 1, 2, ..., 9 and 12 bases (OEIS A014233).
@pytest.mark.parametrize(
    "composite",
    [
        561,
        41041,
        825265,
        2047,
        1373653,
        25326001,
        3215031751,
        2152302898747,
        3474749660383,
        341550071728321,
        3825123056546413051,
        318665857834031151167461,
        2**61 + 1,
        (2**31 - 1) ** 2,
    ],
)
def test_pseudoprimes_are_found_out(composite):
    assert not is_prime(composite)


@pytest.mark.parametrize("exponent", [2, 3, 5, 7, 13, 17, 19, 31, 61])
def test_mersenne_primes_are_prime(exponent):
    assert is_prime(2**exponent - 1)


def test_a_prime_is_read_and_the_largest_one_named_in_errors():
    assert read_prime(np.int32(97), "prime") == 97
    assert read_prime(LARGEST_PRIME, "prime", at_least=LARGEST_PRIME) == 2147483647
    with pytest.raises(ValueError, match=r"prime must be a prime number, got 91; .* 2147483647"):
        read_prime(91, "prime")
    with pytest.raises(ValueError, match=r"at most 2147483647 .* got 2147483659"):
        read_prime(2147483659, "prime")  # the next prime
    with pytest.raises(ValueError, match=r"at least 100, .* got 97; .* 2147483647"):
        read_prime(97, "prime", at_least=100)
    with pytest.raises(TypeError, match="prime must be an integer"):
        read_prime(97.0, "prime")


# Representatives.


@every_prime
def test_representatives_are_exact_up_to_the_ends_of_int64(prime):
    half = prime // 2
    values = [INT64.min, INT64.min + 1, -prime, -half - 1, -half, -1, 0, 1, half, half + 1, prime]
    values += [prime**2 % 2**63, INT64.max - 1, INT64.max]
    assert reduced(np.array(values), prime).tolist() == [value % prime for value in values]
    expected = [(value + (prime - 1) // 2) % prime - (prime - 1) // 2 for value in values]
    assert balanced(np.array(values), prime).tolist() == expected
    assert [balanced(value, prime) for value in values] == expected
    assert torch.equal(balanced(torch.tensor(values), prime), torch.tensor(expected))


@pytest.mark.parametrize("dtype", ["bool", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
@pytest.mark.parametrize("prime", [3, 97, LARGEST_PRIME])
def test_integers_of_any_width_are_reduced(dtype, prime):
    ends = [0, 1] if dtype == "bool" else [np.iinfo(dtype).min, 5, np.iinfo(dtype).max]
    residues = reduced(np.array(ends, dtype), prime)
    assert residues.tolist() == [int(end) % prime for end in ends]
    representatives = balanced(np.array(ends, dtype), prime)
    assert representatives.dtype == np.int64
    half = (prime - 1) // 2
    assert representatives.tolist() == [(int(end) + half) % prime - half for end in ends]


def test_no_residue_is_likelier_where_words_do_not_divide_by_the_prime():
    # 2^32 = 2.5 p: of words modulo p 3 in 5 would lie in the lower half.
    prime = next(p for p in range(1717986919, 0, -1) if is_prime(p))
    drawn = random_residues((100_000,), prime)
    assert abs(np.mean(drawn < prime / 2) - 0.5) < 0.01


def test_random_residues_are_uniform_in_range_and_new_each_time():
    for prime, shape in [(3, (4, 5)), (LARGEST_PRIME, (2, 0, 3)), (2**30 + 3, (1000,))]:
        drawn = random_residues(shape, prime)
        assert drawn.shape == shape
        assert drawn.dtype == np.int64
        assert ((drawn >= 0) & (drawn < prime)).all()
    assert not np.array_equal(random_residues((50,), 97), random_residues((50,), 97))
    n = 100_000
    for prime in (2, 3, 5, 17):  # 17: nearly half of the words are rejected
        counts = np.bincount(random_residues((n,), prime), minlength=prime)
        deviation = 8.0 * np.sqrt(n / prime)  # 8 standard deviations
        assert len(counts) == prime
        assert np.abs(counts - n / prime).max() < deviation


# Products.


@every_prime
@pytest.mark.parametrize("k", [1, 2, 60, 61, 62, 63, 64, 122, 123, 500])
@pytest.mark.parametrize("sign", [(1, 1), (1, -1), (-1, -1)])
def test_products_of_the_largest_numbers_are_exact(prime, k, sign):
    left = np.full((2, k), sign[0] * (prime - 1))
    right = np.full((k, 3), sign[1] * (prime - 1))
    assert np.array_equal(product(left, right, prime), exact_product(left, right, prime))


@pytest.mark.parametrize("k", [100_003, 2_000_003])
def test_long_sums_are_exact(k):
    prime = LARGEST_PRIME
    left = np.full((1, k), prime - 1)
    right = np.full((k, 1), 1 - prime)
    assert product(left, right, prime).tolist() == [[-k * (prime - 1) ** 2 % prime]]
    low = np.full((1, k), 2**16 - 1)  # the lower half alone is full
    assert product(low, right, prime).tolist() == [[-k * (prime - 1) * (2**16 - 1) % prime]]


@every_prime
@pytest.mark.parametrize(
    ("m", "k", "columns"), [(1, 1, 1), (3, 70, 5), (20, 5, 40_000), (0, 3, 4), (3, 0, 4), (3, 4, 0)]
)
def test_products_are_those_of_python_integers(prime, m, k, columns):
    left, right = random_numbers((m, k), prime), random_numbers((k, columns), prime, seed=1)
    right[:, 1 : columns - 1 : 100] = prime - 1
    expected = exact_product(left, right, prime)
    found = product(left, right, prime)
    assert found.dtype == np.int64
    assert np.array_equal(found, expected)
    lowest = -(prime // 2)
    shifted = product(left, right, prime, lowest=lowest)
    assert np.array_equal(shifted, (expected - lowest) % prime + lowest)


def test_layout_of_the_arguments_does_not_matter():
    prime = LARGEST_PRIME
    left, right = random_numbers((4, 6), prime), random_numbers((6, 10), prime, seed=1)
    expected = exact_product(left, right, prime)
    frozen = right.copy()
    frozen.flags.writeable = False
    for variant in (np.asfortranarray(right), np.repeat(right, 2, axis=1)[:, ::2], frozen):
        assert np.array_equal(product(left, variant, prime), expected)
        assert np.array_equal(product(np.asfortranarray(left), variant, prime), expected)


# Powers and inverses.


@every_prime
def test_powers_and_inverses_are_pythons(prime):
    values = random_numbers((3, 40), prime)
    for exponent in (0, 1, 2, 5, prime - 1):
        expected = [pow(int(value), exponent, prime) for value in values.ravel()]
        assert (power(values, exponent, prime) % prime).ravel().tolist() == expected
    nonzero = values[values % prime != 0]
    expected = [pow(int(value), -1, prime) for value in nonzero]
    assert inverse(nonzero, prime).tolist() == expected


def test_zero_has_no_inverse():
    with pytest.raises(ValueError, match="values must not be 0 modulo 97"):
        inverse(np.array([1, 97]), 97)


# Interpolation.


def test_interpolation_gives_the_golden_matrices():
    beta = np.arange(3, 10)
    with_mask = lagrange_matrix(np.array([1, 2, 10]), beta, 97)
    assert with_mask[:2].tolist() == [[10, 26, 62], [31, 75, 89]]
    decoder = lagrange_matrix(beta[[0, 2, 3, 6]], np.array([1, 2]), 97)
    assert decoder.tolist() == [[26, 87, 61, 21], [67, 45, 67, 16]]


def test_a_cube_is_decoded_from_every_four_of_seven_golden_answers():
    alpha, beta = np.array([1, 2]), np.arange(3, 10)
    coded_inputs = product(lagrange_matrix(alpha, beta, 97), np.array([[5], [11]]), 97)
    assert coded_inputs.T.tolist() == [[17, 23, 29, 35, 41, 47, 53]]
    answers = (coded_inputs**3 + 2 * coded_inputs + 1) % 97
    assert answers.T.tolist() == [[1, 89, 4, 72, 37, 31, 89]]
    for four in itertools.combinations(range(7), 4):
        decoder = lagrange_matrix(beta[list(four)], alpha, 97)
        assert product(decoder, answers[list(four)], 97).tolist() == [[39], [93]]


def test_masked_squares_are_decoded_from_golden_answers():
    beta = np.arange(3, 10)
    masked = np.array([[5], [11], [42]])
    coded_inputs = product(lagrange_matrix(np.array([1, 2, 10]), beta, 97), masked, 97)
    assert coded_inputs.T.tolist() == [[30, 62, 10, 68, 42, 29, 29]]
    answers = coded_inputs**2 % 97
    assert answers.T.tolist() == [[27, 61, 3, 65, 18, 65, 65]]
    for five in itertools.combinations(range(7), 5):
        decoder = lagrange_matrix(beta[list(five)], np.array([1, 2]), 97)
        assert product(decoder, answers[list(five)], 97).tolist() == [[25], [24]]


@pytest.mark.parametrize("prime", [13, 97, 65537, LARGEST_PRIME])
@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_interpolation_is_galois(prime, n):
    rng = np.random.default_rng(n)
    nodes = rng.choice(prime if prime < 1000 else 1000, n, replace=False)
    values = rng.integers(0, prime, n)
    points = np.concatenate((rng.integers(0, prime, 5), nodes, [0, prime - 1]))
    gf = field(prime)
    polynomial = galois.lagrange_poly(gf(nodes), gf(values))
    expected = np.array(polynomial(gf(points)), dtype=np.int64)
    matrix = lagrange_matrix(nodes, points, prime)
    assert ((matrix >= 0) & (matrix < prime)).all()
    assert np.array_equal(product(matrix, values[:, None], prime)[:, 0], expected)


def test_powers_of_points_are_pythons():
    points = np.array([0, 1, 5, 96])
    expected = [[pow(int(point), j, 97) for j in range(6)] for point in points]
    assert vandermonde(points, 6, 97).tolist() == expected


# Elimination.


def test_every_small_system_is_solved_where_brute_force_solves_it():
    vectors = np.array(list(itertools.product(range(3), repeat=2)))
    for entries in itertools.product(range(3), repeat=6):
        matrix = np.array(entries).reshape(3, 2)
        images = {tuple(image) for image in (vectors @ matrix.T % 3).tolist()}
        assert 3 ** rank(matrix, 3) == len(images)
        for right in itertools.product(range(3), repeat=3):
            solution = solve(matrix, np.array(right), 3)
            assert (solution is None) == (right not in images)
            if solution is not None:
                assert tuple((matrix @ solution % 3).tolist()) == right


@given(
    st.sampled_from([5, 97, 2**31 - 19, LARGEST_PRIME]),
    st.integers(1, 7),
    st.integers(1, 7),
    st.integers(0, 7),
    st.integers(0, 10**6),
)
def test_elimination_is_galois(prime, m, n, inner, seed):
    gf = field(prime)
    factors = random_numbers((m, inner), prime, seed), random_numbers((inner, n), prime, seed + 1)
    matrix = exact_product(*factors, prime)
    assert rank(matrix, prime) == np.linalg.matrix_rank(gf(matrix))
    x = random_numbers((n, 1), prime, seed + 2)
    right = exact_product(matrix, x, prime)
    solution = solve(matrix, right[:, 0], prime)
    assert solution is not None
    assert np.array_equal(exact_product(matrix, solution[:, None], prime), right)
    doubled = np.column_stack((right[:, 0], 2 * right[:, 0] % prime))
    solutions = solve(matrix, doubled, prime)
    assert solutions is not None
    assert np.array_equal(exact_product(matrix, solutions, prime), doubled)
    other = right[:, 0] + 1
    extended = gf(np.column_stack((matrix, other % prime)))
    is_solvable = np.linalg.matrix_rank(extended) == np.linalg.matrix_rank(gf(matrix))
    assert (solve(matrix, other, prime) is not None) == is_solvable
    both = np.column_stack((right[:, 0], other))
    assert (solve(matrix, both, prime) is not None) == is_solvable
