"""What a sweep promises: one reading of the test split, selection on validation data, untouched donors, safe failures."""

import math

import pytest
import torch

from modelstitch import Data, Network, compare, stitch
from modelstitch.errors import DataError, NonFiniteError
from modelstitch.fit import closed
from modelstitch.fit.evaluate import Truth
from modelstitch.moments import Moments
from modelstitch.network import fingerprint
from modelstitch.zoo.train import error_rate

QUICK = {"steps": 8, "eval_every": 4, "device": "cpu"}


class Spy(Data):
    """Data that remember which splits were read, in order."""

    def __init__(self, data):
        super().__init__(
            data.dataset("fit"), data.dataset("val"), data.dataset("test"), name=data.name, n_classes=10,
            fingerprint=data.fingerprint,
        )  # fmt: skip
        self.read = []

    def batches(self, split, *args, **kwargs):
        self.read.append(split)
        return super().batches(split, *args, **kwargs)


def test_the_test_split_is_read_after_everything_is_chosen(pair, digits):
    data = Spy(digits)
    stitch(*pair, "block2", data, **QUICK)
    first = data.read.index("test")
    assert set(data.read[:first]) == {"fit", "val"}
    assert set(data.read[first:]) == {"test"}
    # The stitch and both donors in one pass.
    assert data.read.count("test") == 1


@pytest.mark.parametrize(
    ("family", "init", "read"),
    [("norm-affine-norm", "random", 256), ("norm-affine-norm", "closed", 1000), ("affine", "random", 1000)],
)
def test_sums_that_make_no_stitcher_are_taken_over_some_samples(pair, digits, monkeypatch, family, init, read):
    monkeypatch.setattr(closed, "ENOUGH", 200)
    seen = []
    update = Moments.update
    monkeypatch.setattr(
        Moments, "update", lambda self, x, y, where="": (seen.append(len(x)), update(self, x, y, where=where))[1]
    )
    monkeypatch.setattr("modelstitch.fit.evaluate._Check.add", lambda *_: None)
    monkeypatch.setattr("modelstitch.fit.evaluate._Check.truth", lambda _: Truth(None, None, None, None))
    stitch(*pair, "block2", digits, family=family, init=init, **QUICK)
    positions = math.prod(pair[0].layer("block2").shape[1:])
    assert sum(seen) == read * positions


@pytest.mark.parametrize("normalisation", ["frozen", "batch"])
def test_the_bottom_networks_own_error_is_that_of_the_donor(pair, digits, normalisation):
    s = stitch(*pair, "block2", digits, normalisation=normalisation, **QUICK)
    assert s.metrics["bottom_error"] == pytest.approx(error_rate(pair[0].module, digits, "test"))


@pytest.mark.parametrize("objective", ["task", "distill", "downstream", "downstream+task"])
def test_every_objective_fits_and_is_no_worse_on_validation_than_its_start(pair, digits, objective):
    s = stitch(*pair, "block2", digits, objective=objective, **QUICK)
    history = s.record["history"]
    assert min(error for _, error, _ in history) <= history[0][1]
    assert s.penalty < 40


@pytest.mark.parametrize("family", ["norm-affine-norm", "conv:3", "mlp:16", "low-rank:4"])
def test_every_trainable_family_takes_steps(pair, digits, family):
    s = stitch(*pair, "block2", digits, family=family, **QUICK)
    assert s.metrics["parameters"] > 0
    assert s.penalty < 60


@pytest.mark.parametrize("family", ["permutation", "orthogonal", "scaled-orthogonal", "low-rank:4", "affine"])
def test_every_closed_form_is_measured(pair, digits, family):
    s = stitch(*pair, "block2", digits, family=family, objective="match", device="cpu")
    assert s.record["history"] == []
    assert 0 <= s.metrics["error"] <= 100


def test_a_diverging_fit_keeps_the_last_good_state_and_says_so(pair, digits):
    s = stitch(*pair, "block2", digits, steps=8, eval_every=4, learning_rate=1e12, device="cpu")
    assert s.penalty < 60
    assert all(torch.isfinite(p).all() for p in s.stitcher.parameters())


def test_donors_are_the_same_after_a_failure(modules, digits):
    a, b = (Network(m, torch.zeros(1, 1, 8, 8), n) for m, n in zip(modules, "ab", strict=True))
    before = [fingerprint(m) for m in modules]
    state = torch.get_rng_state()

    def fail(what, done, total):
        raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"):
        stitch(a, b, "block2", digits, tell=fail, **QUICK)
    assert [fingerprint(m) for m in modules] == before
    assert torch.equal(torch.get_rng_state(), state)


def test_nan_activations_name_the_layer(modules, digits):
    import copy

    broken = copy.deepcopy(modules[0])
    with torch.no_grad():
        broken.block1.conv1.weight[0] = torch.nan
    a, b = Network(broken, torch.zeros(1, 1, 8, 8), "a"), Network(modules[1], torch.zeros(1, 1, 8, 8), "b")
    with pytest.raises(NonFiniteError, match="block2"):
        stitch(a, b, "block2", digits, **QUICK)


def test_labels_beyond_the_head_are_refused(modules, digits):
    small = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.ReLU(), torch.nn.Linear(8, 5))
    net = Network(small, torch.zeros(1, 1, 8, 8), "five")
    with pytest.raises(DataError, match="the network has 5 outputs"):
        stitch(net, net, "2", digits, **QUICK)


@pytest.mark.parametrize("policy", ["recalibrated", "batch"])
def test_other_normalisation_policies_are_stated_and_leave_the_donors_alone(pair, digits, policy):
    before = [net.fingerprint() for net in pair]
    result = compare(*pair, digits, controls=(), both=False, normalisation=policy, **QUICK)
    assert {r["config"]["normalisation"] for r in result.records} == {policy}
    assert [net.fingerprint() for net in pair] == before
    frozen = compare(*pair, digits, controls=(), both=False, **QUICK)
    assert any(a["correct"] != b["correct"] for a, b in zip(result.records, frozen.records, strict=True)), (
        "statistics that were taken anew change some predictions"
    )
