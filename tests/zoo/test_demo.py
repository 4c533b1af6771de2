"""The donors of the demo: named, cached, and traced once."""

import pytest

from modelstitch.zoo import demo
from modelstitch.zoo.donors import DonorSpec
from modelstitch.zoo.selfsup import SIMCLR_DIGITS
from modelstitch.zoo.train import Recipe


def test_three_networks_of_one_architecture_and_three_seeds():
    specs = demo.donor_specs(5)
    assert [spec.name for spec in specs] == ["seed A", "seed B", "SimCLR"]
    assert [spec.seed for spec in specs] == [5, 6, 7]
    assert {spec.net for spec in specs} == {demo.NET}
    assert [spec.recipe is SIMCLR_DIGITS for spec in specs] == [False, False, True]
    names = {spec.name for spec in specs}
    assert all(set(pair) <= names for pair in demo.PAIRS)


@pytest.fixture
def quick(monkeypatch):
    recipe = Recipe(steps=3, lr=0.05, batch_size=32)
    made = [
        DonorSpec("small-resnet?width=4&blocks=2", recipe, seed=i, name=name)
        for i, name in enumerate(("seed A", "seed B", "SimCLR"))
    ]
    monkeypatch.setattr(demo, "donor_specs", lambda seed: made)


@pytest.mark.slow
def test_donors_are_trained_once_and_told_of(quick, tmp_path):
    heard = []
    data, donors, networks = demo.make_donors(tmp_path, seed=0, tell=lambda *words: heard.append(words))
    assert [network.name for network in networks] == [d.name for d in donors] == ["seed A", "seed B", "SimCLR"]
    assert len({network.fingerprint() for network in networks}) == 3
    assert {words[0] for words in heard} == {"train seed A", "train seed B", "train SimCLR"}
    heard.clear()
    _, again, _ = demo.make_donors(tmp_path, seed=0, tell=lambda *words: heard.append(words))
    assert heard == []
    assert [d.folder for d in again] == [d.folder for d in donors]
    assert data.name == "digits"
