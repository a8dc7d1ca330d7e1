"""Masks have the law that is claimed; what they leave visible is the Gaussian channel's."""

import math

import mpmath
import numpy as np
import pytest
from scipy import stats

from coded.algebra.masking import gaussian_leakage, gaussian_masks


@pytest.mark.parametrize("seed", [0, 1, None], ids=str)
def test_masks_are_circular_gaussian(seed):
    rng = None if seed is None else np.random.default_rng(seed)
    masks = gaussian_masks((4, 50_000), 3.0, rng)

    assert (masks.shape, masks.dtype) == ((4, 50_000), np.complex128)
    parts = np.stack([masks.real, masks.imag]) / (3.0 / math.sqrt(2.0))
    for part in parts.reshape(8, -1):
        # A right sampler fails once in 1e6 times.
        assert stats.kstest(part, "norm").pvalue > 1e-6 / 8
    correlation = np.corrcoef(parts.reshape(8, -1))
    assert np.abs(correlation - np.eye(8)).max() < 6.0 / math.sqrt(50_000)


def test_masks_of_a_seed_are_the_same_and_fresh_ones_never():
    first, second = (gaussian_masks((2, 3), 1.0, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    fresh = [gaussian_masks((2, 3), 1.0, None) for _ in range(50)]
    assert len({mask.tobytes() for mask in fresh}) == 50
    assert gaussian_masks((2, 0), 1.0, None).shape == (2, 0)


def complex_normal(rng, *shape):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / math.sqrt(2.0)


@pytest.mark.parametrize(("n_seen", "n_inputs", "n_masks"), [(1, 1, 1), (1, 3, 2), (2, 3, 2)])
def test_leakage_equals_determinants_at_fifty_digits(n_seen, n_inputs, n_masks):
    rng = np.random.default_rng(n_seen + n_inputs)
    a, b = complex_normal(rng, n_seen, n_inputs), complex_normal(rng, n_seen, n_masks)
    for power, std in [(1.0, 1.0), (4.0, 0.1), (1e-3, 10.0), (1.0, 1e6)]:
        with mpmath.workdps(50):
            inputs, masks = mpmath.matrix(a.tolist()), mpmath.matrix(b.tolist())
            noise = mpmath.mpf(std) ** 2 * masks * masks.transpose_conj()
            both = noise + mpmath.mpf(power) * inputs * inputs.transpose_conj()
            expected = float(mpmath.log(mpmath.re(mpmath.det(both) / mpmath.det(noise)), 2))
        found = gaussian_leakage(a, b, power=power, mask_std=std)
        assert found == pytest.approx(expected, rel=1e-10)


def test_leakage_is_the_mutual_information_of_gaussian_inputs():
    # Estimated as the mean log-likelihood ratio log2 p(y | x) / p(y), with y simulated.
    rng, draws, std = np.random.default_rng(3), 200_000, 0.7
    a, b = complex_normal(rng, 2, 3), complex_normal(rng, 2, 2)
    x, z = complex_normal(rng, 3, draws), std * complex_normal(rng, 2, draws)
    y = a @ x + b @ z
    noise = std**2 * b @ b.conj().T
    both = noise + a @ a.conj().T

    def log_density(values, covariance):
        solved = np.linalg.solve(covariance, values)
        return -(values.conj() * solved).real.sum(axis=0) - np.linalg.slogdet(covariance)[1]

    ratios = (log_density(y - a @ x, noise) - log_density(y, both)) / math.log(2.0)
    within = 5.0 * ratios.std() / math.sqrt(draws)
    assert gaussian_leakage(a, b, power=1.0, mask_std=std) == pytest.approx(
        ratios.mean(), abs=within
    )


def test_leakage_bounds_what_real_and_binary_inputs_lose():
    # One worker, one input of +-1: I = h(y) - h(noise) by quadrature over the complex plane.
    std, steps = 1.5, np.linspace(-12.0, 12.0, 801)
    re, im = np.meshgrid(steps, steps)
    y, cell = re + 1j * im, (steps[1] - steps[0]) ** 2
    density = sum(np.exp(-(np.abs(y - x) ** 2) / std**2) for x in (-1, 1)) / (2 * np.pi * std**2)
    assert (density * cell).sum() == pytest.approx(1.0, abs=1e-9)
    entropy = -(density * np.log2(density, where=density > 0, out=np.zeros_like(y.real))).sum()
    information = entropy * cell - math.log2(math.pi * math.e * std**2)

    bound = gaussian_leakage(np.ones((1, 1)), np.ones((1, 1)), power=1.0, mask_std=std)
    assert 0.2 < information < bound == pytest.approx(math.log2(1 + 1 / std**2))


def test_a_sum_without_mask_leaks_without_bound():
    ones = np.ones((2, 1), dtype=complex)
    assert gaussian_leakage(ones, ones, power=1.0, mask_std=1.0) == math.inf  # 2 sums, 1 mask
    square = np.array([[1.0, 2.0], [2.0, 4.0]])
    assert gaussian_leakage(ones, square, power=1.0, mask_std=1.0) == math.inf
    assert gaussian_leakage(ones, 0 * square, power=1.0, mask_std=1.0) == math.inf
    assert gaussian_leakage(ones[:0], square[:0], power=1.0, mask_std=1.0) == 0.0


@pytest.mark.parametrize("exponent", [-200, -60, -30, 30, 60, 200])
def test_leakage_does_not_change_with_scale(exponent):
    """What everybody sees may be multiplied by any number, and inputs and masks by another."""
    rng, unit = np.random.default_rng(7), 2.0**exponent
    a, b = complex_normal(rng, 2, 3), complex_normal(rng, 2, 2)
    leakage = gaussian_leakage(a, b, power=1.0, mask_std=1.0)
    # A power of two changes no digit of what is computed.
    scaled = gaussian_leakage(unit * a, unit * b, power=1.0, mask_std=1.0)
    assert scaled == pytest.approx(leakage, rel=1e-13)
    scaled = gaussian_leakage(a, b, power=unit**2, mask_std=unit)
    assert scaled == pytest.approx(leakage, rel=1e-13)
    dependent = np.array([[0.1, 0.3], [0.2, 0.6]])  # but for rounding
    assert gaussian_leakage(a, unit * dependent, power=1.0, mask_std=1.0) == math.inf


def on_the_unit_circle(n_inputs, n_masks, n_workers):
    """Unit circle, shift 0.1: another choice of points, with published leakages."""
    count = n_inputs + n_masks
    nodes = np.exp(2j * np.pi * (np.arange(count) + 0.1) / count)
    workers = np.exp(2j * np.pi * np.arange(n_workers) / n_workers)
    vandermonde = np.vander(nodes, count, increasing=True)
    return np.vander(workers, count, increasing=True) @ np.linalg.inv(vandermonde)


@pytest.mark.parametrize(
    ("std", "leak", "unit"),
    [(1.0, 10.1, 0.1), (1e2, 0.146, 0.001), (1e4, 1.5e-5, 1e-6), (1e6, 1.5e-9, 1e-10)],
)
def test_golden_leakages_to_half_a_unit_of_their_last_digit(std, leak, unit):
    matrix = on_the_unit_circle(2, 1, 8)
    worst = max(
        gaussian_leakage(matrix[n : n + 1, :2], matrix[n : n + 1, 2:], power=1.0, mask_std=std)
        for n in range(8)
    )
    assert worst == pytest.approx(leak, abs=unit / 2)
