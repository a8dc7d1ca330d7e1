"""What the command line asks for before it begins: packages, and files that can be written."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from coded.extras import advise, is_installed


def require_writable(parser: argparse.ArgumentParser, *paths: Path | None) -> None:
    """End the program in one line if one of the files cannot be written."""
    for path in paths:
        if path is not None and (path.is_dir() or not os.access(path.parent, os.W_OK)):
            parser.error(f"cannot write {path}; name a file in a folder that can be written to")


def require_installed(parser: argparse.ArgumentParser, *packages: str) -> None:
    """End the program in one line if one of the packages is missing."""
    missing = [name for name in packages if not is_installed(name)]
    if missing:
        parser.error(f"not installed: {', '.join(missing)}; {advise('demo')}")
