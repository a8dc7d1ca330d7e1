"""A progress bar for `coded_map`: one step an answer."""

from __future__ import annotations

from types import TracebackType
from typing import Self, SupportsIndex

from coded.arguments import read_count
from coded.extras import needing

with needing("ProgressBar needs", "rich", extra="demo"):
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class ProgressBar:
    """Show how many workers have answered, and how long the latest took.

    Made for the `on_answer` of one call of `coded_map`; use it in a ``with`` block. Where there
    is no terminal, one line is written at the end.

    Parameters
    ----------
    total : int
        Answers that fill the bar: those that the call waits for, or N.
    description : str, optional
        What stands in front of it.
    console : rich.console.Console, optional
        Where it is drawn; the standard error stream if left out.

    Raises
    ------
    ImportError
        If rich is not installed (on import of this module).
    TypeError
        If `total` is no integer.
    ValueError
        If `total` is less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from coded import ProgressBar, ReplicationScheme, coded_map
    >>> with ThreadPoolExecutor() as pool, ProgressBar(4) as bar:
    ...     result = coded_map(np.sqrt, [1.0, 4.0], ReplicationScheme(2, 4), pool, on_answer=bar)
    >>> 2 <= bar.answers <= 4
    True
    """

    def __init__(
        self,
        total: SupportsIndex,
        *,
        description: str = "answers",
        console: Console | None = None,
    ) -> None:
        total = read_count(total, "total", at_least=1)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[latest]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True) if console is None else console,
        )
        self._task = self._bar.add_task(description, total=total, latest="")
        self._answers = 0

    @property
    def answers(self) -> int:
        """How many workers have answered."""
        return self._answers

    def __call__(self, worker: int, latency_seconds: float) -> None:
        """Take note of an answer; this is what `on_answer` calls."""
        self._answers += 1
        latest = f"worker {worker} after {latency_seconds:.3g} s"
        self._bar.update(self._task, advance=1, latest=latest)

    def __enter__(self) -> Self:
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the bar as it is."""
        self._bar.stop()
