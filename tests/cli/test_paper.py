"""The command that runs figures: mistakes cost no run."""

import shutil
from pathlib import Path

from commands import run
from modelstitch.errors import StudyError

SMOKE = Path(__file__).parents[2] / "docs" / "results" / "paper" / "smoke"


def test_an_unknown_figure_beside_all_is_refused(monkeypatch, capfd, tmp_path):
    shutil.copy(SMOKE / "5.parquet", tmp_path)
    code, _, err = run(monkeypatch, capfd, "paper", "all", "2d", "--redraw", str(tmp_path))
    assert code == 2
    assert "There is no figure '2d': did you mean" in err
    assert not (tmp_path / "README.md").exists()


def test_other_data_than_the_scales_own_are_said_before_it_starts(monkeypatch, capfd, tmp_path):
    def started(*_, **__):
        raise StudyError("started")

    monkeypatch.setattr("modelstitch.paper.run.run_figure", started)
    code, _, err = run(
        monkeypatch, capfd, "paper", "2c", "--scale", "small", "--data", "digits", "--out", str(tmp_path)
    )
    assert code == 2
    assert err.index(
        "'small' is run on other data than its own: digits (1 x 8 x 8, 10 classes), not CIFAR-10"
    ) < err.index("started")
