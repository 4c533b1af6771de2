"""What a sweep promises.

One reading of the test split, selection on validation data, untouched donors, safe failures.
"""

import copy
import math

import pytest
import torch
from torch import nn

from modelstitch import Data, Network, compare, matrix, stitch
from modelstitch.engine.fit import closed
from modelstitch.engine.fit.options import FitSpec
from modelstitch.engine.fit.run import Run
from modelstitch.engine.senders import NetworkSender
from modelstitch.engine.sweep import Stream, Sweep, open_stream
from modelstitch.errors import DataError, FitError, NonFiniteError, StitchError
from modelstitch.network import OUTPUT, fingerprint
from modelstitch.stitchers import Affine
from modelstitch.stitchers.identity import Identity
from modelstitch.support.resume import Unfinished
from modelstitch.zoo.train import error_rate

QUICK = {"steps": 8, "eval_every": 4, "device": "cpu"}


class Spy(Data):
    """Data that remember which splits were read, in order."""

    def __init__(self, data):
        super().__init__(
            data.dataset("fit"),
            data.dataset("val"),
            data.dataset("test"),
            name=data.name,
            n_classes=10,
            fingerprint=data.fingerprint,
        )
        self.read = []

    def batches(self, split, *args, **kwargs):
        self.read.append(split)
        return super().batches(split, *args, **kwargs)


def test_the_test_split_is_read_after_everything_is_chosen(pair, digits):
    data = Spy(digits)
    stitch(*pair, "block2", data, **QUICK)
    # Donors are looked at by themselves before anything is fitted; no choice rests on it.
    alone = len(data.read) - 1 - data.read[::-1].index("val")
    assert data.read[-1] == "test"
    # The stitch and both donors in one pass.
    assert data.read[alone + 1 :] == ["test"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "channels_a_sample", "read"), [("task", 10, 256), ("match", 10, 1000), ("task", 40, 640)]
)
def test_only_a_closed_form_that_counts_is_made_from_all_samples(
    pair, digits, monkeypatch, objective, channels_a_sample, read
):
    """Batches of 128, 16 channels: 200 samples asked for, or 40 a channel."""
    monkeypatch.setattr(closed, "PER_CHANNEL", channels_a_sample)
    s = stitch(*pair, "block2", digits, objective=objective, start_samples=200, **QUICK)
    stream = opened(pair, digits, objective, FitSpec(start_samples=200))
    assert stream.moments.n == read * math.prod(pair[0].layer("block2").shape[1:])
    assert s.record["config"]["fit"]["start_samples"] == 200


def opened(pair, digits, objective, spec):
    """One stream with its moments."""
    sweep = Sweep(NetworkSender(pair[0]), pair[1], digits, spec, torch.device("cpu"))
    stream = open_stream(
        "one",
        sweep.sender,
        pair[1],
        "block2",
        "block2",
        family=Affine,
        options={},
        objective=objective,
        init="closed",
        later=(),
        device=sweep.device,
    )
    closed.collect([stream], sweep)
    return stream


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", ["frozen", "batch"])
def test_a_stitch_does_not_depend_on_what_is_fitted_beside_it(pair, digits, monkeypatch, normalisation):
    monkeypatch.setattr(closed, "PER_CHANNEL", 1)
    options = {
        **QUICK,
        "layers": ["block2"],
        "controls": (),
        "init": "random",
        "start_samples": 200,
        "normalisation": normalisation,
    }
    alone = compare(*pair, digits, family="norm-affine-norm", **options).records
    beside = compare(*pair, digits, family=("affine", "norm-affine-norm"), **options).records
    by_cell = {r["cell"]: r for r in beside}
    for record in alone:
        assert by_cell[record["cell"]]["metrics"] == record["metrics"]


@pytest.fixture(scope="module", params=["frozen", "recalibrated", "batch"])
def beside(request, pair, digits):
    """The options of a comparison, and its records by cell where three objectives stand beside each other."""
    options = {**QUICK, "layers": ["block2"], "controls": (), "both": False, "normalisation": request.param}
    records = compare(*pair, digits, objective=["match", "task", "downstream+task"], **options).records
    return options, {r["cell"]: r["metrics"] for r in records}


@pytest.mark.slow
@pytest.mark.parametrize("alone", ["match", "task", "downstream+task"])
def test_a_stitch_does_not_depend_on_the_objectives_beside_it(pair, digits, beside, alone):
    options, metrics = beside
    (own,) = compare(*pair, digits, objective=alone, **options).records
    assert metrics[own["cell"]] == own["metrics"]


def test_a_fit_that_diverges_ends_with_the_statistics_it_has_in_company(pair, digits, monkeypatch):
    gradients = Run._gradients

    def diverging(run, *given):
        loss = gradients(run, *given)
        return loss * float("nan") if run.stream.family is Affine else loss

    monkeypatch.setattr(Run, "_gradients", diverging)
    options = {**QUICK, "layers": ["block2"], "controls": (), "both": False, "normalisation": "batch"}
    beside = compare(*pair, digits, family=["affine", "norm-affine-norm"], **options).records
    (own,) = compare(*pair, digits, family="affine", **options).records
    assert any("diverged at step 1" in note for note in own["notes"])
    assert {r["cell"]: r["metrics"] for r in beside}[own["cell"]] == own["metrics"]


def test_a_layer_may_be_called_output(digits):
    """The network's own output is kept apart from a layer of that name, below and above."""

    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.output = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 6, 1)
            self.relu, self.head = nn.ReLU(), nn.Linear(6, 10)

        def forward(self, x):
            return self.head(self.relu(self.output(self.first(x))).mean((2, 3)))

    torch.manual_seed(0)
    modules = [Named().eval(), Named().eval()]
    nets = [Network(m, digits.dataset("val").inputs[:2], n) for m, n in zip(modules, ("a", "b"))]
    s = stitch(*nets, "output", digits, **QUICK)
    assert s.metrics["bottom_error"] == pytest.approx(error_rate(modules[0], digits, "test"))
    assert s.metrics["top_error"] == pytest.approx(error_rate(modules[1], digits, "test"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("below", "above"),
    [(torch.float64, torch.float64), (torch.bfloat16, torch.bfloat16), (torch.float16, torch.float32)],
)
def test_networks_of_any_precision_are_stitched(modules, digits, below, above):
    modules = [copy.deepcopy(m).to(dtype) for m, dtype in zip(modules, (below, above))]
    views = [lambda x, d=dtype: x.to(d) for dtype in (below, above)]
    example = digits.dataset("val").inputs[:2]
    nets = [Network(m, view(example), name, view=view) for m, view, name in zip(modules, views, ("a", "b"))]
    task = stitch(*nets, "block2", digits, **QUICK)
    assert task.penalty < 20
    match = stitch(*nets, "block2", digits, objective="match", device="cpu")
    found = matrix(*nets, digits, layers=(["block2"], ["block2"]), device="cpu").frame
    assert found.filter(metric="penalty")["value"][0] == pytest.approx(match.penalty, abs=0.4)  # 2 of 597, near-ties
    with torch.no_grad():
        assert match(example.to(below), example.to(above)).shape == (2, 10)


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [
        {"objective": "task"},
        {"objective": "downstream+task"},
        {"objective": "distill", "family": "conv:3"},
        {"objective": "task", "family": "norm-affine-norm"},
        {"objective": "task", "normalisation": "batch"},
        {"objective": "task", "cache": 0.1, "augment": False},
    ],
    ids=lambda how: " ".join(map(str, how.values())),
)
def test_half_precision_is_of_the_steps_alone(pair, digits, monkeypatch, how):
    """Both networks run in it while fitting; the closed form and the measured errors are those of full precision."""
    seen = []

    def spying(forward):
        def run(self, activation, *args):
            seen.append((torch.is_grad_enabled(), activation.dtype))
            return forward(self, activation, *args)

        return run

    monkeypatch.setattr(Stream, "forward", spying(Stream.forward))
    half, full = (stitch(*pair, "block2", digits, precision=p, **how, **QUICK) for p in ("bfloat16", "float32"))
    steps = [dtype for grad, dtype in seen if grad]
    assert steps == [torch.bfloat16] * (len(steps) // 2) + [torch.float32] * (len(steps) // 2)
    assert {dtype for grad, dtype in seen if not grad} == {torch.float32}
    assert abs(half.penalty - full.penalty) < 3
    assert half.record["config"]["fit"]["precision"] == "bfloat16"
    assert {p.dtype for p in half.stitcher.parameters()} == {torch.float32}


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["task", "match"])
@pytest.mark.parametrize(
    ("where", "policy"),
    [("solved", "frozen"), ("measured", "frozen"), ("measured", "recalibrated"), ("measured", "batch")],
)
def test_one_seam_that_fails_costs_only_itself(pair, digits, monkeypatch, tmp_path, objective, where, policy):
    solve = Affine.solve.__func__
    calls = []

    def poisoned(cls, moments, site, **options):
        found = solve(cls, moments, site, **options)
        calls.append(site)
        if len(calls) == 2:
            value = float("nan") if where == "solved" else 1e38
            found.weight.data.fill_(value), found.bias.data.fill_(value)
        return found

    monkeypatch.setattr(Affine, "solve", classmethod(poisoned))
    options = {
        **QUICK,
        "layers": ["stem", "block2", "block3"],
        "controls": (),
        "both": False,
        "objective": objective,
        "normalisation": policy,
    }
    r = compare(*pair, digits, out=tmp_path / "study", **options)
    bad = [record for record in r.records if not record["metrics"]]
    assert [record["config"]["top"]["layer"] for record in bad] == ["block2"]
    assert len(r.failed) == 1
    assert "block2 -> block2" in r.failed[0]
    assert set(r.frame.drop_nulls("value")["top_layer"]) == {"stem", "block3"}
    r.report(tmp_path / "report.html")
    assert r.failed[0] in (tmp_path / "report.html").read_text().replace("&#39;", "'").replace("&gt;", ">")


def test_an_interrupted_sweep_keeps_the_parts_that_were_done(pair, digits, tmp_path):
    """With a memory budget each seam is a part of its own."""
    heard = []

    def tell(what, done, total):
        heard.append(done)
        if len(list((tmp_path / "study" / "cells").glob("*.json"))) == 1:
            raise KeyboardInterrupt

    options = {**QUICK, "layers": ["stem", "block2", "block3"], "controls": (), "both": False, "memory": 1e-9}
    with pytest.raises(KeyboardInterrupt):
        compare(*pair, digits, out=tmp_path / "study", tell=tell, **options)
    assert len(list((tmp_path / "study" / "cells").glob("*.json"))) == 1


@pytest.mark.parametrize("normalisation", ["recalibrated", "batch"])
def test_networks_without_batchnorm_may_have_a_policy(digits, normalisation):
    def plain(seed):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)).eval()

    nets = [Network(plain(s), digits.dataset("val").inputs[:2], f"plain {s}") for s in (0, 1)]
    s = stitch(*nets, "1", digits, normalisation=normalisation, **QUICK)
    assert s.metrics["bottom_error"] == pytest.approx(error_rate(nets[0].module, digits, "test"))


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", ["frozen", "batch"])
def test_the_bottom_networks_own_error_is_that_of_the_donor(pair, digits, normalisation):
    s = stitch(*pair, "block2", digits, normalisation=normalisation, **QUICK)
    assert s.metrics["bottom_error"] == pytest.approx(error_rate(pair[0].module, digits, "test"))


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["task", "distill", "downstream", "downstream+task"])
def test_every_objective_fits_and_is_no_worse_on_validation_than_its_start(pair, digits, objective):
    s = stitch(*pair, "block2", digits, objective=objective, **QUICK)
    history = s.record["history"]
    assert min(error for _, error, _ in history) <= history[0][1]
    assert s.penalty < 40


@pytest.mark.slow
@pytest.mark.parametrize("family", ["norm-affine-norm", "conv:3", "mlp:16", "low-rank:4"])
def test_every_trainable_family_takes_steps(pair, digits, family):
    s = stitch(*pair, "block2", digits, family=family, **QUICK)
    assert s.metrics["parameters"] > 0
    assert s.penalty < 60


@pytest.mark.slow
@pytest.mark.parametrize("family", ["permutation", "orthogonal", "scaled-orthogonal", "low-rank:4", "affine"])
def test_every_closed_form_is_measured(pair, digits, family):
    s = stitch(*pair, "block2", digits, family=family, objective="match", device="cpu")
    assert s.record["history"] == []
    assert 0 <= s.metrics["error"] <= 100


def test_a_diverging_fit_keeps_the_last_good_state_and_says_so(pair, digits):
    s = stitch(*pair, "block2", digits, steps=8, eval_every=4, learning_rate=1e12, device="cpu")
    assert s.penalty < 60
    assert all(torch.isfinite(p).all() for p in s.stitcher.parameters())


@pytest.mark.slow
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


@pytest.mark.slow
def test_nan_activations_name_the_layer(modules, digits):
    import copy

    broken = copy.deepcopy(modules[0])
    with torch.no_grad():
        broken.block1.conv1.weight[0] = torch.nan
    a, b = Network(broken, torch.zeros(1, 1, 8, 8), "a"), Network(modules[1], torch.zeros(1, 1, 8, 8), "b")
    with pytest.raises(FitError, match="The activations of a@block2 hold NaN or infinity, first for the sample"):
        stitch(a, b, "block2", digits, **QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["frozen", "recalibrated", "batch"])
def test_a_bottom_with_nan_takes_no_other_stitch_with_it(modules, digits, tmp_path, monkeypatch, policy):
    monkeypatch.setattr(Unfinished, "due", True)
    broken = copy.deepcopy(modules[0])
    with torch.no_grad():
        broken.block2.conv1.weight[0] = torch.nan
    a, b = Network(broken, torch.zeros(1, 1, 8, 8), "a"), Network(modules[1], torch.zeros(1, 1, 8, 8), "b")
    options = {"controls": (), "both": False, "normalisation": policy, **QUICK}
    result = compare(a, b, digits, layers=["block1", "block2"], out=tmp_path, **options)
    whole, failed = result.records
    assert {m["metric"] for m in whole["metrics"]} >= {"penalty", "r2"}
    assert failed["metrics"] == []
    (said,) = result.failed
    assert "a@block2 hold NaN" in said
    with pytest.raises(NonFiniteError, match="output of a holds NaN"):  # nothing can be held against such a top
        compare(b, a, digits, layers=["block2"], controls=(), both=False, **QUICK)


def test_labels_beyond_the_head_are_refused(modules, digits):
    small = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.ReLU(), torch.nn.Linear(8, 5))
    net = Network(small, torch.zeros(1, 1, 8, 8), "five")
    with pytest.raises(DataError, match="the network has 5 outputs"):
        stitch(net, net, "2", digits, **QUICK)


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("shuffled", "normalisation", "sizes"),
    [
        (False, "frozen", [32, 32, 6] * 2),
        (True, "frozen", [70, 70]),
        (False, "batch", [70, 70]),
    ],
)
def test_sums_take_a_batch_in_pieces_only_where_no_sample_needs_its_neighbours(
    pair, digits, monkeypatch, shuffled, normalisation, sizes
):
    bottom, top = pair
    spec = FitSpec(batch_size=70, start_samples=140, augment=False)
    sender = NetworkSender(bottom, own=["block2"] if normalisation == "batch" else None)
    sweep = Sweep(sender, top, digits, spec, torch.device("cpu"), shuffled=shuffled, normalisation=normalisation)
    seen, begin = [], closed.open_quick

    def watched(*args):
        send = begin(*args)
        return lambda batch: seen.append(len(batch)) or send(batch)

    monkeypatch.setattr(closed, "open_quick", watched)
    stream = open_stream(
        "block2",
        sender,
        top,
        "block2",
        "block2",
        family=Affine,
        options={},
        objective="task",
        init="closed",
        later=(),
        device=sweep.device,
    )
    monkeypatch.setattr(closed, "PER_CHANNEL", 1)
    closed.collect([stream], sweep)
    assert seen[::2] == sizes  # the bottom's
    assert seen[1::2] == sizes  # and the top's


def test_moved_statistics_do_not_cost_a_wide_layer_its_samples(pair, digits, monkeypatch):
    """So many a channel of the widest block of either network, the same for all streams.

    16 channels, 20 samples each.
    """
    bottom, top = pair
    sender = NetworkSender(bottom, own=["stem", "block2"])
    spec = FitSpec(batch_size=64, start_samples=64, augment=False)
    sweep = Sweep(sender, top, digits, spec, torch.device("cpu"), normalisation="recalibrated")
    monkeypatch.setattr(closed, "PER_CHANNEL", 20)
    streams = [
        open_stream(
            name,
            sender,
            top,
            name,
            name,
            family=Affine,
            options={},
            objective="task",
            init="closed",
            later=(),
            device=sweep.device,
        )
        for name in ("stem", "block2")
    ]
    closed.collect(streams, sweep)
    samples = {s.bottom_layer: s.moments.n / math.prod(bottom.layer(s.bottom_layer).shape[1:]) for s in streams}
    assert samples == {"stem": 320, "block2": 320}


CPU = torch.device("cpu")


def opened_stream(pair, bottom_layer="block1", top_layer="block1", **more):
    bottom, top = pair
    options = {
        "family": Affine,
        "options": {},
        "objective": "match",
        "init": "closed",
        "later": (),
        "device": CPU,
        **more,
    }
    return open_stream("key", NetworkSender(bottom), top, bottom_layer, top_layer, **options)


def test_a_seam_knows_its_channels_and_its_tail(pair):
    stream = opened_stream(pair, "block1", "block3")
    assert stream.seam == ("block1", "block3")
    assert str(stream) == "block1 -> block3"
    assert (stream.site.p, stream.site.q, stream.site.kind) == (16, 16, "map")
    assert stream.stopped == "closed form"
    assert stream.failed == ""
    assert stream.norms == {}


def test_without_a_map_between_a_network_and_itself_it_is_the_network(pair, digits):
    bottom = pair[0]
    stream = opened_stream((bottom, bottom), later=("block2",))
    stream.stitcher = Identity(stream.site)
    batch = next(digits.batches("test", 8))
    with torch.no_grad():
        taps = bottom.taps(["block1", "block2"])(batch.inputs)
        stitched, values = stream.forward(taps["block1"], batch.inputs)
        assert torch.equal(values[OUTPUT], bottom.full()(batch.inputs))
        assert torch.equal(values["block2"], taps["block2"])
    assert torch.equal(stitched, taps["block1"])


def test_unequal_maps_are_resized_on_the_way(pair):
    stream = opened_stream(pair, "block1", "block3")  # 8 x 8 under 4 x 4
    stream.stitcher = Identity(stream.site)
    with torch.no_grad():
        assert stream.stitched(torch.randn(2, 16, 8, 8)).shape == (2, 16, 4, 4)


def test_statistics_of_its_own_leave_the_donors_alone(pair):
    stream = opened_stream(pair, own=True)
    assert stream.norms
    assert all(norm.mode == "frozen" for norm in stream.norms.values())


def test_a_layer_that_there_is_not(pair):
    with pytest.raises(StitchError, match="no layer 'nothing'"):
        opened_stream(pair, "block1", "nothing")
