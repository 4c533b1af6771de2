"""docs/trajectories.md: its commands and its code run, and the picture on it follows from them."""

import pytest

from pages import blocks, run_commands, run_python

PAGE = "docs/trajectories.md"


@pytest.mark.slow
def test_what_the_page_shows_runs(tmp_path, monkeypatch):
    (commands,) = blocks(PAGE, "bash")
    told = run_commands(commands, tmp_path, monkeypatch)
    assert "run?step=10, " in " ".join(told[0].split())
    (code,) = blocks(PAGE, "python")
    said = run_python(code, tmp_path, monkeypatch)
    assert "Into run the penalty stays low at" in said
    assert "Into other the penalty stays low at" in said
    assert (tmp_path / "runs/trajectory/trajectory.svg").is_file()
    (again,) = run_commands("modelstitch trajectory runs/trajectory -o again.svg", tmp_path, monkeypatch)
    assert "Into run the penalty stays low at" in again
    assert (tmp_path / "again.svg").is_file()
