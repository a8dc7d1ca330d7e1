"""The house: no circle of imports, a small core, short functions, rooms that say what they hold."""

import ast
import io
import subprocess
import sys
import tokenize
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("fastspline", "coded")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
FOLDERS = sorted({path.parent for path in FILES})

# The path of the published code: points, protocol, linear base, scheme, job, call.
PUBLISHED = (
    "places/points",
    "schemes/protocol",
    "schemes/linear",
    "schemes/spline",
    "schemes/layouts",
    "schemes/job",
    "runtime/scheme_job",
    "runtime/call",
    "runtime/coded_map",
)

# Encoder and decoder as published, a call on threads, and what of `coded` that has imported.
PROGRAM = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from coded import SplineScheme, coded_map

inputs = np.linspace(0.0, 1.0, 4)[:, None]
with ThreadPoolExecutor(4) as pool:
    result = coded_map(np.square, inputs, SplineScheme.paper(4, 12), pool, wait_for=12)
assert np.abs(result.outputs - inputs**2).max() < 0.1
print(*(sys.modules[name].__file__ for name in list(sys.modules) if name.split(".")[0] == "coded"))
"""


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def name_of(path):
    """The dotted name of a file's module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def code_lines(path):
    """The numbers of the lines that are neither docstring nor comment nor blank."""
    text = path.read_text(encoding="utf-8")
    documented = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                documented.update(range(first.lineno, first.end_lineno + 1))
    silent = {
        tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE,
        tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
    }  # fmt: skip
    lines = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in silent
        for line in range(token.start[0], token.end[0] + 1)
    }
    return lines - documented


def imports_of(path, modules):
    """The modules of ours that a file imports anywhere, also for type checkers alone."""
    found = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Constant):  # also what is imported by its name
            found |= {node.value} & modules if "." in str(node.value) else set()
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inside & modules
            if inside - modules:
                found.add(node.module)
    return found & modules


def test_no_imports_form_a_circle():
    modules = {name_of(path) for path in FILES}
    graph = {name_of(path): imports_of(path, modules) for path in FILES}
    assert sum(map(len, graph.values())) > 400  # it is read at all
    assert graph["coded.runtime.coded_map"] > {"coded.runtime.request", "coded.schemes.protocol"}
    list(TopologicalSorter(graph).static_order())  # raises CycleError with the circle


def test_the_path_of_the_published_code_is_short():
    sizes = {file: len(code_lines(ROOT / "coded" / f"{file}.py")) for file in PUBLISHED}
    assert min(sizes.values()) > 10
    assert sum(sizes.values()) <= 900, sizes


def test_the_published_code_imports_little_of_coded():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, text=True, stdout=subprocess.PIPE, timeout=300
    )
    files = [Path(file) for file in done.stdout.split()]
    sizes = {name_of(file): len(code_lines(file)) for file in files}
    assert "coded.schemes.spline" in sizes
    # Hedges, retries and what else is optional lie in files that this does not import.
    assert sum(sizes.values()) <= 2140, sizes


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_each_folder_says_what_lives_there(folder):
    text = ast.get_docstring(tree_of(folder / "__init__.py"))
    assert len(text.split()) > 6


# Kernels take addresses and arrays one by one; what users call keeps its signature.
KERNELS = ("fastspline/_kernels", "fastspline/rows.py", "coded/nearness/tour.py")
GOLDEN = ROOT / "tests" / "oracles" / "golden" / "public_names.txt"
PUBLIC = {line.split("(")[0].split(".")[-1] for line in GOLDEN.read_text().splitlines()}


# The driver of all SIMD sweeps, and the function that makes it for one recurrence.
LONG = {"sweep": 90, "make_sweep": 95}


def functions_of(path):
    """Every function of a file: its class, if any, its node, and its lines of code."""
    lines = code_lines(path)
    owner = {
        id(member): node.name
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef)
        for member in node.body
    }
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = len(lines & set(range(node.lineno, node.end_lineno + 1)))
            yield owner.get(id(node)), node, size


def is_public(owner, name):
    return (owner if name in ("__init__", "__new__") else name) in PUBLIC


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_functions_fit_on_a_screen_and_take_few_arguments(path):
    for owner, node, size in functions_of(path):
        assert size <= LONG.get(node.name, 60), node.name
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        count = sum(one.arg not in ("self", "cls") for one in arguments)
        is_kernel = str(path.relative_to(ROOT)).startswith(KERNELS)
        assert count <= 7 or is_kernel or is_public(owner, node.name), node.name


def test_the_top_level_is_what_it_should_be():
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE, timeout=60
    )
    top = {line.split("/")[0] for line in done.stdout.splitlines()}
    visible = {name for name in top if not name.startswith(".")}
    assert visible == {"README.md", "bench", "coded", "fastspline", "pyproject.toml", "tests"}
