"""What a run will take, before it is run: what is counted is what the run then makes."""

import dataclasses
import re

import pytest

from commands import run
from modelstitch.paper.catalogue import figure
from modelstitch.paper.estimate import Forecast, Training, estimate
from modelstitch.paper.run import run_figure
from paper.tiny import tiny_job

FIGURE = figure("9")


@pytest.mark.slow
def test_what_is_counted_is_what_is_run_and_then_kept(tmp_path):
    before = estimate([FIGURE], tiny_job(tmp_path, protocols=("honest",)))
    assert list(tmp_path.glob("donors/*")) == []
    records = run_figure(FIGURE, tiny_job(tmp_path, protocols=("honest",)))
    stitched = {r["cell"] for r in records if r["config"]["control"] in ("pair", "self", "class-noise")}
    assert before.stitches["honest"][0] == len(stitched)
    after = estimate([FIGURE], tiny_job(tmp_path, protocols=("honest",)))
    assert after.stitches == {}
    assert after.kept == (len(stitched), len([t for t in before.trainings if t.method == "labels"]))
    assert before.step > 0
    assert before.figures == {FIGURE.name: pytest.approx(before.steps)}
    assert after.figures[FIGURE.name] < before.figures[FIGURE.name]


def test_hours_are_steps_times_seconds():
    found = Forecast([Training("a", "labels", 1000, 2.0)], {"honest": (3, 500.0)}, (1, 2), 0.36, memory=2_000_000)
    assert found.seconds == pytest.approx(900)
    assert found.sentences() == [
        "1 trainings, labels: 12 processor minutes",
        "3 stitches, honest protocol: 3 processor minutes",
        "kept already: 2 networks, 1 stitches. Nothing was trained, fitted or written.",
        "Memory: up to 2.0 MB for stitches, beside the networks and one batch's way.",
        "Time: about 15 processor minutes in all, from 360 ms a training step of the base network, measured here; "
        "similarities and paths between weights are not counted.",
    ]
    told = dataclasses.replace(found, figures={"2a": 10_000.0, "2b": 500.0}).sentences()
    assert "figure by figure, each beside those before it: 2a 60 processor minutes, 2b 3 processor minutes" in told
    assert found.line() == (
        "To run: 1 training of 1,000 steps together, 3 cells; memory up to 2.0 MB for stitches; about 15 processor "
        "minutes here."
    )


def test_the_command_says_it_and_makes_no_folder(tmp_path, monkeypatch, capfd):
    out = tmp_path / "runs"
    code, said, _ = run(monkeypatch, capfd, "paper", "4", "--scale", "smoke", "--dry-run", "--out", str(out))
    assert code == 0
    assert re.search(r"Time: about \d+ processor \w+ in all, from", said)
    assert not out.exists()
