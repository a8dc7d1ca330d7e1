"""Records: numbers, and where they come from: commit, date, machine, versions and command."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import cpuinfo
import threadpoolctl

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"
CORE = ("numpy", "scipy", "numba", "fastspline")

Numbers = dict[str, Any]
Record = dict[str, Any]  # {"origin": Origin, "numbers": Numbers}, or "benchmarks" in a race's
Origin = dict[str, Any]


def ask_git(*words: str) -> str:
    """Give what git prints."""
    done = subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@cache
def describe_machine() -> dict[str, str]:
    """Give processor and BLAS, without which no time means anything."""
    blas = {
        f"{one['internal_api']} {one['version']} {one.get('architecture', '')}".rstrip()
        for one in threadpoolctl.threadpool_info()
        if one["user_api"] == "blas"
    }
    return {
        "cpu": cpuinfo.get_cpu_info().get("brand_raw", platform.machine()),
        "cpus": str(os.cpu_count()),
        "blas": ", ".join(sorted(blas)),
    }


def versions_of(packages: Sequence[str]) -> dict[str, str]:
    """Give the versions of Python and of what is installed."""
    found = {name: importlib.metadata.version(name) for name in (*CORE, *packages)}
    return {"python": platform.python_version(), **found}


def origin_now(command: str, packages: Sequence[str] = ()) -> Origin:
    """Say where numbers come from that are measured now."""
    return {
        "commit": ask_git("rev-parse", "HEAD"),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "machine": describe_machine(),
        "versions": versions_of(packages),
    }


def store(record: Record, path: Path) -> None:
    """Write a record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_json(record), encoding="utf-8")


def read(path: Path) -> Record:
    """Read a record.

    Raises
    ------
    ValueError
        If it does not say where it comes from, or comes from a commit that nobody can look up.
    """
    record: Record = json.loads(path.read_text(encoding="utf-8"))
    missing = {"commit", "date", "command", "machine", "versions"} - record.get("origin", {}).keys()
    if missing:
        raise ValueError(f"{path} does not tell {', '.join(sorted(missing))}; measure it again")
    commit = record["origin"]["commit"]
    if not is_in_history(commit):
        raise ValueError(
            f"{path} is of commit {commit[:7]}, which is not in this history; "
            f"measure it again: {record['origin']['command']}"
        )
    return record


@cache
def is_in_history(commit: str) -> bool:
    """Whether HEAD descends from a commit."""
    words = ["git", "merge-base", "--is-ancestor", commit, "HEAD"]
    return subprocess.run(words, cwd=ROOT, capture_output=True).returncode == 0


def tell_origin(origin: Origin) -> str:
    """Write a line that tells where numbers come from."""
    machine = origin["machine"]
    versions = {name: number for name, number in origin["versions"].items() if name != "fastspline"}
    told = ", ".join(f"{name} {number}" for name, number in versions.items())
    spent = f" ({_tell_seconds(origin['seconds'])})" if "seconds" in origin else ""
    blas = f" ({machine['blas']})" if machine["blas"] else ""
    return (
        f"Commit {origin['commit'][:7]}, {origin['date'][:10]}, `{origin['command']}`{spent}; "
        f"{machine['cpu']}, {machine['cpus']} CPUs{blas}; {told.replace('python', 'Python', 1)}."
    )


def _tell_seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def to_json(record: Mapping[str, Any]) -> str:
    """Write JSON, a value a line and a list of plain values on one line."""
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    return re.sub(r"\[\n\s*([^\[\]{}]+?)\n\s*\]", _on_one_line, text) + "\n"


def _on_one_line(values: re.Match[str]) -> str:
    return "[" + re.sub(r",\n\s*", ", ", values[1]) + "]"
