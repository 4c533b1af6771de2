"""Few fit samples, chosen without labels: drawn, spread out, or named."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import modelstitch as ms
from modelstitch.engine.anchors import choose
from modelstitch.stitchers import rows

CPU = torch.device("cpu")
QUICK = {"layers": ["block2"], "objective": "match", "both": False, "device": "cpu", "controls": ("self", "random")}
CLOSED = ["affine", "orthogonal", "l-ortho", "scaled-orthogonal", "relative"]


@pytest.mark.parametrize("how", ["random", "farthest"])
def test_a_longer_choice_begins_with_a_shorter_one(pair, digits, how):
    few, more = (choose(digits, pair[1], n, how, seed=3, device=CPU) for n in (5, 12))
    assert torch.equal(more[:5], few)
    assert len(set(more.tolist())) == 12


@pytest.mark.parametrize("how", ["k-means", "farthest"])
def test_they_are_spread_over_what_the_top_makes_of_them_at_its_last_cut(pair, digits, how):
    top = pair[1]
    with torch.no_grad():
        batch = digits.chosen("fit", torch.arange(digits.size("fit")))
        last = top.bottom(top.blocks[-1])(batch.inputs)
    x = (last.flatten(2).mean(2) if last.ndim == 4 else last).numpy()
    found = choose(digits, top, 20, how, seed=0, device=CPU)
    drawn = choose(digits, top, 20, "random", seed=0, device=CPU)

    def reach(ids):  # how far samples are from their nearest anchor
        away = np.linalg.norm(x[:, None] - x[ids.numpy()], axis=2).min(1)
        return away.max() if how == "farthest" else np.square(away).mean()

    assert reach(found) < 0.9 * reach(drawn)
    if how == "farthest":
        assert int(found[0]) == np.square(x - x.mean(0)).sum(1).argmax()


def test_no_label_is_read(pair, digits):
    flipped = {"fit": digits.labels("fit").flip(0)}
    other = digits.relabelled(flipped, name="flipped", classes=list("0123456789"))
    for how in ("random", "k-means", "farthest"):
        one, two = (choose(data, pair[1], 7, how, seed=1, device=CPU) for data in (digits, other))
        assert torch.equal(one, two)


def test_a_curve_over_anchors_comes_from_one_question_with_all_controls(pair, digits):
    r = ms.compare(*pair, digits, family=CLOSED, anchors=[5, 30], **QUICK)
    found = r.frame.filter(metric="penalty")
    assert found.height == 2 * len(CLOSED) * 3
    assert sorted(found["samples"].unique()) == [5, 30]
    assert found.select("low", "high").null_count().sum_horizontal().item() == 0
    assert {"5 anchors, random", "30 anchors, random"} <= set(r.notes)
    assert not any("no sample" in note for note in r.notes)  # of a class: its labels are not read
    assert {record.objective for record in r.records} == {"match, anchors random"}


def test_anchors_by_id_are_those_samples_as_they_are(pair, digits):
    ids = [7, 3, 400, 11]
    s = ms.stitch(*pair, "block2", digits, anchors_by=ids, objective="match", device="cpu")
    inputs = digits.chosen("fit", torch.tensor(ids)).inputs
    x, y = (rows(net.bottom("block2")(inputs), "map").double() for net in pair)
    moments = ms.moments.Moments.of(x, y)
    wanted = ms.stitchers.Affine.solve(moments, ms.stitchers.Site(x.shape[1], y.shape[1], "map"))
    torch.testing.assert_close(s.stitcher.weight, wanted.weight, rtol=1e-3, atol=1e-4)
    assert s.record.fit["anchors_by"] == ids
    shorter = ms.compare(*pair, digits, anchors=[2, 4], anchors_by=ids, **QUICK)
    assert {tuple(record.fit["anchors_by"]) for record in shorter.records} == {(7, 3), (7, 3, 400, 11)}
    # One curve never mixes ways of choosing: each is a setting of its own.
    assert {record.setting.objective for record in shorter.records} == {"match, anchors by id"}


def test_a_pair_and_its_controls_have_the_same_anchors(pair, digits, monkeypatch):
    from modelstitch.study.sweeps import bench

    asked = []
    monkeypatch.setattr(bench, "choose", lambda *a, **k: asked.append(a[1].name) or choose(*a, **k))
    ms.compare(*pair, digits, anchors=[10], anchors_by="farthest", **QUICK)
    assert asked == [pair[1].name]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"anchors": 3000}, "1,000 fit samples cannot give 3,000 anchors: expected 1 to as many; ask for fewer"),
        ({"anchors_by": "k-means"}, "a number of anchors beside anchors_by, such as anchors=30"),
        ({"anchors": 5, "samples": 7}, "either samples or anchors, not both"),
        ({"anchors": 3, "anchors_by": [1, 2]}, "at most as many anchors as the 2 ids in anchors_by"),
        ({"anchors_by": [1, 2000]}, "The anchor 2000 is none of the 1,000 fit samples: expected ids from 0 to 999"),
        ({"anchors_by": [1, 1]}, "ids of fit samples: distinct whole numbers from 0"),
        ({"anchors_by": "best"}, "'random', 'k-means', 'farthest', or ids of fit samples, found 'best'"),
        (
            {"anchors": 1, "layers": ["head"]},
            "1 anchor cannot be stitched from by the family 'affine' at 'head', which takes at least 2 rows, 1 of each "
            "anchor: expected 2 at least",
        ),
        (
            {"anchors": 5, "layers": ["head"], "family": "low-rank:6"},
            "at least 7 rows, 1 of each anchor: expected 7 at",
        ),
    ],
)
def test_what_cannot_be_anchors_is_refused(pair, digits, asked, said):
    with pytest.raises(ms.StitchError, match=said.replace("(", r"\(")):
        ms.compare(*pair, digits, **(QUICK | asked))
