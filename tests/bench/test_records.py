"""What a record must tell, and which records are older than their code."""

import json
import re
import subprocess

import pytest

from bench import experiments, records, stale
from bench.documents import DOCUMENTS
from bench.experiments import EXPERIMENTS, tables_of
from bench.report import RACES, read_folded, read_records, tables_of_races
from bench.science.claims import collect, tell_claims

RECORDS = {key: one.path for key, one in EXPERIMENTS.items()}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A small repository in the place of ours: one module, one package, one commit."""
    (tmp_path / "coded").mkdir()
    (tmp_path / "bench").mkdir()
    for file, text in {
        "bench/__init__.py": "",
        "bench/races.py": "from coded import solve\n",
        "coded/__init__.py": '"""All."""\n',
        "coded/__init__.pyi": "from coded.inside import solve as solve\n",
        "coded/inside.py": "def solve():\n    from coded.deeper import at\n    return at\n\n\n"
        "codes = [import_module(f'coded.{name}') for name in ('named', 'unknown')]\n",
        "coded/deeper.py": "at = 1\n",
        "coded/named.py": "",
        "coded/other.py": "at = 2\n",
    }.items():
        (tmp_path / file).write_text(text)
    monkeypatch.setattr(records, "ROOT", tmp_path)
    monkeypatch.setattr(stale, "ROOT", tmp_path)
    caches = [stale.path_of, stale.homes, stale.imports_of, records.is_in_history]
    for one in caches:
        one.cache_clear()
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    commit(tmp_path)
    yield tmp_path
    for one in caches:
        one.cache_clear()


def git(folder, *words):
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, timeout=60)


def commit(folder):
    name = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    git(folder, *name, "commit", "-q", "-a", "-m", "x", "--allow-empty")


def changed():
    stale.imports_of.cache_clear()
    return stale.changed_since("HEAD", stale.files_of(["bench.races"]))


def test_what_is_measured_is_what_imports_lead_to(repository):
    files = {path.relative_to(repository).as_posix() for path in stale.files_of(["bench.races"])}
    assert files == {
        "bench/__init__.py",
        "bench/races.py",
        "coded/__init__.py",
        "coded/inside.py",
        "coded/deeper.py",
        "coded/named.py",
    }


def test_a_record_is_stale_when_code_that_it_measures_has_changed(repository):
    assert changed() == []
    (repository / "coded" / "other.py").write_text("at = 3\n")
    assert changed() == []
    said = '"""Said."""\n\nat = 1  # why\n\n\ndef tell_all(at):\n    return f"{at:.3f}"\n'
    (repository / "coded" / "deeper.py").write_text(said)
    assert changed() == []
    (repository / "coded" / "deeper.py").write_text("at = 3\n")
    assert changed() == ["coded/deeper.py"]
    commit(repository)
    assert changed() == []
    assert stale.changed_since("HEAD~1", stale.files_of(["bench.races"])) == ["coded/deeper.py"]


def test_moved_code_and_new_weights_count(repository):
    git(repository, "mv", "coded/deeper.py", "coded/below.py")
    (repository / "coded" / "inside.py").write_text("from coded.below import at as solve\n")
    (repository / "coded" / "net.npz").write_bytes(b"1")
    git(repository, "add", ".")
    assert changed() == ["coded/below.py", "coded/inside.py", "coded/net.npz"]


def test_nothing_is_measured_that_no_commit_holds(repository):
    one = experiments.Experiment("a", "bench.races", "python -m bench.races")
    (repository / "coded" / "deeper.py").write_text("at = 3\n")
    with pytest.raises(ValueError, match=r"coded/deeper.py differ from the last commit"):
        experiments.measure(one)


def test_a_record_without_origin_or_of_a_lost_commit_is_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"numbers": {}}')
    with pytest.raises(ValueError, match="does not tell command, commit, date, machine, versions"):
        records.read(path)
    origin = dict.fromkeys(("date", "command", "machine", "versions"), "x") | {"commit": "0" * 40}
    path.write_text(json.dumps({"origin": origin}))
    with pytest.raises(ValueError, match="of commit 0000000, which is not in this history"):
        records.read(path)


def test_json_is_readable_and_comes_back():
    record = {"a": [1.5, 2], "b": [[1, None], [2, "x, y"]], "c": {"d": []}}
    text = records.to_json(record)
    assert json.loads(text) == record
    assert '"a": [1.5, 2],' in text
    with pytest.raises(ValueError, match="not JSON compliant"):
        records.to_json({"a": float("nan")})


@pytest.mark.parametrize("path", [*RECORDS.values(), *sorted(RACES.glob("*.json"))], ids=str)
def test_every_record_tells_where_it_comes_from(path):
    line = records.tell_origin(records.read(path)["origin"])
    assert line.startswith("Commit ")
    assert "`python -m bench." in line


def test_tables_are_those_of_the_records():
    texts = [path.read_text(encoding="utf-8") for path in DOCUMENTS]
    races = tables_of_races(list(read_records().values()), read_folded())
    tables = races | {"claims": tell_claims(collect())}
    for experiment in EXPERIMENTS.values():
        tables |= tables_of(experiment, records.read(experiment.path))
    for name, table in tables.items():
        assert any(f"<!-- table: {name} -->\n{table.strip()}\n<!--" in text for text in texts), name
    opened = {name for text in texts for name in re.findall(r"<!-- table: (\S+) -->", text)}
    assert opened == set(tables)
