"""The mutants fit the code as it is, and what tries them tells kills from all else."""

import ast
import subprocess
import sys

import pytest

from tests import mutants
from tests.mutants import MUTANTS, ROOT, Mutant

FOLDERS = {
    "fastspline/_kernels",
    "fastspline/_solvers",
    "fastspline",
    "bench",
    *(
        f"coded/{name}"
        for name in (
            "places", "nearness", "maps", "algebra", "estimation", "schemes", "runtime", "workers",
            "evaluation", "comparison", "latency", "digits", "demo", "command_line",
        )
    ),
}  # fmt: skip

SUM = "def add(a, b):\n    return a + b\n\n\ndef half(a):\n    return a / 2\n"
TESTS = """
import time
from sum import add, half

def test_add():
    if add(1, 1) == 0:
        time.sleep(60)
    assert add(2, 3) == 5

def test_half_of_nothing():
    assert half(0) == 0
"""


@pytest.mark.parametrize("mutant", MUTANTS, ids=[f"{i}-{m.file}" for i, m in enumerate(MUTANTS)])
def test_each_mutant_applies_to_one_place_and_is_python(mutant):
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.before) == 1
    now = text.replace(mutant.before, mutant.after)
    assert ast.dump(ast.parse(now)) != ast.dump(ast.parse(text))


@pytest.mark.parametrize("tests", sorted({mutant.tests for mutant in MUTANTS}))
def test_the_tests_that_must_fail_are_there(tests):
    for test in tests.split():
        file, _, name = test.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert any(one.startswith("test_") for one in names)
        assert not name or name in names


def test_mutants_are_in_all_folders_and_all_different():
    assert {mutant.file.rpartition("/")[0] for mutant in MUTANTS} >= FOLDERS
    places = {(mutant.file, mutant.before, mutant.after) for mutant in MUTANTS}
    assert len(places) == len(MUTANTS) >= 25


@pytest.fixture
def tree(tmp_path):
    """A tree of one module and its tests, known to git, and a file that is not."""
    (tmp_path / "sum.py").write_text(SUM)
    (tmp_path / "test_sum.py").write_text(TESTS)
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, timeout=60)
    (tmp_path / "conftest.py").write_text("raise RuntimeError('not copied, for git does not know')")
    return tmp_path


def test_only_a_test_that_fails_is_a_kill(tree, monkeypatch):
    monkeypatch.setattr(mutants, "TEST_SECONDS", 5)
    changes = {
        "killed": ("a + b", "a - b + 1"),
        "stuck": ("a + b", "a - b"),
        "lived": ("a / 2", "a / 3"),
        "gone": ("a * b", "a + b"),
        "twice": ("return", "yield"),
        "no import": ("a + b", "a +"),
    }
    given = [Mutant("sum.py", *change, "test_sum.py") for change in changes.values()]
    given.append(Mutant("sum.py", "a + b", "a - b", "test_other.py"))
    outcomes = list(mutants.try_all(given, tree))
    assert [outcome.verdict for outcome in outcomes] == [
        "killed", "killed", "lived", "no longer applies", "no longer applies", "nothing known",
        "nothing known",
    ]  # fmt: skip
    assert outcomes[0].detail == "test_sum.py::test_add"
    assert outcomes[1].detail == "test_add took over 5 s"
    assert (tree / "sum.py").read_text() == SUM


def test_the_time_of_a_whole_run_is_bounded(tree, monkeypatch):
    monkeypatch.setattr(mutants, "RUN_SECONDS", 3)
    (outcome,) = mutants.try_all([Mutant("sum.py", "a + b", "a - b", "test_sum.py")], tree)
    assert outcome.verdict == "nothing known"
    assert outcome.detail.startswith("time is up")


@pytest.mark.parametrize(("after", "code", "told"), [("a - b + 1", 0, "1 of 1"), ("b + a", 1, "0")])
def test_the_program_exits_with_1_unless_all_are_killed(
    after, code, told, tree, monkeypatch, capsys
):
    given = Mutant("sum.py", "a + b", after, "test_sum.py")
    monkeypatch.setattr(mutants, "MUTANTS", (given, Mutant("other.py", "", "", "")))
    assert mutants.main(["--only", "sum"], tree) == code
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{told} ")


def test_the_program_lists_mutants_and_refuses_names_of_none():
    command = [sys.executable, "-m", "tests.mutants"]
    listed = subprocess.run(
        [*command, "--list", "--only", "fastspline/_memory", "latency/"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, timeout=60,
    )  # fmt: skip
    files = {line.partition(":")[0] for line in listed.stdout.splitlines()}
    assert files == {"fastspline/_memory.py", "coded/latency/policies.py"}
    refused = subprocess.run(
        [*command, "--only", "nowhere"],
        cwd=ROOT, check=False, stderr=subprocess.PIPE, text=True, timeout=60,
    )  # fmt: skip
    assert (refused.returncode, "no mutant is in a file named nowhere" in refused.stderr) == (
        2,
        True,
    )
