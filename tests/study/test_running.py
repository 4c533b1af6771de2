"""A process that works in a folder has a file there, and none once it has ended, however it ended."""

import os
import subprocess
import sys

import pytest

from modelstitch.study.running import present, working


def test_a_process_is_there_for_as_long_as_it_works(tmp_path):
    folder = tmp_path / "running"
    assert present(folder) == []
    with working(folder) as one:
        assert present(folder) == [one.name]
        with working(folder) as two:
            assert present(folder) == sorted([one.name, two.name])
        assert present(folder) == [one.name]
    assert not folder.exists()


def test_also_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), working(tmp_path / "running"):
        1 / 0  # noqa: B018
    assert present(tmp_path / "running") == []


def test_one_that_was_killed_counts_no_longer(tmp_path):
    folder = tmp_path / "running"
    code = (
        f"from pathlib import Path; from modelstitch.study.running import working; w = "
        f"working(Path({str(folder)!r})); w.__enter__(); import os; os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, timeout=60
    )
    assert ended.returncode < 0
    assert list(folder.iterdir())
    assert present(folder) == []
