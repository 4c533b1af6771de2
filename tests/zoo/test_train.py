"""Supervised training: it learns digits, repeats exactly, keeps frozen parts, and says when it diverges."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from modelstitch.data.load import load_data
from modelstitch.errors import DataError, FitError
from modelstitch.zoo.nets import build
from modelstitch.zoo.train import PAPER, SHORT_CIFAR, SHORT_DIGITS, Recipe, _kernels, error_rate, short_recipe, train

TINY = Recipe(steps=12, lr=0.05, schedule="one-cycle", batch_size=32)


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


@pytest.mark.slow
def test_learns_digits(digits):
    net = build("small-resnet?width=16")
    before = error_rate(net, digits, "val")
    train(net, digits, dataclasses.replace(SHORT_DIGITS, steps=90))
    assert before > 60
    assert error_rate(net, digits, "val") < 8
    assert not net.training


def test_two_runs_are_equal_and_another_seed_is_not(digits):
    weights = []
    torch.manual_seed(3)
    state = torch.get_rng_state()
    for seed in (0, 0, 1):
        net = build("small-resnet?width=8")
        train(net, digits, TINY, seed=seed)
        weights.append(net.head.weight)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_plain_loop_gives_the_same_weights(digits):
    recipe = dataclasses.replace(TINY, schedule="step", augment=False, steps=4, drops=(0.5,))
    net = build("small-resnet?width=8")
    other = copy.deepcopy(net).train()
    train(net, digits, recipe, seed=0)
    optimiser = torch.optim.SGD(other.parameters(), 0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)
    for step, batch in zip(range(4), digits.batches("fit", 32, seed=0)):
        optimiser.param_groups[0]["lr"] = 0.05 if step < 2 else 0.01
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(other(batch.inputs), batch.labels).backward()
        optimiser.step()
    assert torch.allclose(net.head.weight, other.head.weight, atol=1e-6)


def test_schedules():
    rates = [PAPER.rate(step) for step in (0, 31_999, 32_000, 47_999, 48_000)]
    assert rates == pytest.approx([0.05, 0.05, 0.01, 0.01, 0.002])
    cycle = Recipe(steps=100, lr=1.0, schedule="one-cycle")
    rates = [cycle.rate(step) for step in range(100)]
    assert max(rates) == pytest.approx(1.0)
    assert rates[24] == max(rates)
    assert 0 < rates[-1] < 0.02
    assert min(rates) > 0


def test_checkpoints_progress_and_options(digits):
    recipe = dataclasses.replace(TINY, checkpoints=(4, 12), precision="bfloat16", channels_last=True, n_fit=40)
    seen = []
    net = build("small-resnet?width=8")
    trained = train(net, digits, recipe, progress=lambda step, loss: seen.append((step, loss)))
    assert sorted(trained.checkpoints) == [4, 12]
    assert torch.equal(trained.checkpoints[12]["head.weight"], net.head.weight)
    assert not torch.equal(trained.checkpoints[4]["head.weight"], net.head.weight)
    assert net.head.weight.dtype == torch.float32
    assert [step for step, _ in seen] == list(range(1, 13))
    assert seen[-1][1] == pytest.approx(trained.loss)


def test_frozen_parts_do_not_move_statistics_included(digits):
    net = build("small-resnet?width=8")
    before = copy.deepcopy(net.state_dict())
    train(net, digits, TINY, frozen=["stem", "block2"])
    moved = {name.split(".")[0] for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"block1", "block3", "block4", "block5", "head"}


def test_divergence_is_an_error(digits):
    with pytest.raises(FitError, match=r"Training diverged: the loss is .* try a smaller one"):
        train(
            build("preact-resnet18?width=4&in_channels=1"),
            digits,
            dataclasses.replace(TINY, lr=1e6, steps=40),
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"steps": 0}, "above 0, found 0"), ({"lr": -1.0}, "-1.0"), ({"checkpoints": (13,)}, "checkpoint 13")],
)
def test_bad_recipes(changes, message):
    with pytest.raises(FitError, match=message):
        dataclasses.replace(TINY, **changes)


@pytest.mark.parametrize(("width", "able", "used"), [(4, "AVX2", False), (8, "AVX2", True), (4, "AVX512", True)])
def test_narrow_convolutions_avoid_the_kernels_that_write_outside_their_memory(monkeypatch, width, able, used):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: able)
    with _kernels([build(f"small-resnet?width={width}")], "cpu"):
        assert torch._C._get_mkldnn_enabled() == used
    assert torch._C._get_mkldnn_enabled()


def test_transformers_get_a_recipe_of_their_own():
    assert short_recipe("vit?dim=32", digits=True).optimiser == "adamw"
    assert short_recipe("resnet20", digits=True) == SHORT_DIGITS
    assert short_recipe("resnet20", digits=False) == SHORT_CIFAR


def test_data_without_labels_are_refused():
    data = load_data("digits", task="embedding")
    with pytest.raises(DataError, match="The data digits are of the task embedding, without labels to learn"):
        train(torch.nn.Linear(10, 1), data, Recipe(steps=1))
