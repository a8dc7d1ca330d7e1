"""Tables beside other programs: their exact answers, the text, what is said without R."""

import numpy as np
import pytest

from bench.exactness import programs
from bench.exactness.exact import relative_error, relative_rms, smooth_exactly
from tests.oracles.splines import ExactSmoother
from tests.support.strategies import make_knots, make_weights


@pytest.mark.parametrize("weight_kind", ["one", "random"])
@pytest.mark.parametrize("kind", ["uniform", "random", "clustered"])
@pytest.mark.parametrize("lam", [0.0, 1e-9, 1.0, 1e9])
@pytest.mark.parametrize("n", [3, 4, 5, 12])
def test_exact_answers_are_exact(n, lam, kind, weight_kind, rng):
    x, w, y = make_knots(kind, n), make_weights(weight_kind, n), rng.standard_normal(n)
    expected = ExactSmoother(x, lam=lam, weights=w).evaluate(y, x)
    assert relative_error(expected, smooth_exactly(x, y, lam=lam, weights=w)) <= 2e-16


def test_errors_are_relative_to_the_largest_value():
    exact = smooth_exactly(np.arange(4.0), [1.0, 2.0, -4.0, 3.0], lam=0.0)
    assert relative_error([1.0, 2.5, -4.0, 3.0], exact) == 0.125
    assert relative_rms([1.0, 2.5, -4.0, 3.0], exact) == 0.0625


@pytest.mark.parametrize("case", [case for case in programs.CASES if case.n <= 100], ids=str)
def test_programs_solve_the_same_problem(case):
    errors = programs.measure_errors(case, None)["errors"]
    assert set(errors) == {"ours", "scipy", "csaps"}
    assert errors["ours"] <= 1e-13
    if case.knots == "uniform" and case.lam < 1.0:  # where the others keep their digits
        assert max(errors.values()) <= 1e-10


@pytest.mark.parametrize("weights", ["one", "6 decades"])
@pytest.mark.parametrize("knots", ["uniform", "Chebyshev", "random", "clustered"])
def test_problems_are_what_the_table_says(knots, weights):
    x, w, _, points, lam = programs.make_problem(programs.Case(knots, 100, 2.0, weights))
    assert lam == 2.0
    assert points is x
    gaps = np.diff(x)
    assert gaps.min() > 0
    assert (x[0], x[-1]) == (-1.0, 1.0) if knots == "Chebyshev" else x[-1] - x[0] <= 1.0
    is_clustered = max((gaps[1:] / gaps[:-1]).max(), (gaps[:-1] / gaps[1:]).max()) > 1e5
    assert is_clustered == (knots == "clustered")
    assert w is None if weights == "one" else w.max() / w.min() > 1e5


def test_fits_that_fail_or_warn_are_told_as_such():
    def fail():
        raise ValueError("ill-posed")

    def warn():
        return np.arange(3.0) * (np.float64(1e308) * 10.0)

    exact = smooth_exactly(np.arange(3.0), [1.0, 2.0, 3.0], lam=0.0)
    assert programs._judge(fail, relative_error, exact) == "fails: ill-posed"
    assert programs._judge(warn, relative_error, exact).startswith("fails: overflow")
    assert programs._judge(lambda: np.full(3, np.nan), relative_error, exact) == "NaN"
    assert programs._judge(lambda: np.arange(3.0) + 1.0, relative_error, exact) <= 1e-100


RECORD = {
    "errors": [
        {
            "knots": "uniform",
            "n": 2000,
            "lam": 1e6,
            "weights": "one",
            "errors": {
                "ours": 4.2e-15,
                "scipy": 0.843,
                "csaps": "NaN",
                "R": "fails: value too extreme",
                "P-spline": 0.0,
            },
        }
    ],
    "times": [
        {
            "n": 10_000,
            "columns": 10,
            "lam": None,
            "seconds": {"ours": 1e-3, "scipy": "fails: ill-posed", "R": 5e-4, "P-spline": 1.2345},
        }
    ],
    "truth": {"n": 1000, "noise": 0.3, "ours": 0.05, "P-spline": 0.06},
}


def test_table_of_errors():
    table = programs.tell_errors(RECORD)
    header, _, row, *rest = table.splitlines()
    assert header.endswith("| lam | ours | scipy | csaps | R | P-spline |")
    assert row == "| uniform | one | 2,000 | 1e+06 | 4e-15 | 8e-01 | NaN | fails | 0 |"
    text = "\n".join(rest)
    assert 'R says "value too extreme"' in text
    assert "0.0500 (ours) and 0.0600 (P-spline)" in text


def test_table_of_times_prints_losses_and_failures():
    row = programs.tell_times(RECORD).splitlines()[2]
    assert row == "| lam by GCV | 10,000 | 10 | fails | - | 0.50 | 1,234 |"


def test_without_r_nothing_is_measured_and_the_mend_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="install R"):
        programs.run(quick=True)
