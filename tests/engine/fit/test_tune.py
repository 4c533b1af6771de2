"""Stitches that are trained further: what is free, that donors stay, and what the record says."""

import pytest
import torch

from modelstitch import Results, Stitched, stitch
from modelstitch.errors import StitchError, StudyError, UnknownLayerError
from modelstitch.network import fingerprint
from modelstitch.stitchers import Affine, Site

QUICK = {"steps": 8, "eval_every": 4, "batch_size": 64, "augment": False}


@pytest.fixture(scope="module")
def stitched(pair, digits):
    return stitch(*pair, "block2", digits, objective="match", device="cpu", samples=200)


def numbers(part):
    return {name: value.clone() for name, value in part.state_dict().items()}


def moved(before, after):
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


@pytest.mark.parametrize("unfreeze", ["stitcher", "after:block3", "after:block2", "all"])
def test_what_is_free_moves_and_nothing_else(stitched, pair, digits, unfreeze):
    donors = [fingerprint(network.module) for network in pair]
    before = [numbers(part) for part in (stitched.stitcher, stitched.bottom, stitched.top)]
    tuned = stitched.tune(digits, unfreeze, **QUICK)
    assert [fingerprint(network.module) for network in pair] == donors
    assert all(
        not moved(*both) for both in zip(before, map(numbers, (stitched.stitcher, stitched.bottom, stitched.top)))
    )
    stitcher, bottom, top = (
        moved(old, numbers(part)) for old, part in zip(before, (tuned.stitcher, tuned.bottom, tuned.top))
    )
    weights = {name for name, _ in tuned.top.named_parameters()}
    behind = {name for name, _ in pair[1].top("block3").named_parameters()}
    assert 0 < len(behind) < len(weights)
    assert stitcher
    assert bool(bottom) == (unfreeze == "all")
    assert top == {"stitcher": set(), "after:block3": behind}.get(unfreeze, weights)
    assert not any(weight.requires_grad for part in (tuned.bottom, tuned.top) for weight in part.parameters())


def test_the_record_says_so_and_stands_apart(stitched, digits, tmp_path):
    tuned = stitched.tune(digits, "all", **QUICK)
    config = tuned.record.config
    assert config["objective"] == "match, then task (all unfrozen)"
    assert (config["unfreeze"], config["tuned"]["steps"]) == ("all", 8)
    assert "caution: tuned on the task with all unfrozen: no penalty of frozen networks" in tuned.record.notes
    assert tuned.penalty == tuned.metrics["error"] - tuned.metrics["top_error"]
    both = Results([stitched.record, tuned.record], {})
    assert len(both.pooled.filter(control="pair")) == 2  # never one row
    tuned.save(tmp_path / "s")
    again = Stitched.load(tmp_path / "s")
    x = next(digits.batches("test", 5)).inputs
    assert torch.equal(again.predict(x), tuned.predict(x))
    assert again.record.config["unfreeze"] == "all"


def test_the_best_state_is_kept_and_the_start_counts(stitched, digits):
    x = next(digits.batches("test", 50)).inputs
    wild = stitched.tune(digits, "all", learning_rate=1e3, **QUICK)
    errors = [error for _, error, _ in wild.record.history]
    best = min(range(len(errors)), key=lambda at: wild.record.history[at][1:])
    assert (best == 0) == torch.equal(wild(x), stitched(x))
    assert wild.record.history[0][0] == 0


@pytest.mark.slow
def test_training_all_mends_what_a_map_cannot(stitched, digits):
    tuned = stitched.tune(digits, "all", steps=60, eval_every=20, augment=False, learning_rate=3e-3)
    assert tuned.record.history[-1][1] < tuned.record.history[0][1]


def test_what_is_refused(stitched, pair, digits):
    with pytest.raises(StitchError, match=r"unfreeze='some' is unknown: expected 'stitcher', 'after:LAYER'"):
        stitched.tune(digits, "some")
    with pytest.raises(UnknownLayerError, match="block9"):
        stitched.tune(digits, "after:block9")
    with pytest.raises(StudyError, match=r"The option 'steps' is wrong: expected .* found 0"):
        stitched.tune(digits, steps=0)
    site = Site(pair[0].layer("block2").channels, pair[1].layer("block2").channels, "map")
    alone = Stitched(*pair, "block2", "block2", Affine(site), family="affine")
    assert alone.tune(digits, **QUICK).record.objective == "as it was, then task (stitcher unfrozen)"
    fixed = stitch(*pair, "block2", digits, family="identity", objective="match", device="cpu")
    with pytest.raises(StitchError, match=r"There is nothing to train at .*: the map has no parameters"):
        fixed.tune(digits)
