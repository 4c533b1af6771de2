"""The matrix equals stitching pair by pair."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import modelstitch as ms
from modelstitch.data.batch import CropFlip
from modelstitch.engine.fit.closed import SumGroup
from modelstitch.errors import MeasureError, NonFiniteError, ShapeError, StitchError
from modelstitch.views import Normalise

pytestmark = pytest.mark.slow


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)

    def forward(self, x):
        return torch.relu(x + self.norm(self.conv(x)))


class Mixer(nn.Module):
    """Tokens with a class token and a mask that passes every cut: (image) -> classes."""

    def __init__(self, width=12):
        super().__init__()
        self.embed = nn.Conv2d(1, width, 2, stride=2)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.one, self.two = (nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)) for _ in "ab")
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        z = self.embed(x).flatten(2).transpose(1, 2)
        z = torch.cat([self.token.expand(z.shape[0], -1, -1), z], 1)
        z = self.one(z)
        return self.head(self.two(z)[:, 0])


def convolutional(seed, width=8):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        Residual(width),
        nn.MaxPool2d(2),
        Residual(width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, 10),
    )


@pytest.fixture(scope="module")
def world():
    example = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(2)
    networks = [
        ms.Network(convolutional(0), example, "a"),
        ms.Network(convolutional(1, 10), example, "b"),
        ms.Network(Mixer(), example, "mixer"),
    ]
    return *networks, ms.load_data("digits", limit=400).shorter(test=150)


def same(entry, stitched):
    # Weights of hundreds, where channels are nearly collinear, turn the last digit of float32 into more than 1e-5.
    largest = max(float(value.abs().max()) for value in stitched.stitcher.state_dict().values())
    near = 1e-5 * max(1.0, largest / 100)
    stitched = stitched.metrics
    for metric, value in entry.items():
        if metric in ("penalty", "error", "agreement_top", "agreement_bottom"):
            # One near tie that falls the other way is one example in the test split.
            assert value == pytest.approx(stitched[metric], abs=1e-9), metric
        else:
            assert value == pytest.approx(stitched[metric], rel=near, abs=near), metric


def seams(found):
    return [(r.bottom.layer, r.top.layer) for r in found.records]


def of(found, metric, **where):
    return found.frame.filter(metric=metric, **where)["value"].to_list()


@pytest.mark.parametrize(("below", "above"), [(0, 1), (0, 2), (2, 0), (1, 1)])
def test_every_entry_equals_its_own_stitch(world, below, above):
    bottom, top, data = world[below], world[above], world[3]
    found = ms.matrix(bottom, top, data, samples=160, batch_size=48, seed=5)
    assert seams(found) == [(b, t) for b in bottom.blocks for t in top.blocks]
    for b, t in seams(found):
        own = ms.stitch(bottom, top, (b, t), data, objective="match", samples=160, batch_size=48, seed=5)
        rows = found.frame.filter(bottom_layer=b, top_layer=t)
        same(dict(zip(rows["metric"], rows["value"])), own)
        low, high = rows.filter(metric="penalty").select("low", "high").row(0)
        assert (low, high) == pytest.approx(own.interval)


@pytest.mark.parametrize("options", [{}, {"samples": 40}, {"samples": 400}, {"budget": "all"}])
def test_a_matrix_sees_what_its_top_was_trained_on(world, options):
    a, _, _, data = world
    top = ms.Network(convolutional(1, 10), torch.randn(2, 1, 8, 8), "top", trained_on=60)
    found = ms.matrix(a, top, data, layers=(["1"], ["1"]), **options)
    own = ms.stitch(a, top, ("1", "1"), data, objective="match", **options)
    same(dict(zip(found.frame["metric"], found.frame["value"])), own)
    used = min(data.size("fit") if options.get("budget") == "all" else 60, options.get("samples", 60_000))
    assert found.records[0].samples == used


@pytest.mark.parametrize(
    "option", [{"steps": 7}, {"init": "random"}, {"learning_rate": 5.0}, {"precision": "bfloat16"}]
)
def test_options_of_steps_have_no_place_in_a_matrix(world, option):
    a, b, _, data = world
    (name,) = option
    with pytest.raises(
        StitchError,
        match=f"The fit option '{name}' changes nothing in a matrix.*batch_size, augment, budget, positions or sums",
    ):
        ms.matrix(a, b, data, samples=50, **option)
    with pytest.raises(StitchError, match="There is no option 'sample': did you mean 'samples'"):
        ms.matrix(a, b, data, sample=50)


def test_families_positions_and_chosen_layers(world):
    a, _, _, data = world
    layers = ([a.blocks[1]], [a.blocks[0], a.blocks[1]])
    found = ms.matrix(a, a, data, layers=layers, family=["identity", "affine"], samples=100)
    assert {r.family for r in found.records} == {"identity", "affine"}
    assert repr(found) == "Results(a -> a: 4 stitches, 0 controls)"
    itself = found.frame.filter(family="identity", top_layer=a.blocks[1])
    values = dict(zip(itself["metric"], itself["value"]))
    assert (values["penalty"], values["agreement_top"], values["relative_mse"]) == (0, 100, 0)
    few = ms.matrix(a, a, data, layers=layers, samples=100, positions=4)
    all_of_them = of(found, "relative_mse", family="affine")
    assert of(few, "relative_mse") != all_of_them
    assert of(few, "relative_mse") == pytest.approx(all_of_them, abs=0.2)
    rough = ms.matrix(a, a, data, layers=layers, samples=100, sums="float32")
    assert of(rough, "relative_mse") == pytest.approx(all_of_them, abs=1e-4)
    with pytest.raises(StitchError, match="positions"):
        ms.matrix(a, a, data, layers=layers, samples=100, positions=0)


def test_what_is_left_out_is_said(world):
    _, b, _, data = world
    torch.manual_seed(6)
    narrowing = nn.Sequential(
        nn.Conv2d(1, 10, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(10, 6, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 10),
    )
    top = ms.Network(narrowing, torch.randn(2, 1, 8, 8), "narrowing")
    layers = (["1"], ["1", "3"])
    found = ms.matrix(b, top, data, family=["permutation", "affine"], samples=50, layers=layers)
    assert {(r.family, r.top.layer) for r in found.records} == {("permutation", "1"), ("affine", "1"), ("affine", "3")}
    (note,) = found.cautions
    assert any(text.startswith("caution: the top narrowing alone errs on ") for text in found.notes)
    assert note.startswith(
        "permutation is left out for 1 of 2 pairs, the first b@1 -> narrowing@3: The family 'permutation'"
    )
    assert "<svg" in found._repr_html_()
    with pytest.raises(ShapeError, match="low-rank:9 joins no pair of the layers, the first is b@1 -> narrowing@3"):
        ms.matrix(b, top, data, family=["low-rank:9"], samples=50, layers=(["1"], ["3"]))


def test_a_family_that_is_fitted_has_no_place_in_a_matrix(world):
    a, b, _, data = world
    for family in ("conv:3", "mlp:8", "norm-affine-norm"):
        with pytest.raises(StitchError, match=rf"'{family}' is started in closed form and then fitted.*layers='all'"):
            ms.matrix(a, b, data, family=["affine", family], samples=50)


def test_a_constant_layer_has_no_distance(world):
    a, _, _, data = world
    module = convolutional(7)
    with torch.no_grad():
        for part in (module[0], module[1].conv, module[3].conv):
            part.weight.zero_()
    top = ms.Network(module, torch.randn(2, 1, 8, 8), "constant")
    found = ms.matrix(a, top, data, layers=(["1"], ["3"]), samples=50)
    assert not set(found.frame["metric"]) & {"relative_mse", "r2"}
    assert any("the top's own activations do not vary" in note for note in found.notes)


def test_an_interrupted_pass_goes_on_and_further_families_need_none(world, tmp_path, monkeypatch):
    a, _, mixer, data = world
    monkeypatch.setattr("modelstitch.support.resume.EVERY", 0.0)
    monkeypatch.setattr("modelstitch.support.resume.SHARE", 1e9)
    options = {"samples": 100, "batch_size": 32, "positions": 5}
    whole = ms.matrix(a, mixer, data, **options)
    seen, passed = [], SumGroup.add

    def add(self, *given):
        if len(seen) == stop:
            raise KeyboardInterrupt
        if given[3] is not None:  # positions are drawn while maps are solved, not while they are measured
            seen.append(len(next(iter(given[1].values()))))
        passed(self, *given)

    monkeypatch.setattr(SumGroup, "add", add)
    stop = 5
    options["kept"] = tmp_path / "sums"
    with pytest.raises(KeyboardInterrupt):
        ms.matrix(a, mixer, data, **options)
    assert len(list((tmp_path / "sums").iterdir())) == 1
    stop = None
    before = sum(seen)
    assert ms.matrix(a, mixer, data, **options).frame.drop("cell").equals(whole.frame.drop("cell"))
    groups = sum(seen) // (sum(seen) - before) if sum(seen) > before else 0
    assert 0 < sum(seen) - before < 4 * 100
    assert groups >= 1
    seen.clear()
    ms.matrix(a, mixer, data, family="low-rank:2", **options)
    assert not seen
    (file,) = (tmp_path / "sums").iterdir()
    file.write_bytes(b"nothing")
    with pytest.warns(UserWarning, match="changed since it was written"):
        again = ms.matrix(a, mixer, data, **options)
    assert seen
    assert of(again, "penalty") == of(whole, "penalty")


READINGS = ("augmentation", "a's view", "b's view")


def reading(world, what):
    """Two networks and data that read the same samples alike, but for one thing."""
    a, b, _, data = world
    recipe = CropFlip(3, flip=True) if what == "augmentation" else CropFlip(1)
    views = {n: Normalise(0.5 if what == f"{n.name}'s view" else 0.0, 1.0) for n in (a, b)}
    networks = [ms.Network(n.module, torch.zeros(2, 1, 8, 8), n.name, view=view) for n, view in views.items()]
    splits = [data.dataset(split) for split in ("fit", "val", "test")]
    return *networks, ms.Data(*splits, n_classes=10, augment=recipe)


@pytest.mark.parametrize("what", READINGS)
def test_kept_sums_serve_no_other_reading_of_the_samples(world, tmp_path, what):
    options = {"layers": (["1"], ["1"]), "samples": 50}
    ms.matrix(*reading(world, ""), kept=tmp_path, **options)
    ms.matrix(*reading(world, ""), kept=tmp_path, **options)
    assert len(list(tmp_path.iterdir())) == 1
    other = ms.matrix(*reading(world, what), kept=tmp_path, **options)
    assert len(list(tmp_path.iterdir())) == 2
    assert of(other, "r2") == of(ms.matrix(*reading(world, what), **options), "r2")


def test_a_bad_sample_is_named(world):
    a, b, _, data = world
    inputs, labels = data.dataset("fit").inputs.clone().float(), data.labels("fit")
    inputs[17] = float("nan")
    broken = ms.Data(TensorDataset(inputs, labels), data.dataset("val"), data.dataset("test"), n_classes=10)
    for call in (ms.matrix, lambda *args: ms.stitch(args[0], args[1], "1", args[2], steps=2)):
        with pytest.raises(NonFiniteError, match=r"activations of a@\d hold NaN or infinity, first for the sample 17"):
            call(a, b, broken)


def test_two_networks_of_one_name_are_refused(world):
    a, b, _, data = world
    for call in (ms.matrix, ms.similarity):
        with pytest.raises(StitchError, match="Both networks are called 'a'"):
            call(a, b.named("a"), data)


def test_one_network_seen_in_two_ways_is_two_networks(world):
    a, _, _, data = world
    seen = ms.Network(a.module, torch.randn(2, 1, 8, 8), "a", view=lambda x: (x - 0.5) / 0.1)
    with pytest.raises(StitchError, match="Both networks are called 'a'"):
        ms.matrix(a, seen, data)
    assert ms.matrix(a, a.named("a"), data, samples=50, layers=(["1"], ["1"])).pairs == [("a", "a")]


def test_donors_are_left_alone(world):
    a, b, _, data = world
    before, state = (a.fingerprint(), b.fingerprint()), torch.get_rng_state()
    ms.matrix(a, b, data, samples=50)
    assert (a.fingerprint(), b.fingerprint()) == before
    assert torch.equal(state, torch.get_rng_state())


def test_a_page_takes_only_similarities_of_its_own_layers(world, tmp_path):
    a, b, _, data = world
    found = ms.matrix(a, b, data, layers=(["1"], ["3"]), samples=50)
    options = {"measures": "cka", "shuffles": 0}
    page = found.report(tmp_path / "page", similarities=ms.similarity(a, b, data, layers=(["1"], ["3"]), **options))
    assert "solved on 50 examples of the fit split, augmented (random crop after padding by 1)" in page.read_text()
    with pytest.raises(MeasureError, match="beside a -> b must be of these networks in this order, found b -> a"):
        found.report(tmp_path / "no", similarities=ms.similarity(b, a, data, layers=(["3"], ["1"]), **options))
    with pytest.raises(MeasureError, match="of none of the pairs of layers that were stitched"):
        found.report(tmp_path / "no", similarities=ms.similarity(a, b, data, layers=(["2"], ["3"]), **options))
    assert not (tmp_path / "no").exists()


def test_a_family_without_a_pair_takes_no_other_with_it(world):
    a, b, _, data = world
    options = {"samples": 50, "layers": (["0"], ["0"])}
    found = ms.matrix(a, b, data, family=["affine", "permutation"], **options)
    assert {r.family for r in found.records} == {"affine"}
    assert any("permutation is left out for 1 of 1 pairs" in note for note in found.cautions)
    with pytest.raises(ShapeError, match="permutation joins no pair of the layers"):
        ms.matrix(a, b, data, family=["permutation", "scaled-permutation"], **options)


def test_fewer_examples_than_channels_are_noted(world):
    a, b, _, data = world
    few, enough = (ms.matrix(a, b, data, samples=n, layers=(["1"], ["1"])) for n in (5, 200))
    assert any(note.startswith("5 fit examples for up to 8 channels") for note in few.cautions)
    assert not enough.cautions


def test_pictures(world):
    a, b, _, data = world
    found = ms.matrix(a, b, data, samples=50)
    assert "<svg" in found._repr_html_()
    assert len(found.figure(metrics=["penalty", "r2", "agreement_top"]).axes) >= 3


def test_mistakes(world):
    a, b, _, data = world
    with pytest.raises(
        ShapeError,
        match="permutation joins no pair of the layers, the first is a@0 -> b@0: The family 'permutation' needs",
    ):
        ms.matrix(a, b, data, family="permutation", samples=50, layers=(["0"], ["0"]))
    with pytest.raises(StitchError, match="The layers must be two lists"):
        ms.matrix(a, b, data, layers=("0", "0"))
    with pytest.raises(StitchError, match="at least one family"):
        ms.matrix(a, b, data, family=[])
    broken = convolutional(3)
    with torch.no_grad():
        broken[6].weight[0, 0] = float("inf")
    top = ms.Network(broken, torch.randn(2, 1, 8, 8), "broken")
    with pytest.raises(StitchError, match="NaN or infinity"):
        ms.matrix(a, top, data, samples=50)
