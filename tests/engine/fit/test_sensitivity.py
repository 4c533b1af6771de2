"""A map moved in the metric of the top's own output: exact where the top is linear, nearer where it is not."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch

import modelstitch as ms
from modelstitch.engine.fit import sensitivity
from modelstitch.engine.fit.sensitivity import _System

ASKED = {"both": False, "controls": (), "device": "cpu"}


def errors(notes):
    """Squared error of the output on samples held out, before and after."""
    (found,) = {match for note in notes for match in re.findall(r"held out, (\S+) -> (\S+) a sample", note)}
    return tuple(map(float, found))


@pytest.mark.parametrize(("rows", "width"), [(40, 6), (6, 40)])
def test_a_step_is_the_damped_least_squares_solution(rows, width):
    j, r = torch.randn(rows, width), torch.randn(rows)
    system = _System(width, rows, j)
    for some in (slice(0, 4), slice(4, rows)):
        system.add(j[some], r[some])
    squares = j.square().sum(0).double()
    scale = (squares + sensitivity.FLOOR * squares.mean()).sqrt()
    scaled = j.double() / scale
    eased = torch.cat([scaled, 0.1 * torch.eye(width, dtype=torch.float64)])
    wanted = torch.linalg.lstsq(eased, torch.cat([r.double(), torch.zeros(width)])[:, None]).solution[:, 0] / scale
    torch.testing.assert_close(system.step(0.01).double(), wanted, rtol=1e-3, atol=1e-5)


class Ends(torch.nn.Module):
    """A network whose last layers are linear."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.body = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 12), torch.nn.ReLU())
        self.head = torch.nn.Linear(12, 10)

    def forward(self, x):
        return self.head(self.body(x))


def test_before_a_linear_top_least_squares_at_the_seam_is_right_already(digits):
    one, two = (ms.Network(Ends(seed), torch.zeros(2, 1, 8, 8), str(seed)) for seed in (0, 1))
    ids = list(range(200))
    asked = {"at": "body", "data": digits, "anchors_by": ids, "family": "affine", "device": "cpu"}
    s = ms.stitch(one, two, objective="sensitivity", **asked)
    with torch.no_grad():
        inputs = digits.chosen("fit", torch.tensor(ids)).inputs
        x, wanted = one.bottom("body")(inputs), two.module(inputs)
        found = s(inputs)
        design = torch.cat([x, torch.ones(len(x), 1)], 1).double()  # the head has ten rows, and any can be reached
        best = design @ torch.linalg.lstsq(design, wanted.double(), driver="gelsd").solution
    least, plain = (best - wanted).square().sum(), ms.stitch(one, two, objective="match", **asked)
    with torch.no_grad():
        start = (plain(inputs) - wanted).square().sum()
    assert float((found - wanted).square().sum()) == pytest.approx(float(least), rel=1e-3)
    assert float(start) == pytest.approx(float(least), rel=1e-3)


@pytest.mark.parametrize("family", ["affine", "low-rank:4", "conv:3", "mlp:8", "norm-affine-norm"])
def test_every_family_with_parameters_comes_nearer_to_the_tops_output(pair, digits, family):
    r = ms.compare(*pair, digits, layers=["block1"], family=family, objective="sensitivity", anchors=20, **ASKED)
    before, after = errors(r.notes)
    assert after < 0.9 * before
    assert 1 <= r.frame.filter(metric="steps")["value"].item() <= sensitivity.STEPS
    assert r.frame.filter(metric="penalty")["low"].is_finite().all()


def test_many_outputs_are_looked_at_in_drawn_directions(pair, digits, monkeypatch):
    monkeypatch.setattr(sensitivity, "DIRECTIONS", 6)
    r = ms.compare(*pair, digits, layers=["block2"], objective="sensitivity", anchors=40, **ASKED)
    before, after = errors(r.notes)
    assert after < 0.9 * before


@pytest.mark.parametrize("shape", [(40,), (5, 30)])  # of one output: classes, and those of five tokens
def test_drawn_directions_keep_squares_on_the_mean(shape, monkeypatch):
    monkeypatch.setattr(sensitivity, "DIRECTIONS", 20_000)
    signs, mixed = sensitivity._directions(torch.zeros(shape), SimpleNamespace(seed=0, device="cpu"))
    away = torch.randn(shape)
    seen = ((away if away.ndim > 1 else away[None]) @ mixed * signs).sum(0)
    assert float(seen.square().sum()) == pytest.approx(float(away.square().sum()), rel=0.1)


def test_a_map_of_many_parameters_is_moved_by_fewer_samples(pair, digits, monkeypatch):
    monkeypatch.setattr(sensitivity, "UNKNOWNS", 200)  # of 272 parameters
    s = ms.stitch(*pair, "block2", digits, objective="sensitivity", device="cpu", start_samples=150)
    assert any("over 96 fit samples" in note for note in s.record.notes)  # whole batches


def test_controls_are_moved_alike_and_a_family_without_parameters_is_refused(pair, digits):
    asked = {"layers": ["block2"], "anchors": 20, "objective": "sensitivity", "both": False, "device": "cpu"}
    r = ms.compare(*pair, digits, controls=("self", "random", "shuffled"), **asked)
    found = {row["control"]: row["value"] for row in r.frame.filter(metric="penalty").iter_rows(named=True)}
    assert abs(found["self"]) < 0.5 < found["pair"] < min(found["random"], found["shuffled"])
    with pytest.raises(ms.StitchError, match="'orthogonal' is solved in closed form only: expected objective 'match'"):
        ms.compare(*pair, digits, family="orthogonal", controls=(), **asked)
    with pytest.raises(ms.StitchError, match="no 'sensitivity' among several stages"):
        ms.compare(*pair, digits, **(asked | {"objective": "sensitivity+task"}))
