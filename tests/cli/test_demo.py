"""``modelstitch demo``, on donors of a few steps: what it says, keeps, and does not do again."""

import pytest

from commands import run
from modelstitch.zoo import demo
from modelstitch.zoo.donors import DonorSpec
from modelstitch.zoo.train import Recipe


@pytest.fixture
def quick(monkeypatch):
    recipe = Recipe(steps=3, lr=0.05, batch_size=32)
    net = "small-resnet?width=4&blocks=1"
    made = [DonorSpec(net, recipe, seed=i, name=name) for i, name in enumerate(("seed A", "seed B", "SimCLR"))]
    monkeypatch.setattr(demo, "donor_specs", lambda seed: made)
    monkeypatch.setattr(demo, "FIT", {"steps": 1, "eval_every": 1, "samples": 100})


@pytest.mark.slow
def test_it_says_what_it_found_and_a_second_run_does_nothing_anew(quick, monkeypatch, capsys, tmp_path):
    out = tmp_path / "out"
    code, told, _ = run(monkeypatch, capsys, "demo", "--out", str(out), "--device", "cpu")
    assert not code, told
    words = " ".join(told.split())
    for name in ("seed A", "seed B", "SimCLR"):
        assert f"{name}: test error" in words
    assert "seed A -> seed B" in words
    assert f"The report is {out / 'report.html'}" in words
    assert (out / "report.html").read_text(encoding="utf-8").count("<svg") > 1
    cells = {p.name: p.stat().st_mtime_ns for p in (out / "study" / "cells").iterdir()}
    assert cells
    code, again, _ = run(monkeypatch, capsys, "demo", "--out", str(out), "--device", "cpu")
    assert not code
    assert {p.name: p.stat().st_mtime_ns for p in (out / "study" / "cells").iterdir()} == cells
    assert "seed A: test error" in again


@pytest.mark.slow
def test_a_dry_run_trains_and_writes_nothing(quick, monkeypatch, capsys, tmp_path):
    out = tmp_path / "out"
    code, told, _ = run(monkeypatch, capsys, "demo", "--out", str(out), "--device", "cpu", "--dry-run")
    assert code == 0
    assert "3 networks to train, 9 steps together" in told
    assert "Nothing was fitted or written" in told
    assert not out.exists()
