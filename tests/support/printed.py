"""What coded/README.md prints to be run."""

import re
from pathlib import Path

TEXT = (Path(__file__).parents[2] / "coded" / "README.md").read_text(encoding="utf-8")


def printed(name):
    """The lines of the block that follows a marker in the text."""
    (block,) = re.findall(rf"<!-- run: {name} -->\n```\w+\n(.*?)```", TEXT, re.DOTALL)
    return block.splitlines()
