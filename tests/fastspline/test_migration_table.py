"""README's tables for those who come from other programs: all runs, all arguments are named."""

import ast
import inspect
import re
from pathlib import Path

import csaps
import matplotlib as mpl
import numpy as np
import pytest
from scipy import interpolate

import fastspline

README = Path(__file__).parents[2] / "fastspline" / "README.md"
SECTION = "## Coming from other programs"
SPAN = re.compile(r"`([^`]+)`")
TABLES = ("R: `smooth.spline", "mgcv", "gratia", "pyGAM", "csaps", "scipy")

# What must have a row. By hand for programs that need not be installed where the tests run.
BY_HAND = {
    "R: `smooth.spline": """
        x y w df spar lambda cv all.knots nknots keep.data df.offset penalty control.spar tol
        keep.stuff deriv fitted residuals lev cv.crit""",
    "mgcv": """
        k knots sp fx bs method gamma weights scale subset na.action family by offset select se.fit
        lpmatrix coef vcov edf sig2 gcv.ubre influence plot summary gam.check te correlation""",
    "gratia": """
        derivatives confint simultaneous fitted_samples smooth_samples derivative_samples
        posterior_samples predicted_samples smooth_estimates fitted_values add_confint add_residuals
        draw appraise difference_smooths edf rootogram order""",
    "pyGAM": """
        fit gridsearch predict predict_mu partial_dependence confidence_intervals width sample
        prediction_intervals n_draws quantity deviance_residuals statistics_ summary score
        loglikelihood generate_X_grid n_splines spline_order lam basis penalties constraints by
        dtype edge_knots weights max_iter tol callbacks scale""",
    "scipy": """
        make_smoothing_spline t UnivariateSpline splrep LSQUnivariateSpline CubicSpline bc_type
        get_residual integral derivative antiderivative roots""",
}
CLASSES = csaps.CubicSmoothingSpline, csaps.NdGridCubicSmoothingSpline
DOORS = csaps.csaps, *CLASSES, *(one.__call__ for one in CLASSES)
THEIRS = {program: set(words.split()) for program, words in BY_HAND.items()}
THEIRS["csaps"] = {name for one in DOORS for name in inspect.signature(one).parameters} - {"self"}
THEIRS["csaps"] |= {"spline", "smooth"}
THEIRS["scipy"] |= set(inspect.signature(interpolate.make_smoothing_spline).parameters)


def read_tables():
    """Rows of each table, by the program that heads it."""
    text = README.read_text(encoding="utf-8").partition(SECTION)[2].partition("\n## ")[0]
    tables = {}
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, _, *rows = (line[2:-2].split(" | ") for line in block.splitlines())
        assert all(len(row) == 2 for row in rows), block
        tables[head[0]] = rows
    return tables


def find(program):
    (rows,) = (rows for head, rows in read_tables().items() if head.startswith(program))
    return rows


def make_names():
    """What the tables speak of."""
    x, rng = np.linspace(0.0, 1.0, 200), np.random.default_rng(0)
    y = np.sin(2.0 * np.pi * x) + 0.1 * rng.standard_normal(200)
    y[-1] = y[0]
    names = {name: getattr(fastspline, name) for name in fastspline.__all__}
    x1, x2 = np.arange(9.0), np.arange(7.0)
    grid = {"x1": x1, "x2": x2, "z": np.sin(np.add.outer(x1, x2)), "w1": 1.0 + x1, "w2": 2.0 + x2}
    grid |= {"p1": 0.9, "p2": 0.5, "t1": x1[::2], "t2": x2[::3]}
    numbers = {"k": 9, "s": 0.7, "l": 1e-4, "p": 0.9, "g": 1.4, "a": 0.1, "b": 0.8}
    return (
        names
        | grid
        | numbers
        | {
            "np": np,
            "fastspline": fastspline,
            "x": x,
            "y": y,
            "w": np.linspace(0.5, 2.0, 200),
            "points": np.linspace(0.0, 1.2, 7),
            "knots": np.linspace(0.0, 1.0, 20),
            "spline": fastspline.smooth_spline(x, y),
            "other": fastspline.smooth_spline(x, y[::-1]),
        }
    )


def run(code, names):
    """Run a piece of a table as the text above the tables says."""
    if code.startswith("."):
        return eval(f"spline{code}", names)
    if is_arguments(code):
        return eval(f"smooth_spline(x, y, {code})", names)
    *before, last = ast.parse(code).body
    exec(compile(ast.Module(before, []), "README", "exec"), names)
    return eval(compile(ast.Expression(last.value), "README", "eval"), names)


def is_arguments(code):
    try:
        call = ast.parse(f"f({code})", mode="eval").body
    except SyntaxError:
        return False
    return not call.args


PIECES = [
    pytest.param(piece, id=piece)
    for rows in read_tables().values()
    for _, here in rows
    for piece in dict.fromkeys(SPAN.findall(here))
]


def test_there_is_a_table_for_each_program():
    assert len(read_tables()) == len(TABLES)
    assert sum(len(find(program)) for program in TABLES) > 50


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.filterwarnings("ignore:.*the score is best:UserWarning")
def test_what_stands_on_the_right_runs(piece):
    mpl.use("Agg")
    names = make_names()
    result = run(piece, names)
    assert result is not None
    if isinstance(result, np.ndarray) and "extrapolate=False" not in piece:
        assert np.isfinite(result).all()


@pytest.mark.parametrize("program", TABLES)
def test_all_that_a_program_takes_and_gives_has_a_row(program):
    heads = [head for head in read_tables() if head.startswith(program)]
    words = " ".join([*heads, *(their for their, _ in find(program))])
    assert [one for one in THEIRS[program] if not re.search(rf"\b{re.escape(one)}\b", words)] == []


def test_who_has_no_answer_here_is_told_so():
    for program in TABLES[:-2]:
        assert any("not here" in here for _, here in find(program))


# --- where rows promise the same curve, it is the same -------------------------------------------


SAME = [
    (lambda n: interpolate.CubicSpline(n["x"], n["y"], bc_type="natural"), "lam=0.0"),
    (
        lambda n: interpolate.CubicSpline(n["x"], n["y"], bc_type="periodic"),
        'lam=0.0, bc="periodic"',
    ),
    (
        lambda n: interpolate.CubicSpline(n["x"], n["y"], bc_type=((1, n["a"]), (1, n["b"]))),
        'lam=0.0, bc=("slope", a, b)',
    ),
    (
        lambda n: interpolate.LSQUnivariateSpline(n["x"], n["y"], n["knots"][1:-1]),
        "regression_spline(x, y, knots, lam=0.0)",
    ),
    (
        lambda n: csaps.CubicSmoothingSpline(n["x"], n["y"], smooth=n["p"]),
        "Smoother(x, lam=lam_from_csaps(p)).fit(y, axis=-1)",
    ),
]


@pytest.mark.parametrize(("theirs", "piece"), SAME, ids=[piece for _, piece in SAME])
def test_what_is_called_the_same_is(theirs, piece):
    names = make_names()
    at = np.linspace(0.0, 1.0, 301)
    np.testing.assert_allclose(run(piece, names)(at), theirs(names)(at), rtol=0.0, atol=1e-8)


def test_ways_to_go_on_beyond_the_knots_are_those_of_csaps():
    names = make_names()
    csaps_curve = csaps.CubicSmoothingSpline(names["x"], names["y"], smooth=names["p"])
    names["spline"] = run("lam=lam_from_csaps(p)", names)
    at = names["points"]
    np.testing.assert_allclose(run(".to_bspline()(points)", names), csaps_curve(at), atol=1e-8)
    inside = run(".to_bspline()(points, extrapolate=False)", names)
    np.testing.assert_array_equal(np.isnan(inside), np.isnan(csaps_curve(at, extrapolate=False)))


def test_a_grid_of_csaps_is_the_same():
    names = make_names()
    theirs = csaps.NdGridCubicSmoothingSpline(
        [names["x1"], names["x2"]],
        names["z"],
        weights=[names["w1"], names["w2"]],
        smooth=[names["p1"], names["p2"]],
    )
    (piece,) = (
        here.strip("`")
        for their, here in find("csaps")
        if their.startswith("`NdGridCubicSmoothingSpline(")
    )
    np.testing.assert_allclose(
        run(piece, names), theirs([names["t1"], names["t2"]]), rtol=0.0, atol=1e-9
    )
