"""What a package index shows and what the archives hold: built as pip would build them."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from itertools import chain
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

PROJECT = Path(__file__).parents[1]
TIMEOUT = 120
NOTICES = ("fastspline/LICENSE", "coded/digits/NOTICE")


EXAMPLE = """# A page <!-- with
a comment -->

![alt words](a/picture.png)

[![badge](a/badge.png)](#there) and ![seen](https://example.org/seen.png)

A [link](a/page.md#there), [`code()`](a/page.md) beside `a[0](b)`, a [far one](https://example.org).

- [item](#there)

```python
>>> plans[0](values)  # <- kept
```
"""


def hatchling(*arguments, folder=PROJECT, **settings):
    """Run the build backend, and give what it prints."""
    command = [sys.executable, "-m", "hatchling", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT,
        env=os.environ | settings,
    )  # fmt: skip
    return done.stdout


@pytest.fixture(scope="module")
def metadata():
    return json.loads(hatchling("metadata"))


def read(markdown):
    """Give all tokens, those within lines too, as CommonMark's parser reads them."""
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        yield token
        yield from token.children or []


def code_of(markdown):
    kinds = ("fence", "code_block", "code_inline")
    return [token.content for token in read(markdown) if token.type in kinds]


def addresses_of(markdown):
    """Give where pictures and links lead, those of HTML too."""
    for token in read(markdown):
        if token.type in ("image", "link_open"):
            yield token.attrs.get("src") or token.attrs.get("href")
        elif token.type in ("html_block", "html_inline"):
            yield from re.findall(r"""(?:src|srcset|href)=["']([^"']*)""", token.content)


def test_the_front_page_on_an_index_has_no_picture_or_link_that_leads_nowhere(metadata):
    page = metadata["readme"]
    assert page["content-type"] == "text/markdown"
    here = list(addresses_of((PROJECT / "README.md").read_text(encoding="utf-8")))
    assert any(address.startswith("#") for address in here), "nothing was read"
    assert [one for one in addresses_of(page["text"]) if not one.startswith("https://")] == []
    assert "<!--" not in page["text"]
    assert not re.search(
        r"\]\(|\]\[", "".join(t.content for t in read(page["text"]) if t.type == "text")
    )


def test_links_and_pictures_of_the_repository_become_words_or_nothing(tmp_path):
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    (tmp_path / "README.md").write_text(EXAMPLE, encoding="utf-8")
    assert json.loads(hatchling("metadata", folder=tmp_path))["readme"]["text"] == (
        "# A page \n"
        "\n\n\n"
        " and ![seen](https://example.org/seen.png)\n"
        "\n"
        "A link, `code()` beside `a[0](b)`, a [far one](https://example.org).\n"
        "\n"
        "- item\n"
        "\n"
        "```python\n"
        ">>> plans[0](values)  # <- kept\n"
        "```\n"
    )


def test_the_front_page_on_an_index_keeps_headings_tables_and_code(metadata):
    ours, theirs = (PROJECT / "README.md").read_text(encoding="utf-8"), metadata["readme"]["text"]
    assert code_of(theirs) == code_of(ours)
    assert len(code_of(theirs)) > 5
    for kind in ("heading_open", "tr_open", "list_item_open"):
        counts = [sum(token.type == kind for token in read(text)) for text in (ours, theirs)]
        assert counts[0] == counts[1] > 0, kind


def test_notices_are_in_both_archives(tmp_path):
    hatchling("build", "-d", tmp_path, HATCH_BUILD_NO_HOOKS="true")
    (wheel,), (archive,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    name = archive.name.removesuffix(".tar.gz")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"{name}.dist-info/licenses/{notice}" for notice in NOTICES} <= names
    with tarfile.open(archive) as held:
        names = set(held.getnames())
    kept = (*NOTICES, "bench/science/data/NOTICE", "README.md", "pyproject.toml")
    assert {f"{name}/{path}" for path in kept} <= names
    assert not [path for path in names if "/fetched/" in path or "__pycache__" in path]


def test_a_wheel_is_built_where_nothing_can_be_compiled(tmp_path):
    (tmp_path / "numba.py").write_text("raise ImportError('there is no numba here')\n")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    done = subprocess.run(
        command, cwd=PROJECT, env=os.environ | {"PYTHONPATH": str(tmp_path)}, check=True,
        capture_output=True, text=True, timeout=TIMEOUT,
    )  # fmt: skip
    assert "without compiled kernels: ImportError: there is no numba here" in done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "fastspline/jit.py" in names
    assert not [name for name in names if "_compiled" in name]


def test_extras_ask_for_nothing_older_than_the_package_does(metadata):
    """A requirement that is named twice, in an extra again, must not lower the bound."""
    bounds = {}
    for line in chain(metadata["dependencies"], *metadata["optional-dependencies"].values()):
        package, bound = re.match(r"([\w-]+)(?:\[\w+\])?(.*)", line).groups()
        bounds.setdefault(package, set()).add(bound)
    assert len(bounds) > 10
    assert {package: found for package, found in bounds.items() if len(found) > 1} == {}
