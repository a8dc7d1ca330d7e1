"""Recorded races, `results/*.json`, and the tables in README that are made of them.

    python -m bench.report              write each group's table into README.md, newest record first
    python -m bench.report record       run all races and store a record
    python -m bench.report compare A B  flag each ratio that fell
    python -m bench.report fold         keep of records that no table is made of the ratios alone
    python -m bench.report plot         draw the ratios over all records, folded ones too

A record is the JSON of pytest-benchmark without what no table needs. A ratio is a rival's time
over ours, so that above 1 ours is faster; against "copy" it is our share of the rate at which
memory can be copied. Folded records are rows of `results/ratios.csv`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
RESULTS = Path(__file__).resolve().parent / "results"
SLOWS_BLAS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
WORTH_A_FLAG = 0.9  # a ratio below 0.9 times its old value has fallen by more than 10 %
FOLDED = "ratios.csv"

Record = dict[str, Any]


class Ratio(NamedTuple):
    """A row of `ratios.csv`."""

    time: str
    commit: str
    group: str
    race: str
    rival: str
    ratio: float


def to_markdown(header: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> str:
    """Make a table whose first `words` columns are text and the others numbers, set right."""
    rules = [":--" if i < words else "--:" for i in range(len(header))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rules, *rows])


def replace_table(text: str, name: str, markdown: str) -> str:
    """Give `text` with `markdown` between ``<!-- table: NAME -->`` and ``<!-- /table -->``.

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


def write_table(name: str, markdown: str, *, readme: Path = README) -> None:
    """Rewrite one table of README; see `replace_table`."""
    text = readme.read_text(encoding="utf-8")
    readme.write_text(replace_table(text, name, markdown), encoding="utf-8")


def write_tables(records: Iterable[Record], *, readme: Path = README) -> list[str]:
    """Rewrite each group's table from the newest record of it, all or none; give their names."""
    text = readme.read_text(encoding="utf-8")
    newest = newest_of_groups(records)
    for group, record in newest.items():
        text = replace_table(text, group, tell_races(record, group))
    readme.write_text(text, encoding="utf-8")
    return list(newest)


def newest_of_groups(records: Iterable[Record]) -> dict[str, Record]:
    """Give for each group of races the newest record that has it; `records` from the oldest on."""
    return {race["group"]: record for record in records for race in record["benchmarks"]}


def tell_races(record: Record, group: str) -> str:
    """Make the table of one group, with where and when it was measured."""
    races = [race["extra_info"] for race in record["benchmarks"] if race["group"] == group]
    rivals = list(dict.fromkeys(name for race in races for name in race["ratios"]))
    against = ["share of copy rate" if name == "copy" else f"{name} / ours" for name in rivals]
    header = ["", "shape", "dtype", "threads", *against, "error"]
    rows = [
        [
            race["case"],
            race["shape"] or "-",
            race["dtype"] or "-",
            str(race["threads"]),
            *(_tell_ratio(race, rival) for rival in rivals),
            f"{race['errors']['ours']:.0e}" if race["errors"]["ours"] else "0",
        ]
        for race in races
    ]
    notes = list(dict.fromkeys(note for race in races for note in race["notes"].values()))
    table = to_markdown(header, rows, words=3)
    lines = [table, "", *(f"\\* {note}." for note in notes), _tell_origin(record)]
    return "\n".join(lines)


def _tell_ratio(race: dict[str, Any], rival: str) -> str:
    """Write one ratio: as it is, whoever won."""
    ratio = race["ratios"].get(rival)
    if ratio is None:
        return "-"
    if rival == "copy":
        return f"{100 * ratio:.0f} %"
    digits = 2 if ratio < 1 else int(ratio < 10)
    star = "\\*" if rival in race["notes"] else ""
    return f"{ratio:,.{digits}f}{star}"


def _tell_origin(record: Record) -> str:
    machine, commit = record["machine_info"], record["commit_info"]["id"][:7]
    return (
        f"Commit {commit}, {record['datetime'][:10]}; {machine['cpu']}, {machine['cpus']} CPUs; "
        f"Python {machine['python']}, numpy {machine['numpy']} ({machine['blas']}), "
        f"scipy {machine['scipy']}, numba {machine['numba']}."
    )


def slim(raw: Record) -> Record:
    """Keep of pytest-benchmark's JSON what tables, comparison and plot need; the machine once."""
    races = [
        {name: race[name] for name in ("name", "group", "extra_info")} for race in raw["benchmarks"]
    ]
    if not races:
        raise ValueError("the run has no races; was it stopped, or run with --benchmark-disable?")
    for race in races:
        facts = dict(race["extra_info"])
        machine = facts.pop("machine")
        for kind in ("ratios", "seconds", "errors"):
            facts[kind] = {name: float(f"{value:.4g}") for name, value in facts[kind].items()}
        race["extra_info"] = facts
    commit = {name: raw["commit_info"][name] for name in ("id", "dirty")}
    return {
        "datetime": raw["datetime"],
        "commit_info": commit,
        "machine_info": machine,
        "benchmarks": races,
    }


def record_races(*, seconds: float, results: Path = RESULTS) -> Path:
    """Run all races in a process of their own and store the record; give its path.

    Raises
    ------
    subprocess.CalledProcessError
        If a race fails; nothing is stored then.
    """
    environment = {name: value for name, value in os.environ.items() if name not in SLOWS_BLAS}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "raw.json"
        options = [
            "--benchmark-enable",
            "--benchmark-quiet",
            f"--benchmark-json={path}",
            f"--race-seconds={seconds}",
        ]
        command = [sys.executable, "-m", "pytest", "bench", "-v", *options]
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        record = slim(json.loads(path.read_text(encoding="utf-8")))
    commit = record["commit_info"]
    suffix = "-dirty" if commit["dirty"] else ""
    results.mkdir(exist_ok=True)
    stored = results / f"{record['datetime'][:10]}-{commit['id'][:7]}{suffix}.json"
    stored.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return stored


def read_records(results: Path = RESULTS) -> dict[Path, Record]:
    """Read all records, the oldest first.

    Raises
    ------
    ValueError
        If there is none.
    """
    records = {
        path: json.loads(path.read_text(encoding="utf-8")) for path in results.glob("*.json")
    }
    if not records:
        raise ValueError(f"no record in {results}; make one: python -m bench.report record")
    return dict(sorted(records.items(), key=lambda item: item[1]["datetime"]))


def ratios_of(record: Record) -> list[Ratio]:
    """Give the ratio of each race and rival."""
    time, commit = record["datetime"][:19], record["commit_info"]["id"][:7]
    return [
        Ratio(time, commit, race["group"], race["name"], rival, ratio)
        for race in record["benchmarks"]
        for rival, ratio in race["extra_info"]["ratios"].items()
    ]


def read_folded(results: Path = RESULTS) -> list[Ratio]:
    """Read `ratios.csv`, the oldest record first; nothing where none was folded yet."""
    path = results / FOLDED
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines))[1:]
    return [Ratio(*words, float(ratio)) for *words, ratio in rows]


def read_ratios(results: Path = RESULTS) -> list[Ratio]:
    """Read the ratios of all records, folded ones too."""
    records = read_records(results).values()
    return [*read_folded(results), *(one for record in records for one in ratios_of(record))]


def fold(results: Path = RESULTS) -> list[Path]:
    """Move the ratios of records that no table is made of to `ratios.csv`; give what is deleted."""
    records = read_records(results)
    needed = newest_of_groups(records.values()).values()
    spent = [path for path, record in records.items() if record not in needed]
    ratios = read_folded(results) + [one for path in spent for one in ratios_of(records[path])]
    with (results / FOLDED).open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerows([Ratio._fields, *sorted(ratios, key=lambda one: one.time)])
    for path in spent:
        path.unlink()
    return spent


def compare(old: Record, new: Record) -> tuple[str, int]:
    """Tell the ratios side by side, and how many fell by more than 10 %."""
    before, after = (
        {(one.race, one.rival): one.ratio for one in ratios_of(record)} for record in (old, new)
    )
    lines, fallen = [], 0
    for key in dict.fromkeys([*before, *after]):
        was, now = before.get(key), after.get(key)
        label = f"{key[0]} | {key[1]}"
        if was is None or now is None:
            lines.append(f"{label:72} only in the {'new' if was is None else 'old'} record")
            continue
        has_fallen = now < WORTH_A_FLAG * was
        fallen += has_fallen
        flag = "  FELL" if has_fallen else ""
        lines.append(f"{label:72} {was:10.4g} {now:10.4g} {100 * (now / was - 1):+6.0f} %{flag}")
    return "\n".join(lines), fallen


def plot(ratios: Sequence[Ratio], path: Path) -> None:
    """Draw each ratio over the records: one panel a rival, one line a race."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    records: dict[str, dict[tuple[str, str], float]] = {}
    for one in sorted(ratios, key=lambda one: one.time):
        label = f"{one.time[:10]}\n{one.commit}"
        records.setdefault(label, {})[one.race, one.rival] = one.ratio
    keys = list(dict.fromkeys(key for record in records.values() for key in record))
    rivals = list(dict.fromkeys(rival for _, rival in keys))
    races = [[name for name, rival in keys if rival == one] for one in rivals]
    heights = [max(1.5, 0.16 * len(names)) for names in races]  # room for the legend
    figure, panels = plt.subplots(
        len(rivals),
        figsize=(12, sum(heights) + 0.7 * len(rivals)),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for panel, rival, names in zip(panels[:, 0], rivals, races, strict=True):
        colours = plt.colormaps["turbo"].resampled(len(names))
        for i, name in enumerate(names):
            line = [record.get((name, rival), float("nan")) for record in records.values()]
            panel.plot(range(len(records)), line, marker=".", label=name, color=colours(i))
        panel.axhline(1.0, color="black", linewidth=0.8)
        panel.set_yscale("log")
        panel.set_title(f"{rival} / ours")
        panel.set_xticks(range(len(records)), list(records))
        panel.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.report",
        description="Races against the rivals: record them, compare two records, fold old ones, "
        "draw all, and write the newest into README.md (what it does without a command).",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    one = commands.add_parser(
        "record", help="run all races (a few minutes) and store bench/results/DATE-COMMIT.json"
    )
    one.add_argument(
        "--seconds",
        type=float,
        default=2.0,
        help="how long each race lasts at least (default %(default)s)",
    )
    two = commands.add_parser(
        "compare",
        help="print the ratios of two records; exit code 1 if one fell by more than 10 %%",
    )
    two.add_argument("old", type=Path, metavar="OLD", help="a record, bench/results/*.json")
    two.add_argument("new", type=Path, metavar="NEW", help="a later one")
    commands.add_parser(
        "fold", help="keep the ratios alone of records that no table is made of, in ratios.csv"
    )
    commands.add_parser("plot", help="draw the ratios of all records into bench/results/ratios.png")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give the exit code."""
    options = _read_arguments(arguments)
    try:
        return _run(options)
    except (ValueError, OSError) as error:
        print(f"bench.report: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print("bench.report: a race failed, so nothing was stored", file=sys.stderr)
        return error.returncode


def _run(options: argparse.Namespace) -> int:
    match options.command:
        case "record":
            print(record_races(seconds=options.seconds))
        case "compare":
            old, new = (json.loads(path.read_text("utf-8")) for path in (options.old, options.new))
            text, fallen = compare(old, new)
            print(text)
            print(f"{fallen} ratios fell by more than 10 %")
            return int(fallen > 0)
        case "plot":
            path = RESULTS / "ratios.png"
            plot(read_ratios(), path)
            print(path)
        case "fold":
            print("\n".join(map(str, fold())))
        case _:
            groups = write_tables(read_records().values())
            print(f"README.md: wrote tables {', '.join(groups)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
