import json

import pytest

from bench import report
from bench.demo_tables import tell_accuracy, tell_live
from bench.races.beside import tell_commits
from bench.records import ask_git

MACHINE = {
    "cpu": "Some CPU",
    "cpus": "2",
    "blas": "openblas 0.3 Zen",
}
VERSIONS = {"python": "3.11.0", "numpy": "2.0", "scipy": "1.13", "numba": "0.61"}
HEAD = ask_git("rev-parse", "HEAD")


def race(name="test_a[1]", group="small", *, notes=None, **ratios):
    return {
        "name": name,
        "group": group,
        "extra_info": {
            "case": "a case",
            "shape": "(2 -> 3) x 4",
            "dtype": "float64",
            "threads": 1,
            "rounds": 7,
            "ratios": ratios,
            "seconds": {"ours": 1e-6, **{rival: 1e-6 * ratio for rival, ratio in ratios.items()}},
            "errors": {"ours": 2.4e-16},
            "notes": notes or {},
        },
    }


def record(*races, date="2024-06-01T10:00:00", commit=HEAD):
    origin = {"commit": commit, "date": date, "command": report.RECORDING}
    return {
        "origin": origin | {"machine": MACHINE, "versions": VERSIONS},
        "benchmarks": list(races),
    }


def store(path, content):
    path.write_text(json.dumps(content))
    return path


def test_losses_notes_and_missing_rivals_are_printed():
    table = report.tell_races(
        record(
            race("test_a", scipy=1234.5, copy=0.618, notes={"scipy": "scipy: on 10 columns"}),
            race("test_b", scipy=0.834, dense=3.14159),
            race("test_c", "other", scipy=5.0),
        ),
        "small",
    )
    header, _, first, second, *rest = table.splitlines()
    assert header.endswith("| scipy / ours | share of copy rate | dense / ours | error |")
    assert first.endswith("| 1,234\\* | 62 % | - | 2e-16 |")
    assert second.endswith("| 0.83 | - | 3.1 | 2e-16 |")
    assert "\\* scipy: on 10 columns." in rest


def test_a_drop_of_more_than_a_tenth_is_flagged(tmp_path, capsys):
    old = store(tmp_path / "old.json", record(race(scipy=100.0, dense=2.0, copy=0.5)))
    new = store(tmp_path / "new.json", record(race(scipy=89.0, dense=1.81, copy=0.9)))
    assert report.main(["compare", str(old), str(new)]) == 1
    flagged = [line for line in capsys.readouterr().out.splitlines() if "FELL" in line]
    assert len(flagged) == 1
    assert "test_a[1] | scipy" in flagged[0]
    assert "-11 %" in flagged[0]


def test_improvements_and_new_races_are_not_flagged(tmp_path, capsys):
    old = store(tmp_path / "old.json", record(race(scipy=100.0), race("test_gone", scipy=1.0)))
    new = store(tmp_path / "new.json", record(race(scipy=300.0), race("test_b", scipy=0.1)))
    assert report.main(["compare", str(old), str(new)]) == 0
    printed = capsys.readouterr().out
    assert "FELL" not in printed
    assert "test_b | scipy" in printed
    assert "only in the new record" in printed
    assert "only in the old record" in printed


def test_the_front_page_tells_the_cpu_that_is_worse_for_us():
    name = report.FRONT[0]
    new = record(race(name, scipy=400.0, copy=0.5))
    other = [
        report.Ratio("2024-05-02T10:00:00", "fedcba9", "Other CPU", "small", name, "scipy", 300.0),
        report.Ratio("2024-05-01T10:00:00", "0123456", "Other CPU", "small", name, "scipy", 1.0),
        report.Ratio("2024-05-02T10:00:00", "fedcba9", "Some CPU", "small", name, "scipy", 2.0),
    ]
    table = report.tables_of_races([new], other)["races-front"]
    assert "| 300 | - |" in table
    assert f"lowest of Other CPU (fedcba9, 2024-05-02) and Some CPU ({HEAD[:7]}" in table


@pytest.mark.outer
def test_two_commits_are_raced_in_turn(capsys):
    options = ["-k", "test_plan_and_call", "--rounds", "1", "--seconds", "0.01"]
    assert report.main(["compare", HEAD, HEAD, *options]) in {0, 1}
    _, line, _ = capsys.readouterr().out.splitlines()
    race, old, new, ratio, *_ = line.split()
    assert race == "test_plan_and_call"
    assert float(ratio) == pytest.approx(float(old) / float(new), abs=0.01)


def test_commits_that_are_none_and_races_without_name_are_refused(capsys):
    assert report.main(["compare", "no-such-commit", HEAD]) == 2
    assert "neither a record's file nor a commit" in capsys.readouterr().err
    assert report.main(["compare", HEAD, HEAD, "--rounds", "0"]) == 2
    assert "--rounds" in capsys.readouterr().err


def test_what_became_a_tenth_slower_is_flagged():
    text, fallen = tell_commits({"a": 1e-6, "b": 1e-6, "gone": 1.0}, {"a": 1.2e-6, "b": 1.05e-6})
    assert fallen == 1
    assert [line.split()[0] for line in text.splitlines() if "FELL" in line] == ["a"]
    assert "gone" in text


def test_an_unreadable_record_gives_one_line_and_code_2(tmp_path, capsys):
    assert report.main(["compare", str(tmp_path / "none.json"), str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err


def test_slimming_keeps_what_tables_need():
    races = [race(scipy=1.23456789), race("test_b", scipy=2.0)]
    stats = {"stats": {"min": 1.0, "data": [1.0] * 1000}}
    slimmed = report.slim({"version": "5.0", "benchmarks": [one | stats for one in races]})
    assert slimmed == [race(scipy=1.235) | {"extra_info": slimmed[0]["extra_info"]}, races[1]]
    assert slimmed[0]["extra_info"]["ratios"] == {"scipy": 1.235}


def test_a_run_without_races_is_refused():
    with pytest.raises(ValueError, match="no races"):
        report.slim({"benchmarks": []})


def test_the_newest_record_is_the_last(tmp_path):
    store(tmp_path / "a.json", record(date="2024-06-02T10:00:00"))
    store(tmp_path / "b.json", record(date="2024-06-01T10:00:00"))
    dates = {
        path.name: one["origin"]["date"][:10] for path, one in report.read_records(tmp_path).items()
    }
    assert list(dates.items()) == [("b.json", "2024-06-01"), ("a.json", "2024-06-02")]
    with pytest.raises(ValueError, match="no record"):
        report.read_records(tmp_path / "empty")


def test_each_table_is_made_of_the_newest_record_of_its_group():
    old = record(race(scipy=2.0), race("test_b", "other", scipy=5.0))
    new = record(race(scipy=3.0), date="2024-06-02T10:00:00", commit="fedcba9")
    tables = report.tables_of_races([old, new], [])
    assert list(tables) == ["small", "other", "races-front"]
    assert "| 3.0 |" in tables["small"]
    assert "Commit fedcba9, 2024-06-02" in tables["small"]
    assert "| 5.0 |" in tables["other"]
    assert f"Commit {HEAD[:7]}, 2024-06-01, `{report.RECORDING}`" in tables["other"]


def test_folding_keeps_the_ratios_of_records_that_no_table_is_made_of(tmp_path):
    oldest = record(race(scipy=1.0), date="2024-05-01T10:00:00", commit=HEAD)
    old = record(race(scipy=2.0, copy=0.123), race('test_b["x", 1]', "other", scipy=5e-05))
    new = record(race(scipy=3.0), date="2024-06-02T10:00:00")
    spent = record(race(scipy=2.5), date="2024-06-01T11:00:00", commit=HEAD)
    kept = [store(tmp_path / "old.json", old), store(tmp_path / "new.json", new)]
    gone = [store(tmp_path / "oldest.json", oldest)]
    assert report.fold(tmp_path) == gone
    gone.append(store(tmp_path / "spent.json", spent))
    assert report.fold(tmp_path) == gone[1:]
    assert report.fold(tmp_path) == []
    assert sorted(tmp_path.glob("*.json")) == sorted(kept)
    assert report.read_folded(tmp_path) == [*report.ratios_of(oldest), *report.ratios_of(spent)]
    newer = old | {"origin": old["origin"] | {"date": "2024-07-01T10:00:00"}}
    store(tmp_path / "newer.json", newer)
    assert report.fold(tmp_path) == [tmp_path / "old.json", tmp_path / "new.json"]
    folded = [one for each in (oldest, old, spent, new) for one in report.ratios_of(each)]
    assert report.read_folded(tmp_path) == folded
    newest = report.ratios_of(newer)
    assert report.read_ratios(tmp_path) == folded + newest


def test_the_plot_is_a_picture(tmp_path):
    ratios = [
        *report.ratios_of(record(race(scipy=2.0, copy=0.5))),
        report.Ratio("2024-06-02T10:00:00", "fedcba9", "Some CPU", "small", "test_b", "scipy", 1.0),
    ]
    report.plot(ratios, tmp_path / "results" / "ratios.png")
    assert (tmp_path / "results" / "ratios.png").read_bytes()[:4] == b"\x89PNG"


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit, match="0"):
        report.main(["--help"])
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("record", "compare", "fold", "plot", "stale"))


def test_demo_tables_hold_every_scheme_and_the_setting():
    row = {"relative_accuracy": 0.9876, "relative_accuracy_half_width": 0.01}
    row |= {"error": 0.05, "error_half_width": 0.004}
    accuracy = [
        {"scheme": name, "n_stragglers": s, **row} for name in ("BACC", "ours") for s in (0, 20)
    ]
    table = tell_accuracy(
        [{"settings": {"k": 20, "n": 60, "s": 20, "repeats": 7}, "accuracy": accuracy}]
    )
    assert "(20, 60, 20)" in table
    assert "each with 7 draws" in table
    assert "| ours | 0.988 ± 0.010 | 0.050 ± 0.004 |" in table
    live = {"strategy": "ours", "accuracy": 0.9, "lost": 1}
    live |= {"median_seconds": 0.1, "p90_seconds": 0.2, "p99_seconds": 0.25, "worst_seconds": 0.3}
    table = tell_live({"settings": {"workers": 8, "rounds": 40}, "live": [live]})
    assert "| ours | 0.100 | 0.200 | 0.250 | 0.300 | 0.900 | 1 |" in table
    assert "40 rounds of 4 digits on 8 worker processes" in table
    assert "6 of 8 answers" in table
