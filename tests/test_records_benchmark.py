"""The benchmark of records at a small size: it counts what it says, and its numbers are in their places."""

import importlib.util
import re
import sys
import tomllib
from pathlib import Path

import pytest

from modelstitch.study.spec import parse_spec

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def records():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    found = importlib.util.spec_from_file_location("records", ROOT / "benchmarks" / "records.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    yield module
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.mark.slow
def test_status_is_timed_with_all_that_it_loads(records, tmp_path, capsys):
    records.main(["--only", "status", "--cells", "15", "--rounds", "1", "--out", str(tmp_path / "r.md")])
    rows = re.findall(r"^\| status \| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", (tmp_path / "r.md").read_text(), re.M)
    assert [n for n, *_ in rows] == ["0", "15"]
    assert all(float(clock) > 0 and float(processor) > 0 for _, clock, processor in rows)
    assert "--only status --cells 15" in capsys.readouterr().out


@pytest.mark.slow
def test_digests_are_found_and_let_go(records, capsys):
    import hashlib

    from modelstitch.support import hashing

    before = hashlib.sha256, hashing.of_json
    with records.timed() as spent:
        assert hashing.of(b"a") == before[0](b"a").hexdigest()
        big = hashlib.sha256(bytes(10**7))
        big.update(bytes(10**7))
        assert big.hexdigest() == before[0](bytes(2 * 10**7)).hexdigest()
    assert spent[0] > 0
    assert (hashlib.sha256, hashing.of_json) == before
    records.main(["--only", "digests", "--study", "12", "--steps", "2"])
    rows = re.findall(r"\| (run.*) \| 12 \| [\d.]+ \| ([\d.]+) \| ([\d.]+) % \|", capsys.readouterr().out)
    assert len(rows) == 2
    assert all(0 < float(share) < 50 for _, _, share in rows)


def test_the_study_of_the_workers_is_one(records):
    spec = parse_spec(tomllib.loads(records.SPEC.format(seeds=[0, 1], steps=3)))
    assert len(spec.seeds) == 2
    assert spec.fit.steps == 3


def test_a_command_that_fails_is_told(records):
    with pytest.raises(SystemExit, match=r"ended with 3: .*why"):
        records.took([sys.executable, "-c", "import sys; print('why'); sys.exit(3)"])
