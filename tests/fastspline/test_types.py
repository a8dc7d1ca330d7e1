"""What a type checker knows of a fit, and that it finds nothing in the examples of the READMEs."""

import doctest
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastspline import Smoother, smooth_spline

ROOT = Path(__file__).parents[2]
TIMEOUT = 340  # seconds, of which a cold cache takes most

KNOWN = """
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

from fastspline import DegreesOfFreedom, Smoother, Spline, resample, select_lam, smooth_spline

Vector = NDArray[np.float64]
x = np.linspace(0.0, 1.0, 5)
column, columns = [0.0, 1.0, 0.0, 2.0, 1.0], [[0.0, 1.0]] * 5
table = x.reshape(5, 1)
plan = Smoother(x, lam=0.1)

for one in (smooth_spline(x, column), smooth_spline(x, np.arange(5), weights=x, lam="reml")):
    assert_type(one.df, float)
    assert_type(one.gcv, float)
assert_type(smooth_spline(x, column, lam=DegreesOfFreedom(3)).lam, float)
assert_type(smooth_spline(x, columns).df, Vector)
assert_type(smooth_spline(x, columns, lam="loo", missing="omit").residual_variance, Vector)
assert_type(smooth_spline(x, table).lam, Vector)
assert_type(plan.fit(column).loo, float)
assert_type(plan.fit(columns).loo, Vector)
assert_type(plan.fit(x).df, float)
assert_type(select_lam(x, column), float)
assert_type(select_lam(x, columns), Vector)
assert_type(select_lam(x, x, per_column=False), float)
assert_type(smooth_spline(x, np.ones(5, np.float32)).df, float)
assert_type(smooth_spline(x, np.ones(5, np.bool_)).df, float)

pairs = np.ones(5, np.complex128)  # two columns, of real and imaginary parts
assert_type(smooth_spline(x, pairs).df, Any)
assert_type(smooth_spline(x, pairs, lam=0.1).gcv, Any)
assert_type(plan.fit(pairs).loo, Any)
assert_type(plan.fit(pairs).df, float)
assert_type(select_lam(x, pairs), Vector | float)


assert_type(resample(x, x, x), NDArray[np.floating])
assert_type(plan.operator(x)(x), NDArray[np.floating])


class Container:
    def __array__(self) -> Vector:
        return x


labelled = Container()  # as a DataArray: it comes back, as what no type checker knows
assert_type(smooth_spline(x, labelled)(x), Any)
assert_type(plan.fit(labelled).values, Any)
assert_type(plan.operator(x)(labelled), Any)
assert_type(resample(x, labelled, x), Any)


def tell(curve: Spline, values: NDArray[np.float64], lam: float) -> None:
    assert_type(curve.df, Any)
    assert_type(curve(x), NDArray[np.floating])
    assert_type(smooth_spline(x, values).df, Any)
    assert_type(smooth_spline(x, values, lam=lam).gcv, Any)
    assert_type(smooth_spline(x, values)(x), NDArray[np.floating])


tell(smooth_spline(x, column), x, 0.1)
"""

WRONG = """
from fastspline import smooth_spline

smooth_spline([0.0, 1.0, 2.0], [0.0, 1.0, 0.0], lam=0.1, mising="omit")
smooth_spline([0.0, 1.0, 2.0], [0.0, 1.0, 0.0], lam=0.1).df.rounded
"""


def check(text, folder):
    """What mypy --strict says of a program, in this environment."""
    program = folder / "program.py"
    program.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", str(program)]
    done = subprocess.run(
        command, cwd=ROOT, check=False, text=True, stdout=subprocess.PIPE, timeout=TIMEOUT
    )
    return done.stdout


def test_what_is_known_of_values_is_known_of_their_curve(tmp_path):
    assert check(KNOWN, tmp_path).startswith("Success")
    told = check(WRONG, tmp_path)
    assert '"float" has no attribute "rounded"' in told
    assert 'Unexpected keyword argument "mising"' in told


@pytest.mark.parametrize("document", ["README.md", "fastspline/README.md"])
def test_nothing_is_wrong_with_the_types_of_examples(document, tmp_path):
    text = (ROOT / document).read_text(encoding="utf-8")
    examples = doctest.DocTestParser().get_examples(text)
    assert len(examples) > 20
    # Functions of examples are short of annotations, not of meaning.
    heading = '# mypy: disable-error-code="no-untyped-def, no-untyped-call"\n'
    program = heading + "".join(example.source for example in examples)
    assert check(program, tmp_path).startswith("Success")


@pytest.mark.parametrize("lam", ["gcv", "reml", [1.0, 1.0], 1.0])
@pytest.mark.filterwarnings("ignore:.*the score is best:UserWarning")
def test_df_is_a_number_where_lam_is_one(lam):
    """Also where all columns, or the only one, chose the same lam."""
    x = np.linspace(0.0, 1.0, 9)
    values = np.repeat(np.sin(20.0 * x)[:, np.newaxis], 2, axis=1)
    curve = smooth_spline(x, values, lam=lam)
    assert np.shape(curve.df) == np.shape(curve.lam) == (() if lam == 1.0 else (2,))
    assert np.shape(Smoother(x, lam=1.0).fit(values).df) == ()
    alone = smooth_spline(x, values[:, 0], lam="gcv")
    assert type(alone.df) is type(alone.lam) is float
    assert np.shape(smooth_spline(x, values[:, 0] * (1.0 + 1j), lam=lam).df) == np.shape(curve.df)
