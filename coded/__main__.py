"""The command line: `python -m coded demo` and `python -m coded compare`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from coded.command_line import compare as compare
from coded.command_line import demo as demo

_WHAT = "Coded computing: all K outputs from whichever of N workers answered."


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
    for part in (demo, compare):
        part.add_to(commands)
    options = vars(parser.parse_args(arguments))
    if not options:
        parser.print_help()
        return 0
    run = options.pop("run")
    try:
        run(argparse.Namespace(**options))
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
