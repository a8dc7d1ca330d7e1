import nbformat
import pytest

from bench.notebooks.execute import NOTEBOOKS, execute

LARGEST = 330_000  # bytes

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds_of_output(notebook):
    """A list a cell of text and pictures; what went to stderr depends on versions."""
    return [
        [
            "picture" if "image/png" in output.get("data", ()) else output.output_type
            for output in cell.outputs
            if output.get("name") != "stderr"
        ]
        for cell in code_cells(notebook)
    ]


def test_there_is_one_for_each_package():
    assert [path.stem for path in NOTEBOOKS] == ["coded", "splines"]


@each
def test_what_is_stored_is_a_whole_run_without_errors(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    kinds = [kind for kinds in kinds_of_output(notebook) for kind in kinds]
    assert "error" not in kinds
    assert kinds.count("picture") >= 3
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert all(output.get("name") != "stderr" for output in outputs)


SHOWN = (
    ".interval(", "nu=1", 'kind="simultaneous"', 'kind="prediction"', ".slope_signs(", ".sample(",
    'missing="omit"', 'loss="tukey"', ".outliers", "weights=", "regression_spline(", "pd.date",
    "xr.DataArray(", ".plot(", ".operator(", 'bc="periodic"', "make_smoothing_spline(",
)  # fmt: skip


def test_that_on_splines_shows_what_people_come_for():
    cells = code_cells(nbformat.read(NOTEBOOKS[1], as_version=4))
    code = "\n".join(cell.source for cell in cells)
    assert [one for one in SHOWN if one not in code] == []
    tables = [
        out.data["text/html"]
        for cell in cells
        for out in cell.outputs
        if "data" in out and "text/html" in out.data
    ]
    assert any("<svg" in table for table in tables), "a fit as the last line of a cell"
    assert any("<svg" not in table for table in tables), "a DataFrame"


@each
def test_a_stored_notebook_is_small_and_says_nothing_of_a_machine(path):
    assert path.stat().st_size < LARGEST
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.language_info == {"name": "python"}
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert all(cell.metadata == {} for cell in notebook.cells)


@pytest.mark.outer
@each
def test_a_notebook_runs_from_top_to_bottom(path):
    stored = nbformat.read(path, as_version=4)
    assert kinds_of_output(execute(path)) == kinds_of_output(stored)
