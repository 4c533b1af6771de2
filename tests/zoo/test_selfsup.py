"""Training without labels: the body never sees them, the head does, and the features are worth something."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from modelstitch.data.load import load_data
from modelstitch.errors import FitError
from modelstitch.zoo.linear import fit_linear
from modelstitch.zoo.nets import build
from modelstitch.zoo.selfsup import SIMCLR_DIGITS, SelfRecipe, train_without_labels
from modelstitch.zoo.train import Recipe, error_rate
from modelstitch.zoo.views import ColourViews, DigitViews, GreyViews

SHORT = Recipe(steps=40, lr=0.1, schedule="one-cycle", batch_size=100, checkpoints=(20,))


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["simclr", "vicreg", "rotation"])
def test_each_method_ignores_labels_until_the_head(digits, method):
    shuffled = digits.labels("fit").roll(1)
    other = digits.relabelled({"fit": shuffled}, name="shuffled", classes=digits.classes)
    nets = []
    recipe = SelfRecipe(method, dataclasses.replace(SHORT, steps=4, checkpoints=(2,)))
    for data in (digits, other):
        net = build("small-resnet?width=8")
        trained = train_without_labels(net, data, recipe)
        nets.append(net)
    one, two = (net.state_dict() for net in nets)
    differing = {name.split(".")[0] for name in one if not torch.equal(one[name], two[name])}
    assert differing == {"head"}
    assert set(trained.checkpoints[2]) == set(one)


@pytest.mark.slow
def test_simclr_beats_a_random_body(digits):
    net, untrained = (build("small-resnet?width=16") for _ in range(2))
    fit_linear(untrained, digits)
    train_without_labels(net, digits, dataclasses.replace(SIMCLR_DIGITS, base=SHORT))
    random = error_rate(untrained, digits, "test")
    assert error_rate(net, digits, "test") < random
    assert not net.training
    assert isinstance(net.head, torch.nn.Linear)


@pytest.mark.parametrize(
    ("views", "channels", "kind"),
    [(None, 1, DigitViews), (None, 3, ColourViews), ("grey", 1, GreyViews), ("digits", 3, DigitViews)],
)
def test_a_recipe_says_its_views_or_the_channels_do(views, channels, kind):
    assert isinstance(SelfRecipe("simclr", SHORT, views=views).viewed(channels), kind)


def test_unknown_views_are_refused():
    with pytest.raises(FitError, match="no views 'gray': expected one of digits, colour, grey, or None"):
        SelfRecipe("simclr", SHORT, views="gray")


def test_a_network_without_a_head_is_refused(digits):
    recipe = SelfRecipe("simclr", SHORT)
    with pytest.raises(FitError, match="linear layer named 'head', found NoneType"):
        train_without_labels(torch.nn.Sequential(torch.nn.Flatten()), digits, recipe)
