"""What goes wrong while fitting: divergence, no memory, no labels, one example, an interrupt."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conftest import Small
from modelstitch import Data, Network, compare, similarity, stitch
from modelstitch.data.subsets import Tokens
from modelstitch.engine.evaluate import own_error
from modelstitch.engine.fit.closed import collect, solve
from modelstitch.engine.fit.loop import train
from modelstitch.engine.fit.options import FitSpec
from modelstitch.engine.fit.run import FALLS, LEAN, LEAST, MUON, Run, boost, mean_left, pace
from modelstitch.engine.senders import NetworkSender
from modelstitch.engine.sweep import Sweep, open_stream
from modelstitch.errors import DataError, FitError, InexactCutError, MeasureError
from modelstitch.network import fingerprint
from modelstitch.stitchers import family_of
from modelstitch.zoo.train import error_rate

QUICK = {"steps": 8, "eval_every": 4, "device": "cpu"}
ROOM = {"samples": 10**9}


@torch.library.custom_op("modelstitch_tests::hungry", mutates_args=())
def hungry(x: torch.Tensor) -> torch.Tensor:
    """Nothing at all, in more memory than there is for a batch above the limit."""
    if len(x) > ROOM["samples"]:
        raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate room for {len(x)} samples.")
    return x.clone()


hungry.register_fake(lambda x: torch.empty_like(x))
hungry.register_autograd(lambda context, grad: grad)


class Hungry(nn.Module):
    def forward(self, x):
        return hungry(x)


@pytest.fixture
def greedy(modules):
    """A trained pair whose top has a layer that runs out of memory above so many samples."""
    top = copy.deepcopy(modules[1])
    top.pool = nn.Sequential(top.pool, Hungry())
    example = torch.zeros(2, 1, 8, 8)
    yield Network(modules[0], example, "zero"), Network(top, example, "greedy")
    ROOM["samples"] = 10**9


@pytest.mark.slow
def test_out_of_memory_halves_the_batch_with_a_note(greedy, digits):
    ROOM["samples"] = 70
    before = [fingerprint(net.module) for net in greedy]
    s = stitch(*greedy, "block1", digits, batch_size=128, **QUICK)
    assert "batch size 32 instead of 128: memory ran out" in s.record["notes"]  # measuring takes two batches at once
    assert s.penalty < 60
    assert [fingerprint(net.module) for net in greedy] == before
    ROOM["samples"] = 10**9
    roomy = stitch(*greedy, "block1", digits, batch_size=32, **QUICK)
    assert torch.equal(roomy.stitcher.weight, s.stitcher.weight), "as if the smaller batch had been asked for"
    assert not [note for note in roomy.record["notes"] if "memory" in note]


@pytest.mark.slow
def test_no_room_for_a_small_batch_is_a_clear_stop(greedy, digits):
    ROOM["samples"] = 3
    with pytest.raises(FitError) as error:
        stitch(*greedy, "block1", digits, batch_size=16, **QUICK)
    assert "Memory ran out with a batch of 8" in str(error.value)
    assert "stitch fewer layers at a time" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_other_errors_are_not_taken_for_a_lack_of_memory(greedy, digits, monkeypatch):
    def broken(*args):
        raise RuntimeError("something else")

    monkeypatch.setattr(Run, "step", broken)
    with pytest.raises(RuntimeError, match="something else"):
        stitch(*greedy, "block1", digits, **QUICK)


@pytest.mark.slow
def test_steps_that_are_too_large_leave_a_note(pair, digits):
    options = {**QUICK, "steps": 8, "eval_every": 4, "learning_rate": 1e6}
    result = compare(*pair, digits, layers=["block2"], controls=(), both=False, **options)
    (record,) = result.records
    (note,) = [n for n in record["notes"] if "with a validation loss of" in n]
    assert note.startswith("task fitting of block2 -> block2 ended with a validation loss of ")
    assert note.endswith(" is kept; try a smaller learning_rate")
    calm = compare(*pair, digits, layers=["block2"], controls=(), both=False, **QUICK)
    assert not [n for n in calm.records[0]["notes"] if "is kept" in n]


def test_a_diverging_seam_is_named_keeps_its_best_state_and_the_others_go_on(pair, digits, monkeypatch):
    plain = Run.step

    def poisoned(self, activation, *rest):
        if self.stream.bottom_layer == "block2" and self.stream.steps == 0 and rest[-1] > 5:
            activation = activation * torch.nan
        plain(self, activation, *rest)

    monkeypatch.setattr(Run, "step", poisoned)
    result = compare(*pair, digits, layers=["block1", "block2"], controls=(), both=False, **QUICK)
    good, bad = sorted(result.records, key=lambda r: r["config"]["top"]["layer"])
    (note,) = [n for n in bad["notes"] if "task fitting" in n]
    assert note.startswith("task fitting of block2 -> block2 diverged at step 6; the state of step ")
    assert "stopped: diverged at step 6" in bad["notes"]
    assert [step for step, _, _ in bad["history"]] == [0, 4]
    assert next(m["value"] for m in bad["metrics"] if m["metric"] == "penalty") < 60
    assert [step for step, _, _ in good["history"]] == [0, 4, 8]
    assert not [n for n in good["notes"] if "diverged" in n]


def test_a_rate_far_too_large_is_survived(pair, digits):
    s = stitch(*pair, "block2", digits, steps=8, eval_every=4, learning_rate=1e12, device="cpu")
    assert all(torch.isfinite(p).all() for p in s.stitcher.parameters())
    assert s.penalty < 60


def headless(modules):
    body = copy.deepcopy(modules[1])
    body.head = nn.Identity()
    return body


def test_a_top_that_gives_maps_is_refused_with_what_to_use_instead(modules, digits):
    maps = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    top = Network(maps, torch.zeros(2, 1, 8, 8), "maps")
    with pytest.raises(DataError) as error:
        stitch(Network(modules[0], torch.zeros(2, 1, 8, 8), "zero"), top, ("block3", "1"), digits, **QUICK)
    assert "The top 'maps' gives values of shape (4, 4, 4) for a sample with one label" in str(error.value)
    assert "put a fitted linear head on it" in str(error.value)
    assert "similarity()" in str(error.value)


@pytest.mark.slow
def test_a_top_that_gives_features_is_noticed(modules, digits):
    top = Network(headless(modules), torch.zeros(2, 1, 8, 8), "features")
    assert top.output_shape == (16,)  # wide enough for ten labels: no shape gives it away
    s = stitch(top, top, "block2", digits, objective="match", device="cpu")
    (note,) = [n for n in s.record["notes"] if "worse than chance" in n]
    assert "put a fitted linear head on it" in note
    assert "check that its classes stand in the data's order" in note


@pytest.mark.parametrize(("share", "noted"), [(0.8, True), (0.5, False)])
def test_a_top_that_always_gives_the_most_frequent_class_is_noted(share, noted):
    generator = torch.Generator().manual_seed(0)
    inputs, frequent = torch.randn(400, 6, generator=generator), int(share * 100)

    def split(start):
        return torch.utils.data.TensorDataset(inputs[start : start + 100], (torch.arange(100) >= frequent).long())

    data = Data(split(0), split(100), split(200), n_classes=2, classes=("ham", "spam"))
    module = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    with torch.no_grad():
        module[2].bias.copy_(torch.tensor([100.0, 0.0]))
    net = Network(module, inputs[:2], "constant")
    s = stitch(net, net, "1", data, family="identity", objective="match", device="cpu")
    said = [n for n in s.record["notes"] if "no better than the answer ham for all of them (20.0 %)" in n]
    assert bool(said) == noted
    assert bool([n for n in s.record["notes"] if "hardly better than chance" in n]) == (not noted)


@pytest.mark.slow
def test_one_test_example_gives_a_value_without_an_interval(pair, digits, tmp_path):
    one = torch.utils.data.Subset(digits.dataset("test"), [3])
    data = Data(digits.dataset("fit"), digits.dataset("val"), one, n_classes=10)
    result = compare(*pair, data, layers=["block2"], both=False, out=tmp_path / "c", **QUICK)
    for record in result.records:
        penalty = next(m for m in record["metrics"] if m["metric"] == "penalty")
        assert (penalty["low"], penalty["high"]) == (None, None)
        assert "one test example: no interval" in record["notes"]
    row = result.pooled.filter(control="pair").row(0, named=True)
    assert (row["low"], row["normalised"], row["reason"]) == (None, None, "one test example: no interval")
    assert "no interval" in result.report(tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_interrupted_in_the_middle_of_a_fit_the_rest_is_done_next_time(pair, digits, tmp_path, monkeypatch):
    plain, calls = Run.step, []

    def interrupted(self, *args):
        calls.append(self.sweep.sender.name)
        if len(calls) == 12:
            raise KeyboardInterrupt
        plain(self, *args)

    options = {**QUICK, "layers": ["block2"], "controls": ("random",), "both": False, "out": tmp_path / "c"}
    monkeypatch.setattr(Run, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare(*pair, digits, **options)
    finished = {p: p.stat().st_mtime_ns for p in (tmp_path / "c" / "cells").iterdir()}
    assert len(finished) == 1, "the pair is kept, the random control was being fitted"
    monkeypatch.setattr(Run, "step", plain)
    result = compare(*pair, digits, **options)
    assert len(result.records) == 2
    assert {p: p.stat().st_mtime_ns for p in finished} == finished


def test_an_untrained_narrow_top_is_noted_too(digits):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Network(Small(4).eval(), torch.zeros(2, 1, 8, 8), "untrained")
    s = stitch(net, net, "block1", digits, family="identity", objective="match", device="cpu")
    assert s.penalty == 0
    assert bool([n for n in s.record["notes"] if "hardly better than chance" in n]) == (s.metrics["top_error"] >= 87.5)


def test_complex_activations_are_refused(digits):
    class Spectrum(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.i, self.head = torch.nn.Linear(64, 16), torch.nn.Identity(), torch.nn.Linear(9, 10)

        def forward(self, x):
            return self.head(self.i(torch.fft.rfft(self.a(x.flatten(1)))).abs())

    net = Network(Spectrum(), torch.zeros(2, 1, 8, 8), "spectrum")
    assert net.blocks == ["a"]
    with pytest.raises(InexactCutError, match="its numbers are complex, and a stitcher maps real ones"):
        stitch(net, net, "i", digits, objective="match", device="cpu")
    with pytest.raises(MeasureError, match=r"'i' holds complex numbers"):
        similarity(net, net, digits, layers=(["i"], ["i"]), view="flatten", device="cpu")


CASES = {
    "as good as the top": (10.0, 10.0, 90.0, LEAST),
    "better than the top": (8.0, 10.0, 90.0, LEAST),
    "an eighth lost": (20.0, 10.0, 90.0, LEAST),
    "a quarter lost": (30.0, 10.0, 90.0, 0.5),
    "half lost": (50.0, 10.0, 90.0, 1.0),
    "worse than chance": (95.0, 10.0, 90.0, 1.0),
    "a top that knows nothing": (90.0, 90.0, 90.0, 1.0),
    "nats": (4.0, 3.0, 7.0, 0.5),
}


BOOSTED = {
    "better than the top": (8.0, 10.0, 90.0, 1.0),
    "a quarter lost": (30.0, 10.0, 90.0, 1.0),
    "half lost": (50.0, 10.0, 90.0, 4.0),
    "worse than chance": (95.0, 10.0, 90.0, 16.0),
    "a top that knows nothing": (90.0, 90.0, 90.0, 16.0),
}


@pytest.mark.parametrize("case", BOOSTED)
def test_muons_rate_is_larger_for_starts_that_are_far_off(case):
    error, own, chance, factor = BOOSTED[case]
    assert boost(error, own, chance) == pytest.approx(factor)


@pytest.mark.parametrize("case", CASES)
def test_the_rate_grows_with_what_the_start_has_lost(case):
    error, own, chance, factor = CASES[case]
    assert pace(error, own, chance) == pytest.approx(factor)


def sweep_of(pair, digits, **fit):
    bottom, top = pair
    return Sweep(NetworkSender(bottom), top, digits, FitSpec(augment=False, **fit), torch.device("cpu"))


def fitted(pair, digits, family="affine", init="closed", **fit):
    """A stream after a few steps, and the rates of its run: before the first step, and at every later one."""
    sweep = sweep_of(pair, digits, **{"steps": 4, "eval_every": 2, **fit})
    cls, options = family_of(family)
    stream = open_stream(
        family,
        sweep.sender,
        sweep.top,
        "block2",
        "block2",
        family=cls,
        options=options,
        objective="task",
        init=init,
        later=(),
        device=sweep.device,
    )
    collect([stream], sweep)
    solve([stream], sweep)
    full, rates = [], []
    begin, step = Run.__init__, Run.step

    def begun(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        full.append(self.optimiser.param_groups[0]["lr"])

    def stepped(self, *args):
        rates.append(self.optimiser.param_groups[0]["lr"])
        step(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "__init__", begun)
        patch.setattr(Run, "step", stepped)
        train([stream], sweep)
    return stream, full[0], rates


def test_the_tops_own_error_and_chance(pair, digits):
    own, chance = own_error(sweep_of(pair, digits))
    assert own == pytest.approx(error_rate(pair[1].module, digits, "val"), abs=1e-6)
    assert chance == 90.0


@pytest.mark.parametrize("init", ["closed", "random"])
def test_a_run_takes_the_rate_of_its_start_and_keeps_it(pair, digits, init):
    stream, full, rates = fitted(pair, digits, init=init, optimizer="adam")
    own, chance = own_error(sweep_of(pair, digits))
    factor = pace(stream.history[0][1], own, chance)
    assert factor == 1.0 if init == "random" else factor < 1
    assert stream.rate == pytest.approx(full * factor)
    cosine = [0.5 * (1 + math.cos(math.pi * step / 4)) for step in range(4)]
    assert rates == pytest.approx([full * factor * c for c in cosine])


@pytest.mark.parametrize("init", ["closed", "random"])
def test_muons_rate_falls_like_one_over_the_root_of_the_steps(pair, digits, init):
    stream, full, rates = fitted(pair, digits, init=init, optimizer="muon")
    factor = boost(stream.history[0][1], *own_error(sweep_of(pair, digits)))
    assert factor == (16.0 if init == "random" else 1.0)
    assert full == pytest.approx(MUON * FitSpec().learning_rate)
    assert rates == pytest.approx([full * factor / math.sqrt(1 + step / FALLS) for step in range(4)])


@pytest.mark.parametrize(("since", "now"), [(20, 60), (280, 320), (600, 640)])
def test_what_a_mean_has_gained_foretells_what_it_will_gain(since, now):
    def loss(at):
        return 0.4 + 3.0 / (at + FALLS)

    share = mean_left(now, 640) / (mean_left(since, 640) - mean_left(now, 640))
    assert share * (loss(since) - loss(now)) == pytest.approx(loss(now) - loss(640))


@pytest.mark.parametrize(("mean", "first", "tells"), [(True, 0, False), (True, 20, True), (False, 0, True)])
def test_looks_of_a_mean_tell_nothing_from_the_start_on(mean, first, tells):
    run = object.__new__(Run)
    run.mean, run._recent = torch.nn.Identity() if mean else None, [(first + at, {}) for at in (0, 20, 40)]
    assert run._last(3) == (run._recent if tells else [])
    assert len(run._last(2)) == 2


def test_what_muon_leaves_is_the_mean_of_the_states_which_leans_to_the_recent_ones(pair, digits, monkeypatch):
    states, step = [], Run.step

    def stepped(self, *args):
        step(self, *args)
        states.append([p.detach().clone() for p in self.stitcher.parameters()])
        self.best_state = self._state()  # the last one, whatever it is worth
        found[:] = [self]

    found: list[Run] = []
    monkeypatch.setattr(Run, "step", stepped)
    monkeypatch.setattr(Run, "look", lambda self, at, outcome: self.stream.history.append((at, 50.0, 1.0)))
    monkeypatch.setattr(Run, "decide", lambda self, size: None)
    stream, _, _ = fitted(pair, digits, optimizer="muon")
    weights = [math.prod((t + i) / (1 + i) for i in range(LEAN)) for t in range(1, 5)]
    mean = [sum(w * p for w, p in zip(weights, group)) / sum(weights) for group in zip(*states)]
    for one, other in zip(found[0].mean.parameters(), mean, strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    found[0].mean.core.data[:] = mean[0]
    assert torch.allclose(stream.stitcher.weight, found[0].mean.plain().weight, atol=1e-5)
    assert not torch.allclose(stream.stitcher.weight, found[0].stitcher.plain().weight, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "policy", "named"),
    [("affine", {}, True), ("conv:3", {}, True), ("mlp:8", {}, False), ("affine", {"normalisation": "batch"}, False)],
)
def test_a_record_names_the_optimiser_where_it_is_muon(pair, digits, family, policy, named):
    options = {"steps": 2, "eval_every": 2, "family": family, "device": "cpu", **policy}
    by_muon, by_adam = (stitch(*pair, "block2", digits, optimizer=name, **options).record for name in ("muon", "adam"))
    assert by_muon["config"]["fit"].get("optimizer") == ("muon" if named else None)
    assert "optimizer" not in by_adam["config"]["fit"]  # as cells were called before there was another
    assert (by_muon.cell != by_adam.cell) == named
    assert (by_muon.history != by_adam.history) == named


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "fit"),
    [
        ("affine", {"adapt_rate": False, "optimizer": "adam"}),
        ("affine", {"whiten": False}),
        ("norm-affine-norm", {}),
        ("mlp:8", {}),
    ],
)
def test_steps_that_are_not_whitened_and_those_asked_for_keep_their_rate(pair, digits, family, fit):
    stream, full, rates = fitted(pair, digits, family, **fit)
    assert stream.rate == rates[0] == full


@pytest.mark.slow
def test_a_record_states_the_rate(pair, digits):
    options = {"steps": 4, "eval_every": 2, "device": "cpu", "learning_rate": 0.01}
    adapted = stitch(*pair, "block2", digits, optimizer="adam", **options)
    plain = stitch(*pair, "block2", digits, optimizer="adam", adapt_rate=False, **options)
    closed = stitch(*pair, "block2", digits, objective="match", device="cpu")
    rates = [{m["metric"]: m["value"] for m in s.record["metrics"]}.get("rate") for s in (adapted, plain, closed)]
    assert rates[1] == pytest.approx(0.01 * 64 / 16)
    assert rates[1] * LEAST <= rates[0] < rates[1]
    assert rates[2] is None
    assert adapted.record["config"]["fit"]["adapt_rate"] is True


class Reader(nn.Module):
    """The next of 12 tokens from this one alone."""

    def __init__(self):
        super().__init__()
        self.embed, self.middle, self.out = nn.Embedding(12, 8), nn.Linear(8, 8), nn.Linear(8, 12)

    def forward(self, ids):
        return self.out(self.middle(self.embed(ids)).relu())


def test_in_nats_chance_is_the_logarithm_of_the_vocabulary():
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 12, (90, 5), generator=draw)
    labels = ids.roll(-1, 1)
    labels[:, -1] = -100
    parts = [Tokens(ids[i : i + 30], torch.ones_like(ids[i : i + 30]), labels[i : i + 30]) for i in (0, 30, 60)]
    module = Reader().eval()
    top = Network(module, ids[:2], "reader", view=lambda inputs: inputs["input_ids"])
    sweep = Sweep(NetworkSender(top), top, Data(*parts, n_classes=12), FitSpec(), torch.device("cpu"))
    own, chance = own_error(sweep)
    with torch.no_grad():
        expected = F.cross_entropy(module(ids[30:60])[:, :-1].flatten(0, 1), labels[30:60, :-1].flatten())
    assert own == pytest.approx(float(expected), abs=1e-5)
    assert chance == pytest.approx(math.log(12))
