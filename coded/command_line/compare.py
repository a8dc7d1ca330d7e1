"""The options of `python -m coded compare`, and what it prints."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coded.command_line.checks import require_installed, require_writable
from coded.command_line.jobs import JOBS, print_job
from coded.command_line.tables import print_table, show_progress, without_nan
from coded.comparison.functions import BUNDLED

if TYPE_CHECKING:
    from rich.console import Console

    from coded.comparison.outcome import Comparison

    Subcommands = argparse._SubParsersAction[argparse.ArgumentParser]

_NEEDED = ("matplotlib", "rich")
_NUMBERS = (
    ("k", "K", "inputs that are coded together"),
    ("n", "N", "workers, each with one coded input"),
    ("s", "S", "stragglers, workers whose answers are lost"),
)


def add_to(commands: Subcommands) -> None:
    """Add the command with its options."""
    parser = commands.add_parser(
        "compare",
        help="codes beside each other on your function, or on those at hand; these take 15 s",
        description=(
            "Compare codes on a function: equal inputs, equal workers, equal losses. Without "
            f"options: all codes on {', '.join(BUNDLED)}, each with its own K, N and S."
        ),
    )
    parser.add_argument(
        "--job",
        choices=JOBS,
        help="instead of functions: a product of two matrices, a sum of gradients, or a product of "
        "integers that workers do not see, by the codes for these, beside no code, two copies, "
        "and recomputing what is lost",
    )
    parser.add_argument(
        "--function",
        action="append",
        metavar="NAME",
        help=f"{', '.join(BUNDLED)}, or your module:function, from a stack of inputs to the "
        "stack of answers; may be given several times",
    )
    parser.add_argument(
        "--inputs", type=Path, metavar="NPZ", help="for module:function: inputs, perhaps labels"
    )
    parser.add_argument("--degree", type=int, metavar="D", help="of your function, a polynomial")
    parser.add_argument(
        "--codes", action=_Codes, metavar="A,B", help="which of %(names)s; all if left out"
    )
    for name, metavar, text in _NUMBERS:
        parser.add_argument(f"--{name}", type=int, metavar=metavar, help=text)
    parser.add_argument(
        "--liars", type=int, default=0, metavar="E", help="workers that answer wrongly"
    )
    parser.add_argument(
        "--colluders",
        type=int,
        metavar="T",
        help="for --job secret: workers that may pool what they are sent (1)",
    )
    parser.add_argument(
        "--groups", type=int, default=3, metavar="G", help="groups of K inputs (%(default)s)"
    )
    parser.add_argument(
        "--repeats", type=int, default=20, metavar="R", help="draws of losses (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draws (%(default)s)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        default=Path("coded_compare.png"),
        help="picture to write, a PNG (%(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers to this file")
    parser.set_defaults(run=partial(_run, parser))


class _Names:
    """The names of all codes; to import these takes half a second, and only --help needs them."""

    def __str__(self) -> str:
        from coded.schemes import codes

        return ", ".join(codes())


class _Codes(argparse.Action):
    """Names of codes, at commas."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.names = _Names()  # argparse puts it into the help text when it prints that

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 (argparse's signature)
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        setattr(namespace, self.dest, [name.strip() for name in values.split(",")])


def _run(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if options.job is not None:
        print_job(parser, options)
        return
    if options.colluders is not None:
        parser.error("argument --colluders: goes with --job secret")
    functions = options.function or list(BUNDLED)
    if options.groups < 1:
        parser.error(f"argument --groups: must be >= 1, got {options.groups}")
    for option in ("inputs", "degree"):
        if getattr(options, option) is not None and set(functions) <= set(BUNDLED):
            parser.error(
                f"argument --{option}: goes with --function module:function; those at hand bring "
                "their own"
            )
    require_writable(parser, options.out, options.json)
    require_installed(parser, *_NEEDED)
    if "lenet5" in functions:
        require_installed(parser, "torch", "mlxtend")
    from rich.console import Console

    from coded.comparison.functions import FunctionFailedError
    from coded.comparison.picture import draw_comparisons

    console = Console(highlight=False)
    comparisons = []
    for function in functions:
        try:
            comparison = _compare(function, options, console)
        except (ValueError, TypeError, ImportError, OSError, FunctionFailedError) as error:
            parser.error(f"{function}: {error}")
        comparisons.append(comparison)
        _print(console, comparison)
    told = _guarantees(comparisons)
    for code, guarantee in told.items():
        console.print(f"[bold]{code:{max(map(len, told))}}[/bold]  {guarantee}")
    draw_comparisons(comparisons).savefig(options.out, format="png")
    console.print(
        "\nerror: mean square over the variance of f, with its 95 % interval. exact: share of "
        "outputs that are exact answers. draws: share that could be decoded. needs: any so many "
        "answers suffice. acc.: labels right, relative to f's own. time: of encoding and decoding, "
        "also as a share of what f takes for K inputs."
    )
    console.print(f"Error against the number of lost workers: {options.out}", soft_wrap=True)
    if options.json is not None:
        numbers = [without_nan(asdict(one)) for one in comparisons]
        text = json.dumps(numbers, indent=2, allow_nan=False)
        options.json.write_text(text + "\n", encoding="utf-8")


def _compare(function: str, options: argparse.Namespace, console: Console) -> Comparison:
    """Compare all codes on one function."""
    from coded.comparison.functions import read_problem
    from coded.comparison.measure import compare
    from coded.schemes import codes

    sys.path.insert(0, "")  # the user's module lies where the program was started
    k, n, s = (
        given if given is not None else usual
        for given, usual in zip(
            (options.k, options.n, options.s), BUNDLED.get(function, (20, 40, 12)), strict=True
        )
    )
    count = options.groups * k
    problem = read_problem(function, options.inputs, options.degree, count)
    with show_progress(console, problem.name, len(options.codes or codes())) as advance:
        return compare(
            problem.fn,
            problem.inputs[:count],
            n,
            n_stragglers=s,
            n_liars=options.liars,
            n_inputs=k,
            codes=options.codes,
            labels=None if problem.labels is None else problem.labels[:count],
            degree=problem.degree,
            repeats=options.repeats,
            rng=options.seed,
            name=problem.name,
            on_code=lambda _: advance(),
        )


def _print(console: Console, comparison: Comparison) -> None:
    """Print the table, and who could not take part."""
    setting = comparison.setting
    liars = f", {setting.n_liars} answers wrong" if setting.n_liars else ""
    console.print(
        f"[bold]{comparison.name}[/bold]: {setting.n_inputs} inputs, {setting.n_workers} workers, "
        f"{setting.n_stragglers} of them lost{liars}"
    )
    header, cells = comparison.table()
    print_table(console, header, cells)
    for refusal in comparison.refusals():
        console.print(f"  not for this: {refusal}", soft_wrap=True)
    console.print()


def _guarantees(comparisons: Sequence[Comparison]) -> dict[str, str]:
    """Give what each code promises, in the order in which codes are listed."""
    from coded.schemes import codes

    told: dict[str, str] = {}
    for comparison in comparisons:
        told |= comparison.guarantees()
    return {code: told[code] for code in codes() if code in told}
