import io

import pytest
from rich.console import Console

from coded import ProgressBar


def test_the_bar_counts_answers_and_names_the_latest():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with ProgressBar(4, description="digits", console=console) as bar:
        bar(3, 0.25)
        bar(0, 1.5)
    drawn = console.file.getvalue()
    assert bar.answers == 2
    assert "digits" in drawn
    assert "2/4" in drawn
    assert "worker 0 after 1.5 s" in drawn


def test_without_a_terminal_it_writes_one_line():
    console = Console(file=io.StringIO(), width=100)
    with ProgressBar(1, console=console) as bar:
        bar(0, 0.1)
    assert console.file.getvalue().count("1/1") == 1


@pytest.mark.parametrize(("total", "error"), [(0, ValueError), (2.0, TypeError)])
def test_bad_totals_are_refused(total, error):
    with pytest.raises(error, match="total must be"):
        ProgressBar(total)
