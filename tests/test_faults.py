"""A few mutated files for every reader, and a few changes of every kept file, as the benchmark does with many."""

import importlib.util
import re
from pathlib import Path

import pytest

PLACE = Path(__file__).parent.parent / "benchmarks" / "faults.py"


@pytest.mark.parametrize("section", ["readers", "bits"])
def test_nothing_is_foreign_slow_or_believed(section, capsys):
    found = importlib.util.spec_from_file_location("faults", PLACE)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    assert module.main([section, "--n", "60", "--seconds", "1.5", "--seed", "7"]) == 0, capsys.readouterr()
    rows = re.findall(r"^\| (.+?) \| (\d+) \|", capsys.readouterr().out, re.M)
    assert len(rows) >= 9
    assert all(int(count) > 0 for _, count in rows)
