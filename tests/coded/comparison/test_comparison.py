import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from coded import (
    AnalogLagrangeScheme,
    BerrutScheme,
    FieldLagrangeScheme,
    KernelScheme,
    LagrangeScheme,
    ReplicationScheme,
    SplineScheme,
    compare,
)
from coded.__main__ import main
from coded.comparison.functions import (
    BUNDLED,
    bundled,
    linear_map,
    pendulum,
    polynomial,
    read_problem,
)
from coded.comparison.panels import read_panel
from coded.schemes import codes

PNG = b"\x89PNG\r\n\x1a\n"


def by_code(comparison):
    return {row.code: row for row in comparison.rows}


def test_the_error_is_the_mean_square_over_the_variance():
    # One input of two is lost for sure, and the other is what its output becomes.
    comparison = compare(
        lambda x: 2 * x, [[0.0], [3.0]], 2, n_stragglers=1, codes=["replication-mean"], repeats=5
    )
    (row,) = comparison.rows
    score = comparison.score(row)
    assert score.error == pytest.approx((6.0**2 / 2) / 9.0)
    assert (score.decoded, score.exact) == (1.0, 0.5)
    assert score.half_width == pytest.approx(0.0, abs=1e-12)


def test_all_codes_take_part_or_say_why_not():
    problem = bundled("linear", 8)
    comparison = compare(problem.fn, problem.inputs, 16, n_stragglers=4, degree=1, repeats=2)
    rows = by_code(comparison)
    assert set(rows) == set(codes())
    for row in comparison.rows:
        assert bool(row.refused) != bool(row.scores)
        if row.scores:
            assert row.needs >= 1
            assert row.encode_seconds > 0.0
    exact = [code for code, variant in codes().items() if variant.exact_for != "none"]
    assert "lagrange" in exact
    for code in exact:
        for score in rows[code].scores:
            assert not score.error > 1e-12, code


def test_the_best_code_comes_first_and_half_decoding_ones_after_it():
    comparison = compare(
        np.sin,
        np.linspace(0.0, 6.0, 10),
        20,
        n_stragglers=5,
        codes=["replication", "berrut", "lagrange", "spline"],
    )
    assert [row.code for row in comparison.rows] == ["spline", "berrut", "replication", "lagrange"]
    replication = by_code(comparison)["replication"]
    assert 0.0 < comparison.score(replication).decoded < 1.0
    assert by_code(comparison)["lagrange"].refused == "f must be a polynomial of known degree"
    text = str(comparison)
    assert text.startswith("Comparison(f, (K, N, S) = (10, 20, 5), best: spline)")
    assert "lagrange: f must be a polynomial of known degree" in text


def test_losses_are_the_same_for_all_codes():
    inputs = np.linspace(0.0, 6.0, 20)
    comparison = compare(
        np.sin,
        inputs,
        20,
        n_stragglers=7,
        n_inputs=10,
        codes=["replication-nearest", "replication-mean"],
    )
    nearest, mean = comparison.rows
    assert [score.exact for score in nearest.scores] == [score.exact for score in mean.scores]
    assert comparison.score(nearest).error < comparison.score(mean).error


def test_labels_give_the_relative_accuracy():
    inputs = np.eye(4)[[0, 1, 2, 3, 0, 1, 2, 3]]
    comparison = compare(
        lambda x: x,
        inputs,
        8,
        n_stragglers=0,
        codes=["replication"],
        labels=[0, 1, 2, 3, 0, 1, 2, 0],
    )
    assert comparison.score(comparison.rows[0]).accuracy == 1.0
    assert comparison.table()[0][3] == "acc."


def test_liars_spoil_the_codes_that_do_not_look_for_them():
    problem = bundled("xsinx", 10)
    honest, lying = (
        compare(problem.fn, problem.inputs, 30, n_stragglers=0, n_liars=e, codes=["spline"])
        for e in (0, 3)
    )
    assert lying.score(lying.rows[0]).error > 100 * honest.score(honest.rows[0]).error + 1e-3


def test_schemes_of_the_caller_take_part_beside_names():
    inputs, settings = np.linspace(0.0, 6.0, 16), {"n_stragglers": 3, "n_inputs": 8, "repeats": 3}
    own = SplineScheme(8, 16, n_stragglers=3)
    listed = compare(np.sin, inputs, 16, codes=["spline", own, "berrut"], **settings)
    rows = by_code(listed)
    assert set(rows) == {"spline", "SplineScheme", "berrut"}
    assert rows["SplineScheme"].scores == rows["spline"].scores
    assert rows["SplineScheme"].scheme == repr(own)
    assert "SplineScheme" in str(listed)
    fixed = KernelScheme(8, 16, n_stragglers=3, fit=None)
    mine = {"plain": "kernel", "fixed": fixed, "copies": ReplicationScheme(8, 16)}
    named = compare(np.sin, inputs, 16, codes=mine, **settings)
    assert set(by_code(named)) == set(mine)
    assert all(name in repr(read_panel(named)) for name in mine)


def test_an_object_of_no_class_of_ours_is_compared():
    twice = SimpleNamespace(
        n_inputs=4,
        n_workers=8,
        min_responders=7,
        encode=lambda inputs: np.repeat(inputs, 2, axis=0),
        can_decode=lambda responders: len(np.unique(np.asarray(responders) // 2)) == 4,
        decode=lambda answers, responders: answers[
            np.unique(np.asarray(responders) // 2, return_index=True)[1]
        ],
        exact_mask=lambda responders: np.isin(np.arange(4), np.asarray(responders) // 2),
    )
    twice.bind = lambda inputs: twice  # noqa: ARG005 (it depends on no data)
    comparison = compare(np.sin, np.arange(4.0), 8, n_stragglers=1, codes={"twice": twice})
    score = comparison.score(comparison.rows[0])
    assert (score.error, score.exact, score.decoded) == (0.0, 1.0, 1.0)


def test_schemes_of_the_caller_get_the_numbers_that_they_code():
    problem = bundled("polynomial", 4)
    own = {
        "field": FieldLagrangeScheme(4, 14, degree=2, prime=65537),
        "analog": AnalogLagrangeScheme(4, 14, degree=2),
        "real": LagrangeScheme(4, 14, degree=2),
    }
    settings = {"n_stragglers": 3, "repeats": 2, "codes": own}
    known = compare(problem.fn, problem.inputs, 14, degree=2, **settings)
    for row in known.rows:
        assert known.score(row).error < 1e-12, row.code
    unknown = compare(problem.fn, problem.inputs, 14, **settings)
    refused = {row.code: row.refused for row in unknown.rows if row.refused}
    assert refused == dict.fromkeys(("field", "analog"), "f must be a polynomial of known degree")


def test_progress_is_told_before_each_code():
    seen = []
    compare(
        np.sin,
        [0.0, 1.0],
        4,
        n_stragglers=1,
        codes=["berrut", "letcc"],
        on_code=seen.append,
        repeats=1,
    )
    assert seen == ["berrut", "letcc"]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"fn": 3}, TypeError, "fn must be callable, got 3"),
        ({"inputs": 1.0}, ValueError, r"inputs must be a stack of inputs, got shape \(\)"),
        ({"inputs": []}, ValueError, r"got shape \(0,\)"),
        ({"n_inputs": 5}, ValueError, r"n_inputs must lie in \[1, 4\], got 5"),
        ({"n_workers": 0}, ValueError, "n_workers must be >= 1"),
        ({"n_stragglers": 8}, ValueError, r"n_stragglers must lie in \[0, 7\], got 8"),
        ({"n_liars": 7}, ValueError, r"n_liars must lie in \[0, 6\], got 7"),
        ({"degree": 0}, ValueError, "degree must be >= 1"),
        ({"repeats": 0}, ValueError, "repeats must be >= 1"),
        ({"codes": ["reed"]}, ValueError, r"codes must be among .*berrut, .*, got 'reed'"),
        ({"codes": "kernel"}, TypeError, r"codes must be a sequence, .* pass \['kernel'\]"),
        (
            {"codes": BerrutScheme(4, 8)},
            TypeError,
            r"pass \[BerrutScheme\(4, 8, n_stragglers=4\)\]",
        ),
        ({"codes": [3]}, TypeError, "must hold names and schemes, got 3; pass an object with"),
        ({"codes": {"mine": "reed"}}, ValueError, "codes must be among .*, got 'reed'"),
        ({"codes": ["berrut", "berrut"]}, ValueError, "different names, got 'berrut' twice; pass"),
        (
            {"codes": {"mine": BerrutScheme(4, 9)}},
            ValueError,
            "has mine for K = 4 inputs and N = 9 workers, and K = 4 and N = 8 are compared; make",
        ),
        ({"codes": [BerrutScheme(3, 8)]}, ValueError, "has BerrutScheme for K = 3 inputs"),
        ({"codes": []}, ValueError, "codes must be among .*, got none"),
        ({"rng": -1}, ValueError, "rng must be >= 0, got -1"),
        ({"labels": [1, 2]}, ValueError, r"labels has shape \(2,\), and there are 4 inputs; give"),
        ({"fn": lambda _: 3.0}, ValueError, r"answer for each of the 4 inputs .* shape \(\)"),
        ({"fn": lambda x: x[1:]}, ValueError, r"each of the 4 inputs of a stack.* shape \(3,\)"),
        ({"fn": lambda x: np.where(x > 1, np.inf, x)}, ValueError, r"fn\(inputs\) must be finite"),
        (
            {"fn": lambda x: np.stack([x, x + 1], 1), "labels": [0, 0, 0, 0]},
            ValueError,
            "fn is right for none of labels",
        ),
        (
            {"fn": lambda x: np.stack([x, x + 1], 1), "labels": [0, 1, 2, 0]},
            ValueError,
            r"labels must lie in \[0, C\) = \[0, 2\), but labels\[2\] = 2",
        ),
    ],
)
def test_bad_arguments_are_refused(change, error, message):
    given = {"fn": np.sin, "inputs": np.arange(4.0), "n_workers": 8, "n_stragglers": 2} | change
    fn, inputs, n_workers = given.pop("fn"), given.pop("inputs"), given.pop("n_workers")
    with pytest.raises(error, match=message):
        compare(fn, inputs, n_workers, **given)


def doubled_in_place(x):
    x *= 2
    return x


def test_a_function_may_write_into_its_inputs():
    inputs = np.linspace(0.0, 6.0, 8)
    kept = inputs.copy()
    settings = {"n_stragglers": 3, "codes": ["spline", "replication-mean"], "repeats": 3}
    writing = compare(doubled_in_place, inputs, 12, **settings)
    reading = compare(lambda x: 2 * x, inputs, 12, **settings)
    np.testing.assert_array_equal(inputs, kept)
    assert [row.scores for row in writing.rows] == [row.scores for row in reading.rows]


def test_tensors_reach_a_function_of_tensors():
    inputs = torch.linspace(0.0, 3.0, 8, dtype=torch.float64)
    chosen = ["spline", "berrut", "field-lagrange"]
    settings = {"n_stragglers": 2, "degree": 1, "repeats": 2, "codes": chosen}
    tensors = compare(lambda x: torch.add(x, x), inputs, 16, **settings)
    arrays = compare(lambda x: x + x, inputs.numpy(), 16, **settings)
    assert [row.scores for row in tensors.rows] == [row.scores for row in arrays.rows]
    assert by_code(tensors)["field-lagrange"].refused == "inputs must be whole numbers, in numpy"


def strict(x):
    """A function of whole numbers of numpy and of reals in [0, 9], as many are."""
    if x.dtype.kind not in "if":
        raise TypeError(f"no {x.dtype}, please")
    if x.min() < 0 or x.max() > 9:
        raise RuntimeError("beyond the box")
    return 2.0 * x


def test_a_code_whose_numbers_f_refuses_is_left_out():
    inputs = np.array([[0], [9], [0], [9]])
    comparison = compare(strict, inputs, 12, n_stragglers=2, degree=1, repeats=2)
    refused = {row.code: row.refused for row in comparison.rows if row.refused}
    assert refused["field-lagrange"] == "f raised TypeError on coded inputs: no object, please"
    assert refused["analog-lagrange"].endswith("no complex128, please")
    assert refused["lagrange"] == "f raised RuntimeError on coded inputs: beyond the box"
    assert by_code(comparison)["replication"].scores


def test_inputs_that_no_field_holds_leave_out_its_code_alone():
    inputs = 2**40 * np.arange(1, 5)[:, None]
    comparison = compare(lambda x: 2 * x, inputs, 8, n_stragglers=0, degree=1, repeats=1)
    refused = {row.code: row.refused for row in comparison.rows if row.refused}
    assert "for the prime p = 2147483647" in refused["field-lagrange"]
    assert "lagrange" not in refused


def test_halves_are_no_business_of_a_field():
    inputs = np.arange(4)[:, None]
    comparison = compare(
        lambda x: x / 2, inputs, 8, n_stragglers=0, degree=1, codes=["field-lagrange"]
    )
    assert comparison.rows[0].refused == "f must give whole numbers for whole numbers"


def test_groups_of_which_f_has_nothing_right_have_no_accuracy():
    inputs = np.eye(2)[[0, 1, 0, 1]]
    comparison = compare(
        lambda x: x,
        inputs,
        4,
        n_stragglers=0,
        n_inputs=2,
        codes=["replication"],
        labels=[1, 0, 0, 0],
    )
    assert comparison.score(comparison.rows[0]).accuracy == 1.0


# The functions at hand.


def test_the_pendulum_equals_scipys_solution():
    from scipy.integrate import solve_ivp

    angle, damping = 2.0, 0.3
    solution = solve_ivp(
        lambda _, y: [y[1], -np.sin(y[0]) - damping * y[1]],
        (0.0, 10.0),
        [angle, 0.0],
        t_eval=np.linspace(0.2, 10.0, 50),
        rtol=1e-10,
        atol=1e-12,
    )
    np.testing.assert_allclose(
        pendulum(np.array([[angle, damping]]))[0], solution.y[0], rtol=0, atol=1e-6
    )


def test_the_polynomial_is_of_degree_2_and_whole():
    line = np.arange(6)[:, None] * np.array([1, -2, 3, 0, 5, 1]) + np.array([4, 4, -1, 2, 0, 9])
    values = polynomial(line)
    assert values.dtype == line.dtype
    assert not np.diff(values, n=3, axis=0).any()
    assert np.diff(values, n=2, axis=0).any(axis=0).all()


def test_the_linear_map_is_linear_over_whole_numbers():
    rng = np.random.default_rng(0)
    x, y = rng.integers(-9, 10, size=(2, 3, 64))
    np.testing.assert_array_equal(linear_map(3 * x - y), 3 * linear_map(x) - linear_map(y))


@pytest.mark.parametrize("name", BUNDLED)
def test_each_function_has_inputs_for_its_setting(name):
    k, n, s = BUNDLED[name]
    problem = bundled(name, 2 * k)
    assert len(problem.inputs) == 2 * k
    assert len(np.asarray(problem.fn(problem.inputs[:k]))) == k
    assert 0 < s < n


# The command.


def run(tmp_path, *options):
    arguments = ["compare", f"--out={tmp_path / 'codes.png'}", f"--json={tmp_path / 'codes.json'}"]
    assert main([*arguments, *options]) == 0
    return json.loads((tmp_path / "codes.json").read_text())


def test_help_names_the_codes_and_they_are_what_the_option_takes(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["compare", "--help"])
    assert ended.value.code == 0
    told = "".join(capsys.readouterr().out.split()).partition("whichof")[2]
    told = told.partition(";allifleftout")[0].split(",")
    assert told == list(codes())
    (numbers,) = run(
        tmp_path, "--function=xsinx", f"--codes={told[0]}, {told[-1]}", "--repeats=1", "--groups=1"
    )
    assert {row["code"] for row in numbers["rows"]} == {told[0], told[-1]}


def test_the_command_writes_tables_picture_and_numbers(tmp_path, capsys):
    (numbers,) = run(
        tmp_path, "--function=xsinx", "--codes=spline,lagrange,berrut", "--repeats=2", "--groups=1"
    )
    printed = capsys.readouterr().out
    assert "x sin x: 20 inputs, 40 workers, 12 of them lost" in printed
    assert "not for this: lagrange: f must be a polynomial of known degree" in printed
    assert codes()["spline"].guarantee in printed
    assert max(map(len, printed.splitlines())) <= 80 + len(str(tmp_path))
    assert (tmp_path / "codes.png").read_bytes().startswith(PNG)
    assert [row["code"] for row in numbers["rows"]] == ["spline", "berrut", "lagrange"]
    assert numbers["setting"]["n_inputs"] == 20


def test_numbers_that_there_are_none_of_are_null_in_the_file(tmp_path):
    (numbers,) = run(
        tmp_path, "--function=xsinx", "--codes=replication", "--repeats=2", "--groups=1", "--s=39"
    )
    (row,) = numbers["rows"]
    score = row["scores"][-1]
    assert (score["n_stragglers"], score["decoded"]) == (39, 0.0)
    assert (score["error"], score["half_width"], row["decode_seconds"]) == (None, None, None)


@pytest.mark.parametrize("columns", ["80", "40"])
def test_the_table_of_a_network_is_whole_in_a_terminal(tmp_path, capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    run(tmp_path, "--function=lenet5", "--codes=kernel,replication-nearest", "--groups=1")
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert "acc." in printed
    assert "replication-nearest" in printed


def test_your_function_is_found_where_the_program_starts(tmp_path):
    (tmp_path / "mine.py").write_text("def cube(x):\n    return x**3\n")
    np.savez(tmp_path / "points.npz", inputs=np.linspace(-1.0, 1.0, 8)[:, None])
    command = [sys.executable, "-m", "coded", "compare", "--function=mine:cube", "--degree=3"]
    options = ["--inputs=points.npz", "--k=4", "--n=14", "--s=3", "--codes=lagrange,spline"]
    done = subprocess.run(
        [*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "mine:cube: 4 inputs, 14 workers, 3 of them lost" in done.stdout
    assert (tmp_path / "coded_compare.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--function=nothing"],
            "function must be one of linear, polynomial, .* or module:function",
        ),
        (["--function=math:nothing"], "module math has no nothing"),
        (["--function=numpy:sin"], "an npz file that holds inputs"),
        (["--function=no.such.module:f"], "No module named 'no'"),
        (["--function=xsinx", "--codes=reed"], "codes must be among"),
        (["--function=xsinx", "--s=40"], r"n_stragglers must lie in \[0, 39\], got 40"),
        (["--out=/nowhere/codes.png"], "cannot write /nowhere/codes.png"),
        (["--k=three"], "invalid int value: 'three'"),
        (["--groups=0"], "argument --groups: must be >= 1, got 0"),
        (["--inputs=points.npz"], "argument --inputs: goes with --function module:function"),
        (["--function=xsinx", "--degree=2"], "argument --degree: goes with --function module:"),
        (["--function=xsinx", "--seed=-1"], "rng must be >= 0, got -1"),
    ],
)
def test_bad_options_are_refused_in_one_line(tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as caught:
        main(["compare", f"--out={tmp_path / 'codes.png'}", *options])
    assert caught.value.code == 2
    import re

    told = capsys.readouterr().err
    assert re.search(message, told)
    assert told.count("\n") == 1


def test_codes_may_be_listed_with_spaces(tmp_path, capsys):
    run(tmp_path, "--function=xsinx", "--codes=berrut, spline", "--repeats=1", "--groups=1")
    assert "berrut" in capsys.readouterr().out


POINTS = np.ones((8, 2))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": POINTS}, r"holds \['x'\]; write it by np.savez\(path, inputs=...\)"),
        ({"inputs": POINTS, "labels": np.zeros(7, int)}, r"shape \(7,\), and there are 8 inputs"),
        ({"inputs": np.array(3.0)}, r"must be a stack of numbers, got shape \(\)"),
        ({"inputs": POINTS[:0]}, r"must be a stack of numbers, got shape \(0, 2\)"),
        ({"inputs": np.array(["a", "b"])}, "must be a stack of numbers, .* dtype <U1"),
        ({"inputs": np.array([{}, 1], object)}, "holds other things than numbers"),
        (None, "is no npz file; write it by"),
    ],
)
def test_files_that_hold_no_inputs_are_refused(tmp_path, arrays, message):
    path = tmp_path / "points.npz"
    if arrays is None:
        path.write_text("hello")
    else:
        np.savez(path, **arrays)
    with pytest.raises(ValueError, match=message):
        read_problem("numpy:sin", path, None, 4)


def test_a_missing_file_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_problem("numpy:sin", tmp_path / "points.npz", None, 4)


def test_what_your_function_raises_is_told_in_one_line(tmp_path):
    (tmp_path / "mine.py").write_text("def f(x):\n    return {}['a']\n")
    np.savez(tmp_path / "points.npz", inputs=POINTS)
    command = [sys.executable, "-m", "coded", "compare", "--function=mine:f"]
    options = ["--inputs=points.npz", "--k=4", "--n=9", "--s=2"]
    done = subprocess.run(
        [*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "mine:f: it raised KeyError: 'a' (" in done.stderr
    assert "mine.py, line 2), called with a numpy stack of inputs of shape (4, 2)" in done.stderr
