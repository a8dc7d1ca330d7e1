"""Records and the documents made of them, and the races: `bench/results/races`.

    python -m bench.report              write all tables and pictures from the newest records
    python -m bench.report stale        list records older than the code that they measure
    python -m bench.report record       run all races and store a record
    python -m bench.report compare A B  flag each ratio that fell; of two commits, race both now
    python -m bench.report fold         keep of records that no table is made of the ratios alone
    python -m bench.report plot         draw the ratios over all records, folded ones too

A record of races is the JSON of pytest-benchmark without what no table needs. A ratio is a rival's
time over ours, so that above 1 ours is faster; against "copy" it is our share of the rate at which
memory can be copied. Folded records are rows of `ratios.csv`.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.documents import DOCUMENTS, to_markdown, write_tables
from bench.experiments import EXPERIMENTS, publish
from bench.races.beside import WORTH_A_FLAG, calm_environment, race_commits, tell_commits
from bench.records import RESULTS, ROOT, Record, origin_now, read, store, tell_origin
from bench.science.claims import collect, tell_claims
from bench.stale import changed_since, files_of

RACES = RESULTS / "races"
RECORDING = "python -m bench.report record"
FOLDED = "ratios.csv"
RACERS = {  # by the group of the race
    "coded": "bench.races.bench_coded",
    "codes": "bench.races.bench_coded",
    "runtime": "bench.races.bench_coded",
    "share": "bench.races.bench_coded",
    "workers": "bench.races.bench_workers",
}
SPLINES = "bench.races.bench_spline"
WORST = {"plans": 12}  # of these groups only so many rows are shown, the worst ones
FRONT = (  # what the front page shows
    "test_small_call[100-20]",
    "test_plan_and_call",
    "test_one_column_by_gcv[1000]",
    "test_image[20-100-float32-2]",
    "test_first_call_ever",
)


class Ratio(NamedTuple):
    """A row of `ratios.csv`."""

    time: str
    commit: str
    cpu: str
    group: str
    race: str
    rival: str
    ratio: float


def tables_of_races(records: Sequence[Record], folded: Sequence[Ratio]) -> dict[str, str]:
    """Make each group's table from the newest record of it, and a few rows for the front page."""
    newest = newest_of_groups(records)
    tables = {group: tell_races(record, group) for group, record in newest.items()}
    ratios = [*folded, *(one for record in records for one in ratios_of(record))]
    return tables | {"races-front": tell_front(list(newest.values()), ratios)}


def newest_of_groups(records: Iterable[Record]) -> dict[str, Record]:
    """Give for each group of races the newest record that has it; `records` from the oldest on."""
    return {race["group"]: record for record in records for race in record["benchmarks"]}


def tell_front(records: Sequence[Record], ratios: Iterable[Ratio]) -> str:
    """Make the table of a few races: of each CPU's newest ratios the least.

    `records` are the newest, `ratios` those of all records, of any age.
    """
    found = {race["name"]: race["extra_info"] for one in records for race in one["benchmarks"]}
    newest = {
        (one.race, one.rival, one.cpu): one for one in sorted(ratios, key=lambda one: one.time)
    }
    rows, used = [], []
    for name in (name for name in FRONT if name in found):
        race, least = found[name], {}
        for rival in ("scipy", "dense x BLAS"):
            of_cpus = [one for (*key, _), one in newest.items() if key == [name, rival]]
            used += of_cpus
            if rival in race["ratios"]:
                least[rival] = min(one.ratio for one in of_cpus)
        told = [_tell_ratio(race | {"ratios": least}, one) for one in ("scipy", "dense x BLAS")]
        rows.append([race["case"], race["shape"], race["dtype"], *told])
    header = ["", "shape", "dtype", "scipy / ours", "dense x BLAS / ours"]
    notes = dict.fromkeys(
        note for name in FRONT if name in found for note in found[name]["notes"].values()
    )
    places = dict.fromkeys(f"{one.cpu} ({one.commit}, {one.time[:10]})" for one in used)
    told = "An operator is made once, scipy fits anew at each call."
    if len(places) > 1:
        told += f" Each ratio is the lowest of {' and '.join(places)}."
    origins = dict.fromkeys(tell_origin(one["origin"]) for one in records if _has_front(one))
    lines = [told, *(f"\\* {note}." for note in notes), *origins]
    return "\n".join([to_markdown(header, rows, words=3), "", *lines])


def _has_front(record: Record) -> bool:
    return any(race["name"] in FRONT for race in record["benchmarks"])


def tell_races(record: Record, group: str) -> str:
    """Make the table of one group, with where and when it was measured."""
    races = [race["extra_info"] for race in record["benchmarks"] if race["group"] == group]
    rivals = list(dict.fromkeys(name for race in races for name in race["ratios"]))
    told = []
    if group in WORST:
        races.sort(key=lambda race: race["ratios"][rivals[0]])
        behind = sum(race["ratios"][rivals[0]] < 1.0 for race in races)
        told = [f"Of {len(races)} races, {behind} of them lost to {rivals[0]}, the worst.", ""]
        races = races[: WORST[group]]
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
    lines = [*told, table, "", *(f"\\* {note}." for note in notes), tell_origin(record["origin"])]
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


def slim(raw: Record) -> list[dict[str, Any]]:
    """Keep of pytest-benchmark's JSON what tables, comparison and plot need."""
    races = [
        {name: race[name] for name in ("name", "group", "extra_info")} for race in raw["benchmarks"]
    ]
    if not races:
        raise ValueError("the run has no races; was it stopped, or run with --benchmark-disable?")
    for race in races:
        facts = dict(race["extra_info"])
        for kind in ("ratios", "seconds", "errors"):
            facts[kind] = {name: float(f"{value:.4g}") for name, value in facts[kind].items()}
        race["extra_info"] = facts
    return races


def record_races(*, seconds: float, groups: Sequence[str] = (), results: Path = RACES) -> Path:
    """Run all races, or some groups, in a process of their own and store the record; give its path.

    Raises
    ------
    ValueError
        If the code that is raced is not that of a commit.
    subprocess.CalledProcessError
        If a race fails; nothing is stored then.
    """
    changed = changed_since("HEAD", files_of({SPLINES, *RACERS.values()}))
    if changed:
        raise ValueError(f"{', '.join(changed[:3])} differ from the last commit; commit first")
    origin = origin_now(" --group ".join([RECORDING, *groups]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "raw.json"
        options = [
            "--benchmark-enable",
            "--benchmark-quiet",
            f"--benchmark-json={path}",
            f"--race-seconds={seconds}",
            f"--race-groups={','.join(groups)}",
        ]
        command = [sys.executable, "-m", "pytest", "bench", "-v", *options]
        subprocess.run(command, cwd=ROOT, env=calm_environment(), check=True)
        races = slim(json.loads(path.read_text(encoding="utf-8")))
    stored = results / f"{origin['date'][:10]}-{origin['commit'][:7]}.json"
    store({"origin": origin, "benchmarks": races}, stored)
    return stored


def read_records(results: Path = RACES) -> dict[Path, Record]:
    """Read all records, the oldest first.

    Raises
    ------
    ValueError
        If there is none.
    """
    records = {path: read(path) for path in results.glob("*.json")}
    if not records:
        raise ValueError(f"no record in {results}; make one: python -m bench.report record")
    return dict(sorted(records.items(), key=lambda item: item[1]["origin"]["date"]))


def ratios_of(record: Record) -> list[Ratio]:
    """Give the ratio of each race and rival."""
    origin = record["origin"]
    where = origin["date"][:19], origin["commit"][:7], origin["machine"]["cpu"]
    return [
        Ratio(*where, race["group"], race["name"], rival, ratio)
        for race in record["benchmarks"]
        for rival, ratio in race["extra_info"]["ratios"].items()
    ]


def read_folded(results: Path = RACES) -> list[Ratio]:
    """Read `ratios.csv`, the oldest record first; nothing where none was folded yet."""
    path = results / FOLDED
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines))[1:]
    return [Ratio(*words, float(ratio)) for *words, ratio in rows]


def read_ratios(results: Path = RACES) -> list[Ratio]:
    """Read the ratios of all records, folded ones too."""
    records = read_records(results).values()
    return [*read_folded(results), *(one for record in records for one in ratios_of(record))]


def fold(results: Path = RACES) -> list[Path]:
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


def publish_all() -> None:
    """Write every table and picture from the newest records."""
    for experiment in EXPERIMENTS.values():
        publish(experiment)
    write_tables(
        {
            "claims": tell_claims(collect()),
            **tables_of_races(list(read_records().values()), read_folded()),
        }
    )


def tell_stale() -> Iterable[str]:
    """Tell of each record that is older than its code what has changed, and what renews it."""
    for key, one in EXPERIMENTS.items():
        if not one.path.exists():
            yield f"{key:14} has no record; {one.command}"
    records = [
        (key, read(one.path)["origin"], one.files, one.command)
        for key, one in EXPERIMENTS.items()
        if one.path.exists()
    ]
    records += [
        (group, record["origin"], files_of([RACERS.get(group, SPLINES)]), RECORDING)
        for group, record in newest_of_groups(read_records().values()).items()
    ]
    for name, origin, files, command in records:
        changed = changed_since(origin["commit"], files)
        if changed:
            others = f" and {len(changed) - 1} more" if changed[1:] else ""
            told = f"{origin['commit'][:7]}, {origin['date'][:10]}"
            spent = f" ({origin['seconds']} s)" if "seconds" in origin else ""
            yield f"{name:14} {told}: {changed[0]}{others} changed since; {command}{spent}"


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


def _compare(options: argparse.Namespace) -> tuple[str, int]:
    """Compare two records, or two commits, as the options say."""
    names = options.old, options.new
    if any(name.endswith(".json") for name in names):
        old, new = (json.loads(Path(name).read_text("utf-8")) for name in names)
        return compare(old, new)
    if options.rounds < 1 or options.seconds <= 0.0:
        raise ValueError("--rounds must be at least 1, and --seconds above 0")
    return tell_commits(
        *race_commits(*names, only=options.only, rounds=options.rounds, seconds=options.seconds)
    )


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
        description="Write all tables and pictures from the newest records (what it does without "
        "a command), list stale ones; record races, compare two records, fold old ones, draw all.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("stale", help="list records older than their code, and what renews each")
    one = commands.add_parser(
        "record", help="run all races (an hour) and store bench/results/races/DATE-COMMIT.json"
    )
    one.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="GROUP",
        help="race this one alone; repeat for more",
    )
    one.add_argument(
        "--seconds",
        type=float,
        default=2.0,
        help="how long each race lasts at least (default %(default)s)",
    )
    two = commands.add_parser(
        "compare",
        help="print the ratios of two records, or race two commits in turn and print their times; "
        "exit code 1 if something fell by more than 10 %%",
    )
    two.add_argument("old", metavar="OLD", help="a record, bench/results/races/*.json, or a commit")
    two.add_argument("new", metavar="NEW", help="a later one")
    two.add_argument(
        "-k", dest="only", default="", metavar="NAME", help="of commits: race these alone"
    )
    two.add_argument(
        "--rounds", type=int, default=4, help="of commits: turns of each (default %(default)s)"
    )
    two.add_argument(
        "--seconds",
        type=float,
        default=0.3,
        help="of commits: how long a race lasts at least (default %(default)s)",
    )
    commands.add_parser(
        "fold", help="keep the ratios alone of records that no table is made of, in ratios.csv"
    )
    commands.add_parser(
        "plot", help="draw the ratios of all records into bench/results/races/ratios.png"
    )
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
            print(record_races(seconds=options.seconds, groups=options.group))
        case "compare":
            text, fallen = _compare(options)
            print(text)
            print(f"{fallen} fell by more than 10 %")
            return int(fallen > 0)
        case "plot":
            path = RACES / "ratios.png"
            plot(read_ratios(), path)
            print(path)
        case "fold":
            print("\n".join(map(str, fold())))
        case "stale":
            lines = list(tell_stale())
            print("\n".join(lines) or "no record is older than its code")
        case _:
            publish_all()
            print(f"wrote {', '.join(str(path.relative_to(ROOT)) for path in DOCUMENTS)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
