"""Run the notebooks and store what they show: `python -m bench.notebooks.execute`."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parent
NOTEBOOKS = tuple(sorted(FOLDER.glob("*.ipynb")))
CELL_SECONDS = 300


def execute(path: Path) -> NotebookNode:
    """Give the notebook as it is after a run; raises what a cell raises."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        startup_timeout=CELL_SECONDS,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(FOLDER)}},
    )
    client.execute()
    notebook.metadata["language_info"] = {"name": "python"}  # no version of this machine
    return notebook


def main() -> None:
    """Store all notebooks anew."""
    for path in NOTEBOOKS:
        nbformat.write(execute(path), path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
