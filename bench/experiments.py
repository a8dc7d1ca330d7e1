"""Experiments: who measures what, how it is stored and where it is told.

An experiment is a module with `run(quick)`, which gives its numbers as JSON can hold them,
`tables(numbers)`, marker to markdown, and `draw(numbers)`, file name to picture; one that feeds a
package has `package_files(numbers)` too, path to text. Its record lies in ``results/NAME.json``,
its pictures beside it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import ModuleType

from matplotlib.figure import Figure
from PIL import Image

from bench.documents import write_tables
from bench.records import (
    RESULTS,
    ROOT,
    Numbers,
    Record,
    origin_now,
    read,
    store,
    tell_origin,
    to_json,
)
from bench.stale import changed_since, files_of


@dataclass(frozen=True)
class Experiment:
    """Who measures what a record holds.

    Attributes
    ----------
    name : str
        Of the record, ``results/NAME.json``.
    module : str
        With `run`, `tables` and `draw`.
    command : str
        Runs it and stores the record.
    starts : sequence of str, optional
        Modules that run in processes of their own, so that the imports do not lead to them.
    packages : sequence of str, optional
        Distributions whose versions count too.
    """

    name: str
    module: str
    command: str
    starts: Sequence[str] = ()
    packages: Sequence[str] = ()

    @property
    def key(self) -> str:
        """What commands and markers call it."""
        return self.name.rpartition("/")[2]

    @property
    def path(self) -> Path:
        return RESULTS / f"{self.name}.json"

    @property
    def files(self) -> set[Path]:
        """What is measured: all files that the module leads to."""
        return files_of([self.module, *self.starts])

    @property
    def code(self) -> ModuleType:
        return import_module(self.module)


def _alone(name: str, module: str, **options: Sequence[str]) -> Experiment:
    return Experiment(name, module, f"python -m {module}", **options)


def _science(name: str, *packages: str) -> Experiment:
    command = f"python -m bench.science {name}"
    return Experiment(f"science/{name}", f"bench.science.{name}", command, packages=packages)


EXPERIMENTS = {
    one.key: one
    for one in (
        _alone(
            "demo", "bench.demo_tables",
            starts=["coded.demo.screen", "coded.command_line.demo"], packages=["torch"],
        ),
        _alone("codes", "bench.codes", packages=["torch"]),
        _alone("systems", "bench.systems"),
        Experiment("exact", "bench.exactness.__main__", "python -m bench.exactness"),
        _alone("programs", "bench.exactness.programs", packages=["csaps"]),
        _alone("selection", "bench.exactness.selection", packages=["csaps"]),
        Experiment(
            "neighbours", "bench.neighbours.__main__", "python -m bench.neighbours",
            packages=["csaps"],
        ),
        _alone(
            "first_calls", "bench.first_calls",
            starts=["fastspline", "fastspline._stream", "coded.schemes.spline"],
        ),
        _alone("latency", "bench.engines.latency"),
        _alone("traffic", "bench.engines.traffic", packages=["torch", "distributed", "ray"]),
        _alone(
            "serving", "bench.engines.serving",
            starts=["bench.engines.digit_server"], packages=["torch", "litserve"],
        ),
        _alone("sweep", "bench.engines.sweep"),
        _alone("jobs", "bench.engines.jobs"),
        _alone("stability", "bench.engines.stability"),
        _alone("gradients", "bench.engines.gradients"),
        _alone("layers", "bench.engines.layers", packages=["torch"]),
        _alone("deadline", "bench.engines.deadline", packages=["torch"]),
        _alone("training", "bench.engines.training", packages=["torch"]),
        _science("rates"),
        _science("split", "torch"),
        _science("polynomials"),
        _science("privacy"),
        _science("sensitivity", "torch"),
        _science("published", "torch"),
        _science("digits", "torch"),
        _science("fashion", "torch"),
        _science("parity", "torch"),
        _science("calibration", "torch"),
        _science("zoo", "torch"),
        _science("unseen", "scikit-learn"),
    )
}  # fmt: skip


def measure(experiment: Experiment) -> Record:
    """Run an experiment and give its record.

    Raises
    ------
    ValueError
        If the code that is measured is not that of a commit.
    """
    changed = changed_since("HEAD", experiment.files)
    if changed:
        raise ValueError(
            f"{', '.join(changed[:3])} differ from the last commit, and a record names the commit "
            "that it measures; commit first, or look with --quick"
        )
    origin = origin_now(experiment.command, experiment.packages)
    start = time.perf_counter()
    numbers: Numbers = experiment.code.run(quick=False)
    origin["seconds"] = round(time.perf_counter() - start)
    origin["versions"] |= numbers.pop("versions", {})  # of programs that are no Python
    return {"origin": origin, "numbers": numbers}


def tables_of(experiment: Experiment, record: Record) -> dict[str, str]:
    """Make the tables of a record, and the line that tells where they come from."""
    origin = {f"{experiment.key}-origin": tell_origin(record["origin"])}
    return origin | experiment.code.tables(record["numbers"])


def publish(experiment: Experiment) -> None:
    """Write tables, pictures and what packages need from the stored record."""
    record = read(experiment.path)
    numbers = record["numbers"]
    write_tables(tables_of(experiment, record))
    for file, figure in experiment.code.draw(numbers).items():
        save(figure, experiment.path.parent / file)
    if hasattr(experiment.code, "package_files"):
        for path, text in experiment.code.package_files(numbers).items():
            (ROOT / path).write_text(text, encoding="utf-8")


def save(figure: Figure, path: Path) -> None:
    """Write a small picture."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    Image.open(buffer).convert("RGB").quantize(256).save(path, optimize=True)


def main(name: str, arguments: Sequence[str] | None = None) -> None:
    """Run one experiment, store its record, and write its tables and pictures."""
    experiment = EXPERIMENTS[name]
    parser = argparse.ArgumentParser(
        prog=experiment.command,
        description=experiment.code.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a look; nothing is stored")
    if parser.parse_args(arguments).quick:
        look(experiment)
    else:
        renew(experiment)


def look(experiment: Experiment) -> None:
    """Run an experiment on little and print its tables."""
    numbers = json.loads(to_json(experiment.code.run(quick=True)))
    numbers.pop("versions", None)
    for table in experiment.code.tables(numbers).values():
        print(f"\n{table}")


def renew(experiment: Experiment) -> None:
    """Run an experiment, store its record, and publish it."""
    record = measure(experiment)
    store(record, experiment.path)
    publish(experiment)
    print(f"{experiment.path}: {record['origin']['seconds']} s", flush=True)
