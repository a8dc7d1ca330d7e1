"""The options of `python -m coded demo`."""

from __future__ import annotations

import argparse
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from coded.command_line.checks import require_installed, require_writable
from coded.demo.choices import LIVE_K, Choices

if TYPE_CHECKING:
    Subcommands = argparse._SubParsersAction[argparse.ArgumentParser]

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
        ("wait-for", "R", "answers that estimating codes wait for (three quarters of the workers)"),
    ),
    "both parts": (("seed", "SEED", "of digits, stragglers and delays (%(default)s)"),),
}
_NEEDED = ("torch", "mlxtend", "matplotlib", "rich")


def add_to(commands: Subcommands) -> None:
    """Add the command with its options; the whole numbers are the fields of `Choices`."""
    demo = commands.add_parser(
        "demo",
        help="real digits, a real network, real processes of which some fail; two minutes",
        description=(
            "Code real handwritten digits through a real network in two parts. Accuracy: how good "
            "the answers are when S of N workers are lost. Live: how long answers take on worker "
            "processes that are slow, killed and frozen."
        ),
    )
    default = Choices()
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
    demo.set_defaults(run=partial(_run, demo))


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    require_writable(parser, options.out, options.json)
    try:
        choices = Choices(**{one.name: getattr(options, one.name) for one in fields(Choices)})
    except ValueError as error:
        parser.error(f"--{error}")
    require_installed(parser, *_NEEDED)
    from rich.console import Console

    from coded.demo.screen import show

    parts = _PARTS if options.only is None else (options.only,)
    console = Console(highlight=False)
    show(choices, console, parts=parts, plot=options.out, numbers=options.json)
