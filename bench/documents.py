"""The documents, and the tables that are written into them.

A table stands between ``<!-- table: NAME -->`` and ``<!-- /table -->``, in whichever document has
this marker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.records import ROOT

DOCUMENTS = tuple(ROOT / folder / "README.md" for folder in (".", "fastspline", "coded", "bench"))


def to_markdown(header: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """Make a table whose first `words` columns are text and the others numbers, set right."""
    rules = [":--" if i < words else "--:" for i in range(len(header))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rules, *rows])


def replace_table(text: str, name: str, markdown: str) -> str:
    """Give `text` with `markdown` between the markers of table `name`.

    Raises
    ------
    ValueError
        Unless `text` has this pair of markers exactly once.
    """
    opening, closing = f"<!-- table: {name} -->", "<!-- /table -->"
    count = text.count(opening)
    if count != 1:
        raise ValueError(f"there must be one marker {opening!r}, found {count}; add or remove it")
    before, _, rest = text.partition(opening)
    inside, closed, after = rest.partition(closing)
    if not closed or "<!-- table:" in inside:
        raise ValueError(f"marker {opening!r} has no {closing!r} before the next table; add it")
    return f"{before}{opening}\n{markdown.strip()}\n{closing}{after}"


def write_tables(tables: Mapping[str, str], documents: Sequence[Path] = DOCUMENTS) -> None:
    """Rewrite tables where their markers stand, all or none.

    Raises
    ------
    ValueError
        Unless each marker stands in a document, and nowhere twice in one.
    """
    texts = {path: path.read_text(encoding="utf-8") for path in documents if path.exists()}
    for name, markdown in tables.items():
        opening = f"<!-- table: {name} -->"
        places = [path for path, text in texts.items() if opening in text]
        if not places:
            raise ValueError(f"no document has the marker {opening!r}; add it to one")
        for path in places:
            texts[path] = replace_table(texts[path], name, markdown)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
