"""The command: `python -m bench.science` runs experiments and writes their tables and pictures.

    python -m bench.science                 run all experiments
    python -m bench.science rates digits    run some
    python -m bench.science --quick         a few batches and draws only, nothing is stored

Records lie in bench/results/science, pictures beside them; `python -m bench.report` writes the
tables again from the records.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from bench.experiments import EXPERIMENTS, look, renew

NAMES = tuple(key for key, one in EXPERIMENTS.items() if one.name.startswith("science/"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the experiments that are named, or all."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.science",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="a look; nothing is stored")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in NAMES:
            parser.error(f"there is no experiment {name!r}; choose from {', '.join(NAMES)}")
    for name in options.names or NAMES:
        (look if options.quick else renew)(EXPERIMENTS[name])


if __name__ == "__main__":
    main()
