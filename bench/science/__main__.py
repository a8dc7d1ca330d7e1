"""The command: `python -m bench.science` runs experiments and writes tables and pictures.

    python -m bench.science                 run all experiments, then write README's tables
    python -m bench.science rates digits    run some
    python -m bench.science --tables        write the tables from the stored numbers alone
    python -m bench.science --quick         a few batches and draws only, nothing is stored

Each experiment is a module with `run(quick)`, which gives its numbers as JSON can hold them,
`tables(numbers)`, marker of README to markdown, and `draw(numbers)`, file name to picture; one
that feeds a package has `package_files(numbers)` too, path to text.
Numbers lie in bench/results/science/NAME.json, pictures beside them.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.report import RESULTS, ROOT, write_table
from bench.science.trials import to_json

EXPERIMENTS = (
    "rates",
    "split",
    "polynomials",
    "privacy",
    "sensitivity",
    "published",
    "digits",
    "fashion",
    "parity",
    "calibration",
    "zoo",
    "claims",
)
FOLDER = RESULTS / "science"

Numbers = dict[str, Any]


def run_experiment(name: str, *, quick: bool) -> Numbers:
    """Run one experiment and give its numbers."""
    start = time.perf_counter()
    numbers: Numbers = import_module(f"bench.science.{name}").run(quick=quick)
    print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    return numbers


def store(name: str, numbers: Numbers, folder: Path = FOLDER) -> None:
    """Write the numbers of one experiment."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(to_json(numbers), encoding="utf-8")


def publish(name: str, folder: Path = FOLDER) -> None:
    """Write tables and pictures of one experiment from its stored numbers."""
    numbers = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    module = import_module(f"bench.science.{name}")
    for marker, markdown in module.tables(numbers).items():
        write_table(marker, markdown)
    for file, figure in module.draw(numbers).items():
        figure.savefig(folder / file)
    if hasattr(module, "package_files"):
        for path, text in module.package_files(numbers).items():
            (ROOT / path).write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the experiments that are named, or all."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.science",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(EXPERIMENTS))
    parser.add_argument("--tables", action="store_true", help="from the stored numbers alone")
    parser.add_argument("--quick", action="store_true", help="a look; nothing is stored")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in EXPERIMENTS:
            parser.error(f"there is no experiment {name!r}; choose from {', '.join(EXPERIMENTS)}")
    for name in options.names or EXPERIMENTS:
        if options.quick:
            numbers = json.loads(to_json(run_experiment(name, quick=True)))
            for table in import_module(f"bench.science.{name}").tables(numbers).values():
                print(f"\n{table}")
            continue
        if not options.tables:
            store(name, run_experiment(name, quick=False))
        publish(name)


if __name__ == "__main__":
    main()
