"""Freeze-training: what is frozen stays the donor's, all else starts anew."""

import pytest
import torch

from modelstitch.data.load import load_data
from modelstitch.errors import FitError, UnknownLayerError
from modelstitch.zoo.donors import DonorSpec, donor
from modelstitch.zoo.freeze import freeze_train
from modelstitch.zoo.train import Recipe

RECIPE = Recipe(steps=6, lr=0.05, schedule="one-cycle", batch_size=32)
SPEC = DonorSpec("small-resnet?width=8", RECIPE, name="one")


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", limit=300)


def test_freeze_training(digits):
    source = donor(SPEC, digits)
    before = {name: value.clone() for name, value in source.module.state_dict().items()}
    mixed = freeze_train(source, ["stem", "block4"], digits, RECIPE, seed=5)
    after = mixed.state_dict()
    kept = {name.split(".")[0] for name in before if torch.equal(after[name], before[name]) and before[name].ndim}
    assert kept == {"stem", "block4"}
    assert all(torch.equal(value, before[name]) for name, value in source.module.state_dict().items())
    with pytest.raises(UnknownLayerError, match="no layer 'block9' to freeze"):
        freeze_train(source, ["block9"], digits, RECIPE)


def test_freeze_training_notices_a_rest_that_was_not_reset(digits, monkeypatch):
    source = donor(SPEC, digits)

    def impostor(net, seed):
        from modelstitch.zoo.nets import build

        half = build(net, seed=seed + 100)
        half.block2.load_state_dict(source.module.block2.state_dict())
        return half

    monkeypatch.setattr("modelstitch.zoo.freeze.build", impostor)
    with pytest.raises(FitError, match="start with the donor's values, the first is 'block2"):
        freeze_train(source, ["stem"], digits, RECIPE, seed=5)
