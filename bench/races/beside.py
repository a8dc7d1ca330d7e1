"""Two commits beside each other: the same races of both, in turn, on one machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from math import inf
from pathlib import Path

from bench.records import ROOT, ask_git

SLOWS_BLAS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
WORTH_A_FLAG = 0.9  # what is below 0.9 times its old value has fallen by more than 10 %
_OF_NEW = ("bench", "tests", "pyproject.toml")  # how both are raced

Seconds = dict[str, float]  # of ours, by race


def race_commits(
    old: str, new: str, *, only: str, rounds: int, seconds: float
) -> tuple[Seconds, Seconds]:
    """Run the races of `new` with the code of both commits, in turn, `rounds` times.

    Gives the least seconds of ours; races that one of them cannot run are missing there.

    Parameters
    ----------
    old, new : str
        Commits, as git names them.
    only : str
        Which races, as pytest's -k.
    rounds : int
        How often each has its turn; the first one also compiles.
    seconds : float
        How long each race lasts at least.

    Raises
    ------
    ValueError
        If git knows no such commit, or no race has that name.
    """
    best: tuple[Seconds, Seconds] = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        trees = [Path(folder) / name for name in ("old", "new")]
        for commit, tree in zip((old, new), trees, strict=True):
            _unpack(commit, tree)
        for name in _OF_NEW:
            _replace(trees[0] / name, trees[1] / name)
        for _ in range(rounds):
            for tree, found in zip(trees, best, strict=True):
                for race, spent in _run(tree, only, seconds):
                    found[race] = min(found.get(race, inf), spent)
    if not any(best):
        raise ValueError(f"no race has a name that -k {only!r} chooses; see bench/races")
    return best


def tell_commits(old: Mapping[str, float], new: Mapping[str, float]) -> tuple[str, int]:
    """Tell both commits' times, and how many races of `new` are more than 10 % slower."""
    lines, fallen = [f"{'microseconds of ours':64} {'old':>10} {'new':>10} old / new"], 0
    for race in dict.fromkeys([*old, *new]):
        if race not in old or race not in new:
            lines.append(f"{race:64} only in the {'new' if race in new else 'old'} commit")
            continue
        ratio = old[race] / new[race]
        has_fallen = ratio < WORTH_A_FLAG
        fallen += has_fallen
        flag = "  FELL" if has_fallen else ""
        lines.append(
            f"{race:64} {1e6 * old[race]:10.4g} {1e6 * new[race]:10.4g} {ratio:9.2f}{flag}"
        )
    return "\n".join(lines), fallen


def calm_environment() -> dict[str, str]:
    """Give the environment without what makes BLAS slower than it is, or tells pytest of others."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in SLOWS_BLAS and not name.startswith("PYTEST_")
    }


def _unpack(commit: str, tree: Path) -> None:
    """Write the files of a commit."""
    try:
        full = ask_git("rev-parse", "--verify", f"{commit}^{{commit}}")
    except subprocess.CalledProcessError as error:
        raise ValueError(
            f"{commit!r} is neither a record's file nor a commit; see git log --oneline"
        ) from error
    tree.mkdir()
    packed = subprocess.run(
        ["git", "archive", full], cwd=ROOT, stdout=subprocess.PIPE, check=True
    ).stdout
    subprocess.run(["tar", "-x"], cwd=tree, input=packed, check=True)


def _replace(there: Path, here: Path) -> None:
    if there.is_dir():
        shutil.rmtree(there)
    if here.is_dir():
        shutil.copytree(here, there)
    else:
        shutil.copy(here, there)


def _run(tree: Path, only: str, seconds: float) -> Iterator[tuple[str, float]]:
    """Give name and seconds of each race that ends well."""
    raw = tree / "raw.json"
    raw.unlink(missing_ok=True)
    options = ["-q", "--benchmark-enable", "--benchmark-quiet", f"--benchmark-json={raw}"]
    command = [sys.executable, "-m", "pytest", "bench", "-k", only, f"--race-seconds={seconds}"]
    place = calm_environment() | {"PYTHONPATH": str(tree)}
    done = subprocess.run(
        [*command, *options], cwd=tree, env=place, capture_output=True, text=True, check=False
    )
    if not raw.exists():
        if done.returncode == 5:  # pytest's "no tests"
            return
        raise ValueError(f"races ended without result in {tree.name}:\n{done.stdout[-2000:]}")
    for race in json.loads(raw.read_text(encoding="utf-8"))["benchmarks"]:
        if "seconds" in race["extra_info"]:
            yield race["name"], race["extra_info"]["seconds"]["ours"]
