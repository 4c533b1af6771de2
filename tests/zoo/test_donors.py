"""Donors: cached by content, loaded bit for bit, refused if made otherwise."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch

from modelstitch.data.data import Data
from modelstitch.data.load import load_data
from modelstitch.errors import FitError, SourceError
from modelstitch.support.files import SetAside
from modelstitch.support.hashing import sealed
from modelstitch.support.resume import Unfinished
from modelstitch.zoo import donors
from modelstitch.zoo.donors import DonorSpec, donor, load_donor
from modelstitch.zoo.selfsup import SelfRecipe
from modelstitch.zoo.train import Recipe, error_rate
from modelstitch.zoo.views import GreyViews

RECIPE = Recipe(steps=6, lr=0.05, schedule="one-cycle", batch_size=32, checkpoints=(3,))
SPEC = DonorSpec("small-resnet?width=8", RECIPE, name="one")


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", limit=300)


def equal(one, two):
    one, two = one.state_dict(), two.state_dict()
    return list(one) == list(two) and all(torch.equal(one[name], two[name]) for name in one)


def test_the_cache_returns_the_same_donor_without_training(digits, tmp_path, monkeypatch):
    made = donor(SPEC, digits, tmp_path)
    assert made.card["test_error"] == error_rate(made.module, digits, "test")
    assert made.card["checkpoints"] == [3]
    monkeypatch.setattr(donors, "train", None)  # a second training would fail
    again = donor(dataclasses.replace(SPEC, name="renamed"), digits, tmp_path)
    assert equal(made.module, again.module)
    assert again.name == "renamed"
    assert not again.module.training
    assert [path.name[:1] for path in tmp_path.iterdir()] == ["s"]  # no scratch folder is left


def test_checkpoints_load(digits, tmp_path):
    made = donor(SPEC, digits, tmp_path)
    folder = next(tmp_path.iterdir())
    early = load_donor(folder, step=3)
    assert early.name == "one-step3"
    assert early.card["test_error"] is None
    assert not equal(early.module, made.module)
    with pytest.raises(SourceError, match=r"no checkpoint of step 4: found \[3\]"):
        load_donor(folder, step=4)


@pytest.fixture(scope="module", params=["labels", "simclr", "rotation"])
def whole(request, digits, tmp_path_factory):
    """A spec, and its donor whose training was not stopped."""
    base = Recipe(steps=10, lr=0.05, batch_size=64, schedule="one-cycle", checkpoints=(3, 9), channels_last=True)
    recipe = base if request.param == "labels" else SelfRecipe(request.param, base)
    spec = DonorSpec("small-resnet?width=8", recipe)
    return spec, donor(spec, digits, tmp_path_factory.mktemp("whole"))


@pytest.mark.slow
@pytest.mark.parametrize(("stops", "starts"), [((1,), [1, 2]), ((4, 9, 10), [1, 5, 10]), ((8,), [1, 9])])
def test_a_stopped_training_goes_on_and_ends_alike(digits, tmp_path, monkeypatch, whole, stops, starts):
    monkeypatch.setattr(Unfinished, "due", True)
    spec, unstopped = whole
    begun = []
    for stop in stops:
        seen = []

        def stopped(done, loss, seen=seen, stop=stop):
            seen.append(done)
            if done == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            donor(spec, digits, tmp_path / "pieces", progress=stopped)
        begun += seen[:1]
    seen = []
    again = donor(spec, digits, tmp_path / "pieces", progress=lambda done, loss: seen.append(done))
    assert begun + seen[:1] == starts
    assert equal(again.module, unstopped.module)
    for step in (3, 9):
        assert equal(load_donor(again.folder, step=step).module, load_donor(unstopped.folder, step=step).module)
    assert [p.name for p in (tmp_path / "pieces").iterdir()] == [again.folder.name]


def test_views_are_in_the_identity_where_a_recipe_names_them(digits):
    plain, grey = (SelfRecipe("simclr", RECIPE, views=views) for views in (None, "grey"))
    before, named = (DonorSpec("small-resnet?width=8", recipe).identity(digits)["recipe"] for recipe in (plain, grey))
    assert set(before) == {"kind", "method", "base", "temperature", "projection"}  # as before recipes could say
    assert named == {**before, "views": f"grey: {GreyViews.recipe}"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("method", ["labels", "simclr"])
def test_on_a_gpu_a_stopped_training_goes_on_too(digits, tmp_path, monkeypatch, method):
    """Steps are recorded there, and recorded anew; sums in another order differ in their last digits."""
    monkeypatch.setattr(Unfinished, "due", True)
    base = Recipe(steps=40, lr=0.05, batch_size=64, schedule="one-cycle", channels_last=True)
    spec = DonorSpec("small-resnet?width=8", base if method == "labels" else SelfRecipe(method, base))
    whole = donor(spec, digits, tmp_path / "whole", device="cuda")

    def stopped(done, loss):
        if done == 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        donor(spec, digits, tmp_path / "pieces", device="cuda", progress=stopped)
    seen = []
    again = donor(spec, digits, tmp_path / "pieces", device="cuda", progress=lambda done, loss: seen.append(done))
    assert seen[0] == 26
    assert again.card["loss"] == pytest.approx(whole.card["loss"], rel=0.02)


def test_a_state_goes_with_its_donor_and_with_a_training_that_diverged(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(Unfinished, "due", True)
    with monkeypatch.context() as patch:
        patch.setattr(Unfinished, "clear", lambda self: None)
        made = donor(SPEC, digits, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    donor(SPEC, digits, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [made.folder.name]
    with pytest.raises(FitError, match="diverged"):
        donor(DonorSpec("small-resnet?width=8", dataclasses.replace(RECIPE, lr=1e30)), digits, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == [made.folder.name]


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"labels": "random-50"},
        {"net": "small-resnet?width=4"},
        {"recipe": dataclasses.replace(RECIPE, lr=0.1)},
        {"recipe": dataclasses.replace(RECIPE, optimiser="adamw")},
    ],
)
def test_what_decides_the_weights_decides_the_identity(digits, changes):
    other = dataclasses.replace(SPEC, **changes)
    assert other.identity(digits) != SPEC.identity(digits)
    assert not equal(donor(other, digits).module, donor(SPEC, digits).module)


def test_other_data_are_another_identity(digits):
    assert SPEC.identity(digits) != SPEC.identity(digits.subset(100))


def with_classes(data, n):
    return Data(*(data.dataset(split) for split in ("fit", "val", "test")), n_classes=n, augment=data.augment)


def test_the_number_of_classes_is_part_of_a_donor(digits, tmp_path):
    made = {n: donor(SPEC, with_classes(digits, n), tmp_path) for n in (12, 10, None, 12)}
    assert {n: one.module.head.out_features for n, one in made.items()} == {12: 12, 10: 10, None: 10}
    assert len(list(tmp_path.iterdir())) == 2
    # Caches of before stay valid where the labels themselves say how many classes there are.
    assert "classes" not in SPEC.identity(digits)
    assert SPEC.identity(digits) == SPEC.identity(with_classes(digits, 10))


def test_a_cached_donor_of_other_classes_is_refused(digits, tmp_path):
    early = donor(SPEC, with_classes(digits, 12), tmp_path / "twelve")
    late = donor(SPEC, digits, tmp_path)
    card = json.loads((early.folder / "card.json").read_text())
    card["identity"] = SPEC.identity(digits)  # as it was called before the classes were part of it
    (early.folder / "card.json").write_text(json.dumps(sealed(card)))
    shutil.rmtree(late.folder)
    early.folder.rename(late.folder)
    with pytest.warns(
        SetAside,
        match=r"made otherwise: net \(expected \"small-resnet\?classes=10&.*\", found \"small-resnet\?classes=12&",
    ):
        again = donor(SPEC, digits, tmp_path)
    assert equal(again.module, late.module)


def test_a_donor_made_otherwise_is_set_aside_and_trained_anew(digits, tmp_path):
    made = donor(SPEC, digits, tmp_path)
    card = json.loads((made.folder / "card.json").read_text())
    card["identity"]["recipe"]["lr"] = 9.0
    (made.folder / "card.json").write_text(json.dumps(sealed(card)))
    why = rf"{made.folder.name} in the cache was made otherwise: recipe.lr .*found 9.0\); it is set aside as"
    with pytest.warns(SetAside, match=why):
        again = donor(SPEC, digits, tmp_path)
    assert equal(again.module, made.module)
    assert again.card["weights"] == made.card["weights"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [made.folder.name, f"{made.folder.name}.aside-1"]


CHANGES = {
    "weights": (
        "weights.safetensors",
        lambda b: b[:-2] + bytes([b[-2] ^ 0x40]) + b[-1:],
        "changed since they were written",
    ),
    "a checkpoint": ("step-3.safetensors", lambda b: b[:-2] + bytes([b[-2] ^ 0x40]) + b[-1:], "changed since"),
    "half the weights": ("weights.safetensors", lambda b: b[: len(b) // 2], "changed since they were written"),
    "a digit": ("card.json", lambda b: b.replace(b'"seed": 0', b'"seed": 1'), "card .* damaged .*digest"),
    "the name of the seal": ("card.json", lambda b: b.replace(b'"digest"', b'"dihest"'), "card .* damaged .*no digest"),
    "no seal and no hashes": (
        "card.json",
        lambda b: json.dumps({k: v for k, v in json.loads(b).items() if k != "digest"}).encode(),
        "no digest",
    ),
    "half the card": ("card.json", lambda b: b[: len(b) // 2], "card .* damaged"),
    "nested without end": ("card.json", lambda b: b"[" * 100_000, "card .* damaged"),
    "no card": ("card.json", lambda b: b"", "card .* damaged"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("file", "change", "why"), CHANGES.values(), ids=CHANGES)
def test_a_changed_donor_is_refused_by_itself_and_trained_anew_by_its_cache(digits, tmp_path, file, change, why):
    made = donor(SPEC, digits, tmp_path)
    path = made.folder / file
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(SourceError, match=why):
        load_donor(made.folder, step=3 if file.startswith("step") else None)
    with pytest.warns(SetAside, match=why):
        again = donor(SPEC, digits, tmp_path)
    assert equal(again.module, made.module)
    assert again.card["weights"] == made.card["weights"]


def test_donors_of_before_there_were_digests_stay_readable(digits, tmp_path):
    made = donor(SPEC, digits, tmp_path)
    card = json.loads((made.folder / "card.json").read_text())
    del card["weights"], card["digest"]
    (made.folder / "card.json").write_text(json.dumps(card))
    assert equal(load_donor(made.folder).module, made.module)
    assert equal(load_donor(made.folder, step=3).module, donor(SPEC, digits, tmp_path).module) is False


def test_damaged_and_missing_donors(digits, tmp_path):
    donor(SPEC, digits, tmp_path / "cache")
    folder = next((tmp_path / "cache").iterdir())
    (folder / "weights.safetensors").write_bytes(b"short")
    with pytest.raises(SourceError, match=r"The weights .* changed since .*: delete the folder"):
        load_donor(folder)
    with pytest.raises(SourceError, match="holds no donor"):
        load_donor(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match=r"cannot be written to .*: choose another folder"):
        donor(SPEC, digits, tmp_path / "file" / "cache")


def test_a_killed_save_leaves_nothing_that_loads(digits, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(donors.hashing, "sealed", stop)
    (tmp_path / "cache").mkdir()
    with pytest.raises(KeyboardInterrupt):
        donors._save(donors.Donor("x", torch.nn.Linear(2, 2), {}), {}, tmp_path / "cache" / "x")
    assert list((tmp_path / "cache").iterdir()) == []


def test_of_two_runs_that_save_the_same_donor_the_first_one_counts(tmp_path):
    made = donors.Donor("x", torch.nn.Linear(2, 2), {"name": "first"})
    for name in ("first", "second"):
        donors._save(dataclasses.replace(made, card={"name": name}), {}, tmp_path / "x")
    assert json.loads((tmp_path / "x" / "card.json").read_text())["name"] == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
