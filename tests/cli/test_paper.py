"""The command that runs figures: mistakes cost no run."""

import shutil
from pathlib import Path

from commands import run

SMOKE = Path(__file__).parents[2] / "docs" / "results" / "paper" / "smoke"


def test_an_unknown_figure_beside_all_is_refused(monkeypatch, capfd, tmp_path):
    shutil.copy(SMOKE / "5.parquet", tmp_path)
    code, _, err = run(monkeypatch, capfd, "paper", "all", "2d", "--redraw", str(tmp_path))
    assert code == 2
    assert "There is no figure '2d': did you mean" in err
    assert not (tmp_path / "README.md").exists()
