"""Tables and progress of `python -m coded`, in a terminal."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

_WIDTH = 80  # columns that every table fits


@contextmanager
def show_progress(console: Console, what: str, steps: int) -> Iterator[Callable[[], None]]:
    """Show a bar while codes are measured."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=steps)
        yield lambda: progress.advance(task)


def print_table(console: Console, header: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Print a table, the first column to the left."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    for i, heading in enumerate(header):
        table.add_column(heading, justify="right" if i else "left", no_wrap=i > 0, overflow="fold")
    for line in cells:
        table.add_row(*line)
    # A narrow terminal wraps lines, which is better than to lose digits.
    Console(width=max(console.width, _WIDTH)).print(table)


def without_nan(value: object) -> object:
    """Give the numbers as JSON has them: None where there is none."""
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
