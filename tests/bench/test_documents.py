"""Tables between markers, in whichever document has them."""

import pytest

from bench.documents import to_markdown, write_tables

TEXT = """# Title

before
<!-- table: small -->
an old table
<!-- /table -->
between
<!-- table: other -->
another table
<!-- /table -->
after
"""


@pytest.fixture
def documents(tmp_path):
    paths = [tmp_path / "README.md", tmp_path / "other.md"]
    paths[0].write_text(TEXT)
    paths[1].write_text("<!-- table: third -->\n<!-- /table -->\n")
    return paths


def test_a_table_is_rewritten_and_all_other_text_kept(documents):
    write_tables({"small": "| a |", "third": "| b |"}, documents)
    assert documents[0].read_text() == TEXT.replace("an old table", "| a |")
    assert documents[1].read_text() == "<!-- table: third -->\n| b |\n<!-- /table -->\n"


def test_a_table_stands_in_every_document_that_asks_for_it(documents):
    documents[1].write_text(TEXT)
    write_tables({"other": "| a |"}, documents)
    assert [path.read_text() for path in documents] == [TEXT.replace("another table", "| a |")] * 2


def test_rewriting_twice_changes_nothing(documents):
    table = to_markdown(["scheme", "error"], [["ours", "0.1"]])
    write_tables({"small": table}, documents)
    once = documents[0].read_text()
    write_tables({"small": table}, documents)
    assert documents[0].read_text() == once
    assert "| scheme | error |\n| :-- | --: |\n| ours | 0.1 |" in once


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no marker", "no document has the marker '<!-- table: small -->'"),
        (TEXT + TEXT, "one marker '<!-- table: small -->', found 2"),
        ("<!-- table: small -->", "has no '<!-- /table -->'"),
        ("<!-- table: small --> <!-- table: b --> <!-- /table -->", "before the next table"),
    ],
)
def test_missing_markers_are_told_and_nothing_is_written(documents, text, message):
    documents[0].write_text(text)
    with pytest.raises(ValueError, match=message):
        write_tables({"third": "| b |", "small": "| a |"}, documents)
    assert documents[0].read_text() == text
    assert "| b |" not in documents[1].read_text()
