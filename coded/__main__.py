"""The command line: `python -m coded demo`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from coded.demo.settings import LIVE_K, Settings

_PARTS = ("accuracy", "live")
_NUMBERS = {
    "accuracy part": (
        ("k", "K", "inputs, digits that are coded together (%(default)s)"),
        ("n", "N", "workers, each with one coded input (%(default)s)"),
        ("s", "S", "stragglers, workers whose answers are lost (%(default)s)"),
        ("repeats", "R", "draws of stragglers a batch (%(default)s)"),
    ),
    "live part": (
        ("workers", "N", "worker processes (%(default)s)"),
        ("rounds", "R", f"rounds of {LIVE_K} digits (%(default)s)"),
        ("wait-for", "R", "answers that the codes wait for (three quarters of the workers)"),
    ),
    "both parts": (("seed", "SEED", "of digits, stragglers and delays (%(default)s)"),),
}
_WHAT = "Coded computing: all K outputs from whichever of N workers answered."
_NEEDED = ("torch", "mlxtend", "matplotlib", "rich")


class _Parser(argparse.ArgumentParser):
    """A parser that refuses in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the program.

    Returns
    -------
    int
        Exit code: 0, or 130 after Ctrl-C. Bad options and missing packages end the program
        with 2.
    """
    parser = _Parser(prog="python -m coded", description=_WHAT)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="real digits, a real network, real processes of which some fail; about a minute",
        description=(
            "Code real handwritten digits through a real network in two parts. Accuracy: how good "
            "the answers are when S of N workers are lost. Live: how long answers take on worker "
            "processes that are slow, killed and frozen."
        ),
    )
    _add_options(demo)
    options = parser.parse_args(arguments)
    if not vars(options):
        parser.print_help()
        return 0
    settings = _read_settings(options, demo)
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        demo.error(f'not installed: {", ".join(missing)}; pip install "fastspline[demo]"')
    return _run(options, settings)


def _add_options(demo: argparse.ArgumentParser) -> None:
    """Add the options; the whole numbers are the fields of `Settings`."""
    default = Settings()
    groups = {title: demo.add_argument_group(title) for title in _NUMBERS}
    for title, rows in _NUMBERS.items():
        for name, metavar, text in rows:
            groups[title].add_argument(
                f"--{name}",
                type=int,
                metavar=metavar,
                default=getattr(default, name.replace("-", "_")),
                help=text,
            )
    groups["accuracy part"].add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        default=Path("coded_demo.png"),
        help="picture to write, a PNG (%(default)s)",
    )
    groups["both parts"].add_argument(
        "--only", choices=_PARTS, metavar="PART", help=f"run {' or '.join(_PARTS)} alone"
    )
    groups["both parts"].add_argument(
        "--json", type=Path, metavar="FILE", help="write all numbers to this file"
    )


def _read_settings(options: argparse.Namespace, demo: argparse.ArgumentParser) -> Settings:
    """Check the options; end the program in one line if one is bad."""
    for path in (options.out, options.json):
        if path is not None and (path.is_dir() or not os.access(path.parent, os.W_OK)):
            demo.error(f"cannot write {path}; name a file in a folder that can be written to")
    try:
        return Settings(**{field.name: getattr(options, field.name) for field in fields(Settings)})
    except ValueError as error:
        demo.error(f"--{error}")


def _run(options: argparse.Namespace, settings: Settings) -> int:
    from rich.console import Console

    from coded.demo.screen import show

    parts = _PARTS if options.only is None else (options.only,)
    try:
        show(
            settings,
            Console(highlight=False),
            parts=parts,
            plot=options.out,
            numbers=options.json,
        )
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
