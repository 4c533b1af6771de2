"""The README's Python and command line run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pages import ROOT, blocks, run_commands, run_python, text


@pytest.mark.slow
def test_the_python_example_runs_and_is_short(tmp_path, monkeypatch):
    (code,) = blocks("README.md", "python")
    assert len([line for line in code.splitlines() if line and not line.startswith(("import", "from"))]) <= 10
    assert "torch.Size([2, 10])" in run_python(code, tmp_path, monkeypatch)
    assert (tmp_path / "runs/ab/report.html").read_text(encoding="utf-8").startswith("<!")


@pytest.mark.slow
def test_the_command_line_runs_as_written(tmp_path, monkeypatch):
    (script,) = (block for block in blocks("README.md", "bash") if block.startswith("modelstitch"))
    told = "\n".join(run_commands(script, tmp_path, monkeypatch))
    assert "exact cuts" in told
    assert "95 % interval" in told
    assert (tmp_path / "runs/pair/report.html").is_file()
    assert (tmp_path / "runs/pair.csv").read_text(encoding="utf-8").startswith("bottom,")
    command = [Path(sys.executable).parent / "modelstitch", "status", "runs/pair"]  # the command as it is installed
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "20 finished cells." in done.stdout


def test_the_picture_and_the_pages_are_there():
    for target in re.findall(r"\]\(([^)h][^)]*)\)", text("README.md")):
        assert (ROOT / target).exists(), target
