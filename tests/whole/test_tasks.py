"""A regressor, a classifier of several labels and a segmentation network, stitched by the command line."""

from pathlib import Path

import pytest

import modelstitch as ms
from commands import run

MINE = """
import torch
from torch import nn

import modelstitch as ms


def _net(name, seed, layers):
    data = ms.load_data(name, limit=120)
    torch.manual_seed(seed)
    module = nn.Sequential(*layers())
    optimiser = torch.optim.Adam(module.parameters(), 1e-2)
    for epoch in range(8):
        for batch in data.batches("fit", 50, seed=epoch):
            optimiser.zero_grad()
            data.task.fitted(module(batch.inputs), batch.labels).backward()
            optimiser.step()
    return module.eval()


def _regressor():
    last = nn.Linear(12, 1)
    nn.init.constant_(last.bias, 150.0)
    return nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), last


def _traits():
    return nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 5)


def _segmenter():
    return nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1)


def diabetes_0(): return _net("diabetes", 0, _regressor)
def diabetes_1(): return _net("diabetes", 1, _regressor)
def traits_0(): return _net("digit-traits", 0, _traits)
def traits_1(): return _net("digit-traits", 1, _traits)
def shapes_0(): return _net("shapes", 0, _segmenter)
def shapes_1(): return _net("shapes", 1, _segmenter)
"""
CASES = {
    "diabetes": ("diabetes", "1", "MSE", "label_r2", "the squared difference to the label"),
    "traits": ("digit-traits", "2", "points of labels", "average_precision", "the share of its labels that are wrong"),
    "shapes": ("shapes", "1", "points of pixels", "miou", "the share of its pixels"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_task_on_the_command_line(name, tmp_path, monkeypatch, capfd):
    data, layer, unit, beside, says = CASES[name]
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(MINE)
    asked = ("--import", "mine.py", "--data", data, "--limit", "120", "--objective", "match", "--device", "cpu")
    networks = (f"import:{name}_0", f"import:{name}_1")
    code, out, err = run(
        monkeypatch, capfd, "compare", *networks, *asked, "--layers", layer, "--one-way", "--out", "made"
    )
    assert code == 0, err
    assert f"penalty in {unit} (negative: better than the top itself)" in out
    kept = ms.open("made")
    assert set(kept.frame.filter(metric="penalty")["unit"]) == {unit}
    assert {"pair", "self", "random", "identity", "shuffled"} == set(kept.frame["control"])
    assert kept.frame.filter(metric=f"top_{beside}").height
    page = Path("made/report.html").read_text(encoding="utf-8")
    assert f"an error of one sample is {says}" in page
    assert " points " not in page.replace(unit, "")
    code, out, err = run(monkeypatch, capfd, "stitch", f"{networks[0]}@{layer}", f"{networks[1]}@{layer}", *asked)
    assert code == 0, err
    assert unit in out
