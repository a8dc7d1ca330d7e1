"""The table of systems: figures that follow from formulas, and files that are there."""

from pathlib import Path

import numpy as np
import pytest

from bench import systems

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def numbers():
    return systems.run(quick=True)


def test_counts_are_those_of_the_formulas(numbers):
    named = {name.split(" ")[0]: found for name, found in numbers.items()}
    assert named["Lagrange"] == [36, 36]
    assert named["polynomial,"] == [6, 9]
    assert named["random"] == [220, 220]
    assert named["GASP"] == [18, 22, 36]
    assert named["secure"] == [5, 4, 5]
    assert named["MatDot,"][0] == 5


def test_conditions_are_the_authors(numbers):
    assert numbers["circulant and rotation embeddings (Ramamoorthy, Tang)"] == pytest.approx(
        [29.21, 8.10, 3], abs=0.01
    )
    assert numbers["convolutional codes (Das, Ramamoorthy, Vaswani)"] == pytest.approx(
        [21.70, 90.76], abs=0.01
    )


def test_means_are_near_what_theory_says(numbers):
    assert numbers["OverSketch (Gupta et al.)"][0] == pytest.approx(1.0, abs=0.3)
    assert numbers["MDS-coded linear work (Lee et al.)"] == pytest.approx([0.0619, 0.0313], rel=0.1)
    start, end = numbers["OverSketched Newton (Gupta et al.)"]
    assert end < 1e-6 * start
    assert numbers["hedging (Dean, Barroso)"] == pytest.approx([4.605, 3.8], rel=0.15)
    coded, plain = numbers["data encoding (Karakus et al.)"]
    assert 1.0 < coded < plain


def test_a_threshold_is_the_least():
    class AnyThree:
        n_workers = 5

        def can_decode(self, responders):
            return len(responders) >= 3 or np.array_equal(responders, [0, 1])

    assert systems.threshold(AnyThree()) == (3,)


def test_each_row_has_a_file_and_its_figures(numbers):
    (table,) = systems.tables(numbers).values()
    assert "{" not in table
    rows = [line for line in table.splitlines() if line.startswith("| 4.")]
    assert len(rows) == len(systems.SYSTEMS)
    assert {row.split()[1] for row in rows} == {f"4.{i}" for i in range(1, 20)}
    for one in systems.SYSTEMS:
        for file in one.file.split(", "):
            assert (ROOT / "coded" / file).exists(), file
    assert systems.draw(numbers) == {}
