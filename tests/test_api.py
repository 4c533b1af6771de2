"""The public questions, asked as a user would."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import modelstitch
from modelstitch import (
    Data,
    Network,
    Stitched,
    StitchError,
    compare,
    matrix,
    similarity,
    stitch,
)
from modelstitch.api import plan_compare
from modelstitch.data.load import load_data
from modelstitch.errors import DataError, InexactCutError, StudyError, UnknownLayerError
from modelstitch.network import fingerprint
from modelstitch.records.record import equal_results
from modelstitch.stats import paired_test
from modelstitch.study import Store

QUICK = {"steps": 16, "eval_every": 8, "device": "cpu"}


def test_a_stitch_is_a_module_with_a_penalty(pair, digits):
    bottom, top = pair
    s = stitch(bottom, top, "block1", digits, **QUICK)
    assert isinstance(s, Stitched)
    assert isinstance(s, torch.nn.Module)
    low, high = s.interval
    assert low <= s.penalty <= high
    assert s.penalty < 30  # a few steps between narrow networks; chance would be about 88
    x = next(iter(digits.batches("test", 5))).inputs
    assert s(x).shape == (5, 10)
    assert s.metrics["penalty"] == s.penalty
    assert s.metrics["error"] - s.metrics["top_error"] == pytest.approx(s.penalty)


def test_the_error_is_what_the_module_really_does(pair, digits):
    bottom, top = pair
    s = stitch(bottom, top, "block2 -> block2", digits, objective="match", device="cpu")
    wrong = n = 0
    for batch in digits.batches("test", 64):
        wrong += int((s(batch.inputs).argmax(1) != batch.labels).sum())
        n += len(batch)
    assert s.metrics["error"] == pytest.approx(100 * wrong / n, abs=1e-9)


@pytest.mark.slow
def test_identity_self_stitch_is_the_network_itself(pair, digits):
    net, _ = pair
    for cut in net.cuts:
        s = stitch(net, net, cut, digits, family="identity", objective="match", device="cpu")
        assert s.penalty == 0
        low, high = (
            s.interval
        )  # no difference was seen; one in a third of the samples, as often, might have been missed
        assert -low == high <= 100 * 3 / digits.size("test")
        x = next(iter(digits.batches("test", 7))).inputs
        assert torch.equal(s(x), net(x))


def test_saved_and_loaded_it_is_the_same(pair, digits, tmp_path):
    bottom, top = pair
    s = stitch(bottom, top, "block1", digits, **QUICK)
    s.save(tmp_path / "s")
    again = Stitched.load(tmp_path / "s", bottom, top)
    x = next(iter(digits.batches("test", 5))).inputs
    assert torch.equal(again(x), s(x))
    assert again.penalty == s.penalty
    with pytest.raises(StitchError, match="is not the network this map was fitted for"):
        Stitched.load(tmp_path / "s", top, bottom)


@pytest.mark.slow
def test_a_map_that_was_changed_by_hand_does_not_keep_its_numbers(pair, digits, tmp_path):
    s = stitch(*pair, "block2", digits, objective="match", device="cpu")
    before, interval, metrics = s.penalty, s.interval, s.metrics
    assert repr(s).splitlines()[1].strip().startswith("zero@block2 -> one@block2, affine, penalty +")
    again = s.measure(digits)
    assert (s.penalty, s.interval) == (before, interval)
    assert again == pytest.approx({name: metrics[name] for name in again}, rel=1e-6)
    assert s.double().penalty == before  # the same map in a wider type
    s.float()
    with torch.no_grad():
        s.stitcher.weight.zero_()
    s.save(tmp_path)
    for changed in (s, Stitched.load(tmp_path, *pair), copy.deepcopy(s)):
        for read in (lambda c: c.penalty, lambda c: c.interval, lambda c: c.metrics, lambda c: paired_test(c, c)):
            with pytest.raises(
                StitchError, match=r"The map at zero@block2 -> one@block2 was changed .* \.measure\(data\)"
            ):
                read(changed)
        assert "changed since it was measured" in repr(changed)
        changed.measure(digits)
        assert changed.penalty == changed.metrics["error"] - changed.metrics["top_error"] > 50
    assert paired_test(s, stitch(*pair, "block2", digits, objective="match", device="cpu")).difference.value > 50


@pytest.mark.slow
def test_donors_are_not_touched(modules, digits):
    a, b = Network(modules[0], torch.zeros(1, 1, 8, 8), "a"), Network(modules[1], torch.zeros(1, 1, 8, 8), "b")
    before = [fingerprint(m) for m in modules], [p.requires_grad for m in modules for p in m.parameters()]
    state = torch.get_rng_state()
    stitch(a, b, "block2", digits, **QUICK)
    assert ([fingerprint(m) for m in modules], [p.requires_grad for m in modules for p in m.parameters()]) == before
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_mode_of_gradients_around_a_call_changes_nothing(mode, pair, digits):
    def both():
        s = stitch(*pair, "block2", digits, **QUICK)
        options = {**QUICK, "controls": ("random", "shuffled"), "normalisation": "batch", "both": False}
        return [s.record, *compare(*pair, digits, layers=["block2"], **options).records]

    wanted = both()
    with mode():
        found = both()
        assert torch.is_inference_mode_enabled() == (mode is torch.inference_mode)
        assert not torch.is_grad_enabled()
    assert all(equal_results(a, b) for a, b in zip(found, wanted, strict=True))


def test_networks_and_data_made_in_inference_mode_are_stitched():
    def made():
        x = torch.rand(300, 4, generator=torch.Generator().manual_seed(0))
        sets = [TensorDataset(part, (part[:, 0] > part[:, 1]).long()) for part in x.split(100)]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            modules = [
                nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)).eval()
                for _ in range(2)
            ]
        nets = [Network(module, x[:2], name) for module, name in zip(modules, "ab", strict=True)]
        return stitch(*nets, "1", Data(*sets), normalisation="batch", **QUICK)

    with torch.inference_mode():
        found = made()
    assert equal_results(found.record, made().record)


@pytest.mark.slow
def test_compare_visits_every_block_both_ways_with_controls(pair, tmp_path):
    bottom, top = pair
    data = load_data("digits", limit=200)
    result = compare(bottom, top, data, out=tmp_path / "c", **{**QUICK, "steps": 4, "eval_every": 4})
    frame = result.frame
    penalties = frame.filter(metric="penalty")
    for one, other in ((bottom, top), (top, bottom)):
        rows = penalties.filter(bottom=one.name, top=other.name, control="pair")
        assert rows["top_layer"].to_list() == other.blocks
    assert set(penalties["control"]) == {
        "pair",
        "self",
        "random",
        "identity",
        "class-noise",
        "class-noise-strong",
        "shuffled",
    }
    html = result.report(tmp_path / "r.html").read_text()
    assert "<svg" in html
    assert "<script" not in html
    assert result._repr_html_().startswith("<")


@pytest.mark.slow
def test_the_same_call_again_does_only_what_is_missing(pair, digits, tmp_path):
    options = {**QUICK, "controls": ("identity",), "out": tmp_path / "c"}
    first = compare(*pair, digits, **options)
    cells = sorted((tmp_path / "c" / "cells").iterdir())
    cells[0].unlink()
    kept = {path: path.stat().st_mtime_ns for path in cells[1:]}
    heard = []
    again = compare(*pair, digits, tell=lambda *what: heard.append(what), **options)
    assert len({what for what, _, _ in heard}) == 1
    assert {path: path.stat().st_mtime_ns for path in cells[1:]} == kept
    assert all(equal_results(a, b) for a, b in zip(first.records, again.records, strict=True))


@pytest.mark.slow
def test_comparisons_share_the_cells_of_one_store(pair, digits, tmp_path):
    below, above = pair
    store, fits = Store(tmp_path / "all", {"what": "any number of comparisons"}), []

    def heard(what, done, total):
        fits.append(what)

    options = {**QUICK, "steps": 4, "eval_every": 4, "layers": ["block1"], "controls": ("self",), "both": False}
    first = compare(below, above, digits, out=store, **options)
    second = compare(above, above, digits, out=store, tell=heard, **options)
    (control,) = (r for r in first.records if r.control == "self")
    assert control.cell in {r.cell for r in second.records}
    assert {r["cell"] for r in (*first.records, *second.records)} == {p.stem for p in (store.path / "cells").iterdir()}
    assert store.planned() is None  # none of them says what belongs there
    again = plan_compare(below, above, digits, out=store, timed=False, **options)
    assert (again.kept, again.held, again.forwards) == (2, {r.cell for r in first.records}, {})
    needs = plan_compare(below, above, digits, out=store, timed=False, **{**options, "steps": 8})
    assert (needs.kept, needs.seconds) == (0, 0)
    layer = above.layer("block1")
    looks = 1 + 8 // 4
    expected = (1 - layer.depth) * (digits.size("test") + 2 * 8 * 128 + looks * digits.size("val"))
    assert list(needs.forwards.values()) == pytest.approx([expected] * 2)


@pytest.mark.slow
def test_two_runs_write_equal_records(pair, digits):
    options = {**QUICK, "layers": ["block1", "block3"], "controls": ("random", "class-noise"), "both": False}
    one, two = (compare(*pair, digits, **options) for _ in range(2))
    assert all(equal_results(a, b) for a, b in zip(one.records, two.records, strict=True))


@pytest.mark.parametrize(
    "ask",
    [
        lambda m, n, data: stitch(m, n, "block1", data),
        lambda m, n, data: compare(m, n, data),
        lambda m, n, data: matrix(m, n, data),
        lambda m, n, data: similarity(m, n, data=data),
    ],
    ids=["stitch", "compare", "matrix", "similarity"],
)
def test_a_bare_module_is_refused(ask, modules, pair, digits):
    with pytest.raises(StitchError, match=r"The bottom must be a modelstitch Network, found Small: make one with"):
        ask(modules[0], pair[1], digits)


def test_bare_modules_among_several_networks_are_refused(modules, pair, digits):
    with pytest.raises(StitchError, match=r"The network must be a modelstitch Network, found Small"):
        compare([modules[0], pair[1]], data=digits)
    with pytest.raises(StitchError, match=r"The other seed must be a modelstitch Network, found Small"):
        compare(*pair, digits, other_seeds={pair[1].name: modules[0]})


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"seed": (0, 1)}, r"One stitch has one seed: expected one as seed=..., found \(0, 1\); compare takes several"),
        ({"at": ("block1",)}, r"The option 'at' is wrong: expected .* layers such as .* found \[\('block1',\)\]"),
        ({"at": ("block1", 2)}, r"The option 'at' is wrong: .* found \[\('block1', 2\)\]"),
        ({"at": None}, r"The option 'at' is wrong: .* found \[None\]"),
    ],
)
def test_slips_in_a_stitch_are_one_sentence(asked, words, pair, digits):
    with pytest.raises(StitchError, match=words):
        stitch(*pair, **{"at": "block1", "data": digits, **asked})


@pytest.mark.slow
def test_a_folder_of_another_comparison_is_refused(pair, digits, tmp_path):
    compare(*pair, digits, controls=(), out=tmp_path / "c", **QUICK)
    with pytest.raises(StudyError, match="was made by another study: expected fit"):
        compare(*pair, digits, controls=(), out=tmp_path / "c", **{**QUICK, "steps": 17})


@pytest.mark.slow
def test_interrupted_what_is_finished_stays(pair, digits, tmp_path):
    def interrupt(what, done, total):
        if what.startswith("one"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(*pair, digits, controls=(), out=tmp_path / "c", tell=interrupt, **QUICK)
    cells = {p: p.stat().st_mtime_ns for p in (tmp_path / "c" / "cells").iterdir()}
    assert len(cells) == len(pair[0].blocks)
    compare(*pair, digits, controls=(), out=tmp_path / "c", **QUICK)
    assert {p: p.stat().st_mtime_ns for p in cells} == cells


def test_more_samples_than_there_are_are_noted(pair, digits):
    notes = [stitch(*pair, "block1", digits, objective="match", samples=n).record["notes"] for n in (10**6, 100)]
    assert f"{digits.size('fit')} fit samples instead of 1000000: there are no more" in notes[0]
    assert not any("fit samples instead" in note for note in notes[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda a, b, d: stitch(a, b, "blok1", d), UnknownLayerError, "has no layer 'blok1': did you mean 'block1'"),
        (lambda a, b, d: stitch(a, b, "block1.conv1", d), InexactCutError, "is not an exact cut: bypassed by"),
        (
            lambda a, b, d: stitch(a, b, "block1", d, family="quadratic"),
            StitchError,
            "'quadratic' is unknown: expected one of identity",
        ),
        (
            lambda a, b, d: stitch(a, b, "block1", d, objective="luck"),
            StitchError,
            "The option 'objective' is wrong: expected match, sensitivity, task",
        ),
        (
            lambda a, b, d: stitch(a, b, "block1", d, family="orthogonal"),
            StitchError,
            "solved in closed form only: expected objective 'match'",
        ),
        (
            lambda a, b, d: stitch(a, b, "block1", d, step=3),
            StitchError,
            "There is no option 'step': did you mean 'steps'?",
        ),
        (
            lambda a, b, d: stitch(a, b, "block1", d, luck=3),
            StitchError,
            "There is no option 'luck': known are batch_size",
        ),
        (
            lambda a, b, d: stitch(a, b, "block1", d, learning_rate=-1),
            StitchError,
            "is wrong: expected greater than 0, found -1.",
        ),
        (
            lambda a, b, d: stitch(a, b, "block1", d, downstream="nope"),
            StitchError,
            "'downstream' is wrong: expected 'all', 'penultimate' or a list",
        ),
        (
            lambda a, b, d: stitch(a, b, "block1", d, samples=[10, 20]),
            StitchError,
            "One stitch has one samples: expected one as samples=..., found [10, 20]; compare takes",
        ),
        (
            lambda a, b, d: stitch(a, b, "block1", d, seed=-1),
            StudyError,
            "The option 'seed' is wrong: expected distinct whole numbers from 0",
        ),
        (lambda a, b, d: stitch(a, b, "block1", d, seed=0.5), StudyError, "such as [0, 1], found [0.5]."),
        (lambda a, b, d: compare(a, b, d, seeds=(1, 1)), StudyError, "such as [0, 1], found (1, 1)"),
        (lambda a, b, d: compare(a, b, d, seeds=()), StudyError, "such as [0, 1], found ()"),
        (
            lambda a, b, d: compare([a, b], data=d, pairs=[(a.name, "zwei")]),
            StudyError,
            "expected names of the networks 'zero', 'one' in pairs, not 'zwei'.",
        ),
        (
            lambda a, b, d: compare(a, b, d, other_seeds={"zwei": a}),
            StudyError,
            "expected names of the networks 'zero', 'one' in other_seeds, not 'zwei'.",
        ),
        (
            lambda a, b, d: stitch(a, b, "block1", d, normalisation="x"),
            StudyError,
            "The option 'normalisation' is wrong: expected 'frozen', 'recalibrated' or 'batch', found 'x'.",
        ),
        (
            lambda a, b, d: stitch(a, b, "block1", d, family="mlp:0"),
            StitchError,
            "expected 1 or more (hidden), found 0",
        ),
        (
            lambda a, b, d: stitch(a, b, "block1", "digits"),
            DataError,
            "expected, for example, modelstitch.load_data('digits'), or datasets of yours in "
            "modelstitch.Data(fit, val, test), found 'digits'",
        ),
        (lambda a, b, d: compare(a, b, None), DataError, "no modelstitch.Data"),
        (lambda a, b, d: stitch(a, b, "block1", d, steps=0), StitchError, "'steps' is wrong"),
        (lambda a, b, d: stitch(a, b, "block1", d, device="gpu"), StitchError, "'gpu' cannot be used"),
        (lambda a, b, d: stitch(a, b, "a -> b -> c", d), StitchError, "cannot be read"),
        (
            lambda a, b, d: compare(a, b, d, controls=("luck",)),
            StitchError,
            "The option 'controls' is wrong: expected self, other-seed",
        ),
        (lambda a, b, d: compare([a, b.named("zero")], data=d), StudyError, "Two donors have the same name"),
    ],
)
def test_mistakes_get_one_sentence(pair, digits, call, kind, words):
    with pytest.raises(kind) as error:
        call(*pair, digits)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_the_former_name_of_compare_with_a_list_answers_with_a_warning(pair, digits):
    a, b = pair
    asked = {"layers": "block1", "objective": "match", "controls": ()}
    with pytest.warns(DeprecationWarning, match="compare_many is compare with a list,"):
        found = modelstitch.compare_many([a, b], [(a.name, b.name)], digits, **asked)
    assert [r.cell for r in found.records] == [
        r.cell for r in compare([a, b], data=digits, pairs=[(a.name, b.name)], **asked).records
    ]
