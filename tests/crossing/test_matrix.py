"""The matrix equals stitching pair by pair."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import modelstitch as ms
from modelstitch.crossing import keep as crossing_keep
from modelstitch.crossing.plan import plan_matrix
from modelstitch.data.augment import CropFlip
from modelstitch.engine.sums import group_by_positions
from modelstitch.errors import MeasureError, NonFiniteError, ShapeError, StitchError, StudyError
from modelstitch.views import Normalise


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
        nn.Conv2d(1, width, 3, padding=1), Residual(width), nn.MaxPool2d(2), Residual(width), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(width, 10),
    )  # fmt: skip


@pytest.fixture(scope="module")
def world():
    example = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(2)
    networks = [
        ms.Network(convolutional(0), example, "a"), ms.Network(convolutional(1, 10), example, "b"),
        ms.Network(Mixer(), example, "mixer"),
    ]  # fmt: skip
    return *networks, ms.load_data("digits", limit=400)


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


@pytest.mark.parametrize(("below", "above"), [(0, 1), (0, 2), (2, 0), (1, 1)])
def test_every_entry_equals_its_own_stitch(world, below, above):
    bottom, top, data = world[below], world[above], world[3]
    found = ms.matrix(bottom, top, data, samples=160, batch_size=48, seed=5)
    assert [(e.bottom_layer, e.top_layer) for e in found.entries] == [(b, t) for b in bottom.blocks for t in top.blocks]
    for entry in found.entries:
        own = ms.stitch(
            bottom,
            top,
            (entry.bottom_layer, entry.top_layer),
            data,
            objective="match",
            samples=160,
            batch_size=48,
            seed=5,
        )
        rows = found.frame.filter(bottom_layer=entry.bottom_layer, top_layer=entry.top_layer)
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
    assert found.solved_on.startswith(f"{used} examples of the fit split")


@pytest.mark.parametrize(
    "option", [{"steps": 7}, {"init": "random"}, {"learning_rate": 5.0}, {"precision": "bfloat16"}]
)
def test_options_of_steps_have_no_place_in_a_matrix(world, option):
    a, b, _, data = world
    (name,) = option
    with pytest.raises(
        StitchError, match=f"The fit option '{name}' changes nothing in a matrix.*batch_size, augment or"
    ):
        ms.matrix(a, b, data, samples=50, **option)
    with pytest.raises(StitchError, match="There is no option 'sample': did you mean 'samples'"):
        ms.matrix(a, b, data, sample=50)


def test_families_positions_and_chosen_layers(world):
    a, _, _, data = world
    layers = ([a.blocks[1]], [a.blocks[0], a.blocks[1]])
    found = ms.matrix(a, a, data, layers=layers, family=["identity", "affine"], samples=100)
    assert {e.family for e in found.entries} == {"identity", "affine"}
    assert repr(found) == "Matrix(a -> a: 1 x 2 layers, identity, affine)"
    itself = found.frame.filter(family="identity", top_layer=a.blocks[1])
    values = dict(zip(itself["metric"], itself["value"]))
    assert (values["penalty"], values["agreement_top"], values["relative_mse"]) == (0, 100, 0)
    few = ms.matrix(a, a, data, layers=layers, samples=100, positions=4)
    all_of_them = [e.judged.relative_mse for e in found.entries if e.family == "affine"]
    assert [e.judged.relative_mse for e in few.entries] != all_of_them
    assert [e.judged.relative_mse for e in few.entries] == pytest.approx(all_of_them, abs=0.2)
    with pytest.raises(StitchError, match="positions must be 1 or more, found 0"):
        ms.matrix(a, a, data, layers=layers, samples=100, positions=0)


def test_what_is_left_out_is_said(world):
    _, b, _, data = world
    torch.manual_seed(6)
    narrowing = nn.Sequential(
        nn.Conv2d(1, 10, 3, padding=1), nn.ReLU(), nn.Conv2d(10, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(6, 10),
    )  # fmt: skip
    top = ms.Network(narrowing, torch.randn(2, 1, 8, 8), "narrowing")
    layers = (["1"], ["1", "3"])
    found = ms.matrix(b, top, data, family=["orthogonal", "affine"], samples=50, layers=layers)
    assert [(e.family, e.top_layer) for e in found.entries] == [("orthogonal", "1"), ("affine", "1"), ("affine", "3")]
    note, caution, *alone = found.notes
    assert ["errs on" in text for text in alone] == ["has no view" not in text for text in alone] == [True, False] * 2
    assert caution.startswith("caution: the top narrowing alone errs on ")
    assert note.startswith(
        "orthogonal is left out for 1 of 2 pairs, the first b@1 -> narrowing@3: The family 'orthogonal'"
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
    assert found.entries[0].judged.relative_mse is None
    assert not set(found.frame["metric"]) & {"relative_mse", "r2"}
    assert found.notes[-1] == "The top's own activations at 3 do not vary: no relative_mse and no r2 there."


def test_the_plan_says_what_it_takes_and_refuses_what_does_not_fit(world):
    a, b, _, data = world
    plan = plan_matrix(a, b, data, samples=50)
    assert 0 < plan.sums < plan.size
    assert "one pass over 50 examples of the fit split, augmented (random crop" in plan.describe()
    assert plan_matrix(a, b, data, samples=50, dtype=torch.float32).sums < plan.sums
    with pytest.raises(MeasureError, match=r"and a batch of their activations, need .* found 1.0 kB available"):
        plan_matrix(a, b, data, samples=50, available=1000)


def test_an_interrupted_pass_goes_on_and_further_families_need_none(world, tmp_path, monkeypatch):
    a, _, mixer, data = world
    monkeypatch.setattr(crossing_keep, "EVERY", 0.0)
    options = {"samples": 100, "batch_size": 32, "positions": 5, "sums": tmp_path / "sums"}
    whole = ms.matrix(a, mixer, data, **{**options, "sums": None})

    def stop(what, done, total):
        if "sums" in what and done == 64:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ms.matrix(a, mixer, data, tell=stop, **options)
    read = []
    found = ms.matrix(a, mixer, data, tell=lambda what, done, total: read.append((what, done)), **options)
    assert [done for what, done in read if "sums" in what] == [96, 100]
    for one, two in zip(whole.entries, found.entries):
        assert torch.equal(one.stitcher.weight, two.stitcher.weight)
    read.clear()
    ms.matrix(a, mixer, data, family="low-rank:2", tell=lambda what, done, total: read.append(what), **options)
    assert not [what for what in read if "sums" in what]
    with pytest.raises(StudyError, match="holds the sums of another matrix: expected data = "):
        ms.matrix(a, mixer, data, seed=1, **{**options, "samples": None})
    (tmp_path / "sums").write_bytes(b"nothing")
    with pytest.raises(StudyError, match="holds no sums of a matrix"):
        ms.matrix(a, mixer, data, **options)


REFUSED = {"augmentation": "augment", "a's view": "bottom view", "b's view": "top view"}


def reading(world, what):
    """Two networks and data that read the same samples alike, but for one thing."""
    a, b, _, data = world
    recipe = CropFlip(3, flip=True) if what == "augmentation" else CropFlip(1)
    views = {n: Normalise(0.5 if what == f"{n.name}'s view" else 0.0, 1.0) for n in (a, b)}
    networks = [ms.Network(n.module, torch.zeros(2, 1, 8, 8), n.name, view=view) for n, view in views.items()]
    splits = [data.dataset(split) for split in ("fit", "val", "test")]
    return *networks, ms.Data(*splits, n_classes=10, augment=recipe)


@pytest.mark.parametrize("what", REFUSED)
def test_kept_sums_serve_no_other_reading_of_the_samples(world, tmp_path, what):
    options = {"layers": (["1"], ["1"]), "samples": 50, "sums": tmp_path / "sums"}
    ms.matrix(*reading(world, ""), **options)
    ms.matrix(*reading(world, ""), **options)
    with pytest.raises(StudyError, match=f"another matrix: expected {REFUSED[what]} = "):
        ms.matrix(*reading(world, what), **options)


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
    assert ms.matrix(a, a.named("a"), data, samples=50, layers=(["1"], ["1"])).top == "a"


def test_how_many_rows_run_at_once_does_not_matter(world):
    a, b, _, data = world
    layers = (["1", "3"], ["0", "1", "3"])
    results = [ms.matrix(a, b, data, samples=100, layers=layers, rows_at_once=rows) for rows in (1, 100, 10**6)]
    for other in results[1:]:
        for one, two in zip(results[0].entries, other.entries):
            assert one.judged.relative_mse == pytest.approx(two.judged.relative_mse, abs=1e-6)
            assert float((one.judged.outcome.losses - two.judged.outcome.losses).abs().max()) < 1e-4


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
    with pytest.raises(MeasureError, match="of none of the matrix's pairs of layers"):
        found.report(tmp_path / "no", similarities=ms.similarity(a, b, data, layers=(["2"], ["3"]), **options))
    assert not (tmp_path / "no").exists()


def test_a_family_without_a_pair_takes_no_other_with_it(world):
    a, b, _, data = world
    options = {"samples": 50, "layers": (["0"], ["0"])}
    found = ms.matrix(a, b, data, family=["affine", "orthogonal"], **options)
    assert {e.family for e in found.entries} == {"affine"}
    assert any("orthogonal is left out for 1 of 1 pairs" in note for note in found.notes)
    with pytest.raises(
        ShapeError, match="None of orthogonal, permutation joins a pair of the layers: orthogonal is left out"
    ):
        ms.matrix(a, b, data, family=["orthogonal", "permutation"], **options)


def test_fewer_examples_than_channels_are_noted(world):
    a, b, _, data = world
    few, enough = (plan_matrix(a, b, data, samples=n, augment=False) for n in (5, 200))
    assert any(note.startswith("5 fit examples for up to ") for note in few.notes)
    assert not enough.notes
    assert few.solved_on == "5 examples of the fit split, not augmented"


def test_pictures(world):
    a, b, _, data = world
    found = ms.matrix(a, b, data, samples=50)
    assert "<svg" in found._repr_html_()
    assert len(found.figure(["penalty", "r2", "agreement_top"]).axes) >= 3


def test_mistakes(world):
    a, b, _, data = world
    with pytest.raises(
        ShapeError,
        match="orthogonal joins no pair of the layers, the first is a@0 -> b@0: The family 'orthogonal' needs",
    ):
        ms.matrix(a, b, data, family="orthogonal", samples=50, layers=(["0"], ["0"]))
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


def test_layers_of_as_many_positions_share_sums_only_where_these_lie_alike():
    def layer(name, over, grid=None):
        kind, shape = ("map", (3, 2, 2)) if name == "b" else ("tokens", (64, 3))
        return SimpleNamespace(
            name=name, kind=kind, shape=shape, positions=shape[1:] if name == "b" else shape[:1], over=over, grid=grid
        )

    layers = {
        "square": layer("square", "image", (8, 8)),
        "same": layer("same", "image", (8, 8)),
        "wide": layer("wide", "image", (4, 16)),
    }
    wide = SimpleNamespace(
        layer=lambda name: SimpleNamespace(**{**vars(layer("b", "image")), "shape": (3, 2, 8), "positions": (2, 8)})
    )
    groups = group_by_positions(wide, SimpleNamespace(layer=layers.__getitem__), ["b"], list(layers))
    assert [group.tops for group in groups] == [["square", "same"], ["wide"]]
    assert [group.adapters["b"].grid_out for group in groups] == [(8, 8), (4, 16)]
