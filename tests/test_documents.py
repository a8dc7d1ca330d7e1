"""The documents: short enough, with links and pictures that are there, and a list of contents."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("bench", "coded", "fastspline", "tests")
FOUND = [path for folder in FOLDERS for path in (ROOT / folder).rglob("README.md")]
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", *FOUND)
    if "fetched" not in path.parts  # other people's
)
LIMITS = {"README.md": 250, "fastspline/README.md": 660, "coded/README.md": 1050}  # lines
NO_CONTENTS = {"README.md"}  # a table says who starts where


FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#{1,6}) +(.+?) *#*$", re.MULTILINE)
LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)|\b(?:src|href)=\"([^\"]+)\"")


def read(document):
    return without_code((ROOT / document).read_text(encoding="utf-8"))


def without_code(text):
    """A text without its fenced code, whose comments look like headings."""
    return FENCE.sub("", text)


def slugs_of(text):
    """GitHub's anchor of each heading, with the heading's level."""
    seen, slugs = {}, {}
    for marks, title in HEADING.findall(text):
        words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", title)  # a link's own words
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        count = seen[slug] = seen.get(slug, -1) + 1
        slugs[f"{slug}-{count}" if count else slug] = len(marks)
    return slugs


def links_of(text):
    """Where links and pictures point, as they are written; code in a line is no link."""
    prose = re.sub(r"(`+)(?!`).+?(?<!`)\1(?!`)", "", text)
    return [given or tag for given, tag in LINK.findall(prose)]


def is_elsewhere(link):
    return re.match(r"[a-z]+:", link) is not None


def fault_of(document, link):
    """What is wrong with a link to a file or heading of ours, or None."""
    path, _, anchor = link.partition("#")
    target = (ROOT / document).parent / path if path else ROOT / document
    if not target.resolve().is_relative_to(ROOT.resolve()):
        return "leaves the repository"
    inside = str(target.resolve().relative_to(ROOT.resolve()))
    if not target.exists():
        return "no such file"
    if anchor and anchor not in slugs_of(read(inside)):
        return "no such heading"
    return None


def test_headings_are_named_as_github_names_them():
    text = "# A `b_c`: d, e-f!\n\n## Twice\n\n## Twice\n\n### [Seen](x.md) at 95 %\n"
    expected = {"a-b_c-d-e-f": 1, "twice": 2, "twice-1": 2, "seen-at-95-": 3}
    assert slugs_of(text) == expected


def test_comments_in_code_are_no_headings():
    text = "# One\n\n```bash\n# two\n```\n\n## Three\n"
    assert slugs_of(without_code(text)) == {"one": 1, "three": 2}


def test_links_are_found_in_prose_and_in_tags_but_not_in_code():
    text = 'See [a](b.md#c), ![d](e.png "f"), `[g](h)` and <img src="i.png" width="9">.'
    assert links_of(text) == ["b.md#c", "e.png", "i.png"]


def test_there_are_documents_and_each_limit_is_that_of_one():
    assert {"README.md", "coded/README.md", *LIMITS} <= set(DOCUMENTS)


@pytest.mark.parametrize("document", LIMITS)
def test_a_document_keeps_to_its_limit(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LIMITS[document]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_link_and_picture_leads_somewhere(document):
    links = [link for link in links_of(read(document)) if not is_elsewhere(link)]
    faults = {link: fault_of(document, link) for link in links}
    assert links
    assert {link: fault for link, fault in faults.items() if fault} == {}


@pytest.mark.parametrize("document", [one for one in DOCUMENTS if one not in NO_CONTENTS])
def test_the_contents_name_each_section(document):
    text = read(document)
    before, _, _ = text.partition("\n## ")
    sections = {slug for slug, level in slugs_of(text).items() if level == 2}
    assert sections
    assert sections - {link[1:] for link in links_of(before) if link.startswith("#")} == set()
