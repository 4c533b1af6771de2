"""The README's Python and command line run as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


@pytest.fixture
def environment():
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}


def test_the_python_example_runs_and_is_short(tmp_path, environment):
    (code,) = blocks("python")
    assert len([line for line in code.splitlines() if line and not line.startswith(("import", "from"))]) <= 10
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert "torch.Size([2, 10])" in done.stdout
    assert (tmp_path / "runs/ab/report.html").read_text(encoding="utf-8").startswith("<!")


def test_the_command_line_runs_as_written(tmp_path, environment):
    (script,) = (block for block in blocks("bash") if block.startswith("modelstitch"))
    done = subprocess.run(
        ["bash", "-euc", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert "exact cuts" in done.stdout
    assert "95 % interval" in done.stdout
    assert (tmp_path / "runs/pair/report.html").is_file()
    assert (tmp_path / "runs/pair.csv").read_text(encoding="utf-8").startswith("bottom,")


def test_the_picture_and_the_pages_are_there():
    for target in re.findall(r"\]\(([^)h][^)]*)\)", README):
        assert (ROOT / target).exists(), target
