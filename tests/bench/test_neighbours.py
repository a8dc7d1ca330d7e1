"""Curves, bands and times beside other programs: what is compared, and how it is told."""

import re

import numpy as np
import pytest

from bench.neighbours import __main__ as neighbours
from bench.neighbours import worker


@pytest.fixture(scope="module")
def problem():
    return neighbours.make_problem(3)


def test_a_problem_is_read_as_it_was_written(problem, tmp_path):
    problem.write(tmp_path / "problem")
    for ours, theirs in zip(problem, worker.read(tmp_path / "problem"), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_problem_with_fewer_columns_is_the_beginning_of_it(problem):
    np.testing.assert_array_equal(neighbours.make_problem(2).values, problem.values[:, :2])


@pytest.mark.parametrize("program", ["scipy", "csaps"])
def test_programs_of_python_have_our_curve(program, problem):
    ours, theirs = worker.SHOW["ours"](problem), worker.SHOW[program](problem)
    for name in ("curve", "slope"):
        np.testing.assert_allclose(theirs[name], ours[name], rtol=0.0, atol=1e-10)


def test_bands_of_ours_are_half_widths(problem):
    shown = worker.SHOW["ours"](problem)
    assert set(shown) == set(worker.QUANTITIES)
    assert (shown["band"] < shown["simultaneous"]).all()
    assert (shown["band"] < shown["prediction"]).all()
    noise = shown["prediction"].mean() / 2
    assert noise == pytest.approx(neighbours.NOISE, rel=0.2)


def test_a_process_answers_each_command_with_a_line(problem, tmp_path):
    problem.write(tmp_path / "problem")
    with neighbours.Worker(neighbours.commands_of_python()["ours"], tmp_path, 1) as one:
        shown = one.show("scipy")
        np.testing.assert_array_equal(shown["curve"], worker.SHOW["scipy"](problem)["curve"])
        assert np.isnan(shown["band"]).all()
        assert one.seconds("scipy", 1) > 0.0
        with pytest.raises(RuntimeError, match="nobody: KeyError"):
            one.seconds("nobody", 1)
        assert one.show("nobody").startswith("KeyError")


def test_workers_know_all_programs():
    text = (neighbours.HERE / "worker.R").read_text(encoding="utf-8")
    shows, takes = (text.partition(f"{name} <- list(")[2].partition("\n)")[0] for name in LISTS)
    for known, wanted in ((shows, neighbours.FITS), (takes, neighbours.RIVALS)):
        in_r = set(re.findall(r'"?([\w-]+)"? = ', known))
        mine = {one.program for one in wanted if neighbours.kind_of(one.program) == "R"}
        assert mine <= in_r
    assert {one.program for one in neighbours.FITS if neighbours.kind_of(one.program) != "R"} < set(
        worker.SHOW
    )
    assert {one.program for one in neighbours.RIVALS if neighbours.kind_of(one.program) != "R"} < (
        set(worker.TAKE)
    )


LISTS = ("SHOW", "TAKE")

NUMBERS = {
    "columns": 1000,
    "fits": [
        {"title": "ours", "truth": 0.0386},
        {
            "title": "mgcv",
            "beside": "ours",
            "curve": 1e-12,
            "slope": 0.0114,
            "band": [1.0, 1.0, 1.0],
            "simultaneous": [0.95, 0.98, 0.99],
            "slope band": [None, None, None],
            "prediction": [1.0, 1.0, 1.0],
            "truth": 0.0384,
        },
        {"title": "pyGAM", "beside": "ours-gcv", "fails": "ModuleNotFoundError: pygam"},
    ],
    "times": {
        "one thread": {"ours": 2e-4, "ours-curve": 1e-4, "R": 5e-5}
        | dict.fromkeys((one.program for one in neighbours.RIVALS if one.program != "R"), 9e-3),
        "as it comes": dict.fromkeys(
            (*neighbours.OURS, *(one.program for one in neighbours.RIVALS)), 1e-4
        ),
    },
}


def test_table_of_fits():
    lines = neighbours.tell_fits(NUMBERS).splitlines()
    assert lines[3] == "| mgcv | 1e-12 | 0.011 | 1.00 | 0.98 (0.95 to 0.99) | - | 1.00 | 0.0384 |"
    assert lines[4] == "| pyGAM | - | - | - | - | - | - | fails |"


def test_table_of_times_prints_losses():
    lines = neighbours.tell_times(NUMBERS).splitlines()
    assert lines[2] == "| ours, 1,000 columns | 200 ms | 100 ms |"
    assert lines[3] == "| ours, without a band, 1,000 columns | 100 ms | 100 ms |"
    assert lines[4].endswith("without a band | 0.50 | 1.0 |")
    assert lines[8].endswith("11 lam | 45 | 1.0 |")


def test_without_r_nothing_is_measured_and_the_mend_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="install R"):
        neighbours.run(quick=True)
