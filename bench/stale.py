"""Records older than the code that they measure, found by the files that they import."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from bench.records import ROOT, ask_git

PACKAGES = ("fastspline", "coded", "bench")
TELLING = (  # these write and draw, and do not measure
    "bench.documents",
    "bench.experiments",
    "bench.records",
    "bench.stale",
    "coded.plots",
    "coded.evaluation.plots",
    "coded.comparison.picture",
    "coded.comparison.panels",
)
WEIGHTS = {".npz", ".pt", ".R"}  # what a folder's code reads beside itself


@cache
def path_of(module: str) -> Path | None:
    """Give the file of one of our modules, None for anything else."""
    if module.partition(".")[0] not in PACKAGES:
        return None
    place = ROOT.joinpath(*module.split("."))
    found = [path for path in (place.with_suffix(".py"), place / "__init__.py") if path.exists()]
    return found[0] if found else None


@cache
def homes() -> dict[str, str]:
    """Give the module that each public name of `coded` is read from."""
    stub = ast.parse((ROOT / "coded" / "__init__.pyi").read_text(encoding="utf-8"))
    return {
        alias.name: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


@cache
def imports_of(path: Path) -> frozenset[str]:
    """Give the modules of ours that a file imports, wherever in it."""
    found: set[str] = set()
    source = path.read_text(encoding="utf-8")
    beside = ".".join(path.parent.relative_to(ROOT).parts)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                home = homes().get(alias.name) if node.module == "coded" else None
                inside = f"{node.module}.{alias.name}"
                found |= {node.module, home or (inside if path_of(inside) else node.module)}
        elif isinstance(node, ast.Constant) and "import_module(" in source:
            found |= {f"{beside}.{node.value}"} if str(node.value).isidentifier() else set()
    return frozenset(module for module in found if path_of(module))


def files_of(modules: Iterable[str]) -> set[Path]:
    """Give all files of ours that modules lead to, and the weights that lie beside them."""
    waiting, files = set(modules), set()
    seen = set(TELLING)
    while waiting:
        module = waiting.pop()
        seen.add(module)
        path = path_of(module)
        if path is None:
            raise ValueError(f"there is no module {module!r}")
        files.add(path)
        parents = {module.rpartition(".")[0]} - {""}
        waiting |= (imports_of(path) | parents) - seen
    folders = {folder for path in files for folder in (path.parent, path.parent / "data")}
    beside = {path for folder in folders for path in folder.glob("*") if path.suffix in WEIGHTS}
    return files | beside


def changed_since(commit: str, files: Iterable[Path]) -> list[str]:
    """Give the files whose code is not what it was.

    Docstrings and comments do not count, nor do functions that tell, draw or make tables.
    """
    commit = ask_git("rev-parse", commit)
    paths = sorted(path.relative_to(ROOT).as_posix() for path in files)
    listed = ask_git("diff", "--no-renames", "--name-only", commit, "--", *paths).splitlines()
    return [path for path in listed if _code_of(commit, path) != _code_now(path)]


def _code_now(path: str) -> str:
    there = ROOT / path
    return _essence(there.read_text(encoding="utf-8")) if there.suffix == ".py" else "now"


@cache
def _code_of(commit: str, path: str) -> str:
    """Give the essence of a file as it was, nothing where it was not there or is no code."""
    if not path.endswith(".py") or not ask_git("ls-tree", commit, "--", path):
        return ""
    return _essence(ask_git("show", f"{commit}:{path}"))


@cache
def _essence(source: str) -> str:
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if not _is_telling(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return ast.dump(tree)


def _is_telling(node: ast.stmt) -> bool:
    """Whether a function of a module makes tables or pictures of what was measured."""
    words = {"tell", "table", "tables", "draw"}
    return isinstance(node, ast.FunctionDef) and node.name.lstrip("_").split("_")[0] in words
