"""How much of a batch's gradient is signal, and what that does to the rate."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelstitch import stitch
from modelstitch.fit.closed import collect, solve
from modelstitch.fit.noise import LEAST, pace, signal
from modelstitch.fit.objectives import Wanted, stages
from modelstitch.fit.options import FitSpec
from modelstitch.fit.run import Run
from modelstitch.fit.senders import NetworkSender
from modelstitch.fit.streams import open_stream
from modelstitch.fit.sweep import Sweep
from modelstitch.stitchers import family_of


def test_the_share_is_the_one_of_the_whole_gradient_on_average():
    """Gradients G + e with |G|^2 = 4 and E|e|^2 = 12: a quarter is signal."""
    draw = torch.Generator().manual_seed(0)
    mean = torch.zeros(300)
    mean[0] = 2.0
    found = [
        signal(*([mean + (12 / 300) ** 0.5 * torch.randn(300, generator=draw)] for _ in range(2))) for _ in range(400)
    ]
    assert sum(found) / len(found) == pytest.approx(0.25, abs=0.01)


CASES = {
    "the same": ([[3.0, 4.0]], [[3.0, 4.0]], 1.0),
    "opposite": ([[1.0, 0.0]], [[-1.0, 0.0]], 0.0),
    "across": ([[1.0, 0.0]], [[0.0, 1.0]], 0.0),
    "several parameters": ([[1.0], [1.0]], [[1.0], [0.0]], 2 / 3),
    "nothing at all": ([[0.0]], [[0.0]], 1.0),
}


@pytest.mark.parametrize("case", CASES)
def test_shares(case):
    one, other, share = CASES[case]
    assert signal([torch.tensor(a) for a in one], [torch.tensor(a) for a in other]) == pytest.approx(share)


numbers = st.lists(st.floats(-100, 100, width=32), min_size=4, max_size=4)


@given(numbers, numbers, st.floats(0.01, 100))
@settings(max_examples=50, deadline=None)
def test_a_share_lies_between_0_and_1_whatever_the_order_and_the_scale(one, other, scale):
    a, b = torch.tensor(one), torch.tensor(other)
    share = signal([a], [b])
    assert 0 <= share <= 1 + 1e-12
    assert share == pytest.approx(signal([b], [a]))
    if float(a.square().sum() + b.square().sum()) > 1e-6:
        assert share == pytest.approx(signal([a * scale], [b * scale]), abs=1e-4)


@pytest.mark.parametrize(("share", "factor"), [(0.0, LEAST), (0.7, LEAST), (0.9, 0.531441), (1.0, 1.0)])
def test_the_rate_falls_with_the_noise_to_a_quarter(share, factor):
    assert pace(share) == pytest.approx(factor)


def opened(pair, digits, family="affine", **fit):
    bottom, top = pair
    spec = FitSpec(augment=False, **fit)
    sweep = Sweep(NetworkSender(bottom), top, digits, spec, torch.device("cpu"))
    cls, options = family_of(family)
    stream = open_stream(
        family, sweep.sender, top, "block2", "block2", family=cls, options=options, objective="task", init="closed",
        later=(), device=sweep.device,
    )  # fmt: skip
    collect([stream], sweep)
    solve([stream], sweep)
    run = Run(stream, stages("task", top, "block2", spec)[0], sweep)
    batches = list(digits.batches("fit", 64, limit=192))
    send = sweep.sender.open(["block2"], sweep.device)

    def step(number):
        batch = batches[number - 1]
        run.step(send(batch)["block2"], None, None, Wanted({}, batch.labels, None), number)

    return run, step


def state(run):
    return torch.cat([p.detach().flatten().clone() for p in run.stitcher.parameters()])


def gradients(run, pair, digits, number):
    """The gradients of one batch at the weights as they are, by a graph of their own."""
    batch = list(digits.batches("fit", 64, limit=192))[number - 1]
    below = NetworkSender(pair[0]).open(["block2"], torch.device("cpu"))(batch)["block2"]
    _, values = run.stream.forward(below, None)
    loss = run.objective.loss(values, Wanted({}, batch.labels, None))
    return torch.autograd.grad(loss, list(run.stitcher.parameters()))


def test_the_first_two_batches_share_one_step_at_the_rate_of_their_agreement(pair, digits):
    run, step = opened(pair, digits, learning_rate=0.01)
    full = run.optimiser.param_groups[0]["lr"]
    before = state(run)
    one, other = (gradients(run, pair, digits, number) for number in (1, 2))
    step(1)
    assert torch.equal(state(run), before)
    step(2)
    rate = full * pace(signal(one, other))
    assert run.stream.rate == pytest.approx(rate)
    assert rate < full
    # Adam's first step is the rate times the sign of the mean gradient.
    mean = torch.cat([(a + b).flatten() / 2 for a, b in zip(one, other)])
    clear = mean.abs() > 1e-5
    assert torch.allclose((state(run) - before)[clear], -rate * mean.sign()[clear], rtol=0.02)
    step(3)
    cosine = 0.5 * (1 + math.cos(2 * math.pi / run.sweep.spec.steps))
    assert run.optimiser.param_groups[0]["lr"] == pytest.approx(rate * cosine)


def test_a_batch_of_another_size_is_passed_over(pair, digits):
    """Batches of 64, 16 and 64 samples: the first and the third set the rate."""
    run, _ = opened(pair, digits, learning_rate=0.01)
    full, before = run.optimiser.param_groups[0]["lr"], state(run)
    batches = list(digits.batches("fit", 64, limit=80)) + list(digits.batches("fit", 64, limit=192))[2:]
    assert [len(b) for b in batches] == [64, 16, 64]
    one, third = gradients(run, pair, digits, 1), gradients(run, pair, digits, 3)
    send = run.sweep.sender.open(["block2"], torch.device("cpu"))
    for number, batch in enumerate(batches, 1):
        assert torch.equal(state(run), before)
        run.step(send(batch)["block2"], None, None, Wanted({}, batch.labels, None), number)
    assert run.stream.rate == pytest.approx(full * pace(signal(one, third)))
    assert not torch.equal(state(run), before)


def test_a_look_before_the_first_step_does_not_tire_the_patience(pair, digits):
    run, step = opened(pair, digits, patience=1, eval_every=1)
    seen = SimpleNamespace(error=10.0, loss=1.0)
    run.look(0, seen)
    step(1)
    run.look(1, seen)
    assert (run.stale, run.open) == (0, True)
    for number in (2, 3):
        step(number)
        run.look(number, seen)
    assert (run.stale, run.open) == (2, False)


@pytest.mark.parametrize(
    ("family", "fit"),
    [
        ("affine", {"adapt_rate": False}), ("affine", {"whiten": False}), ("affine", {"steps": 1}),
        ("norm-affine-norm", {}), ("mlp:8", {}),
    ],
)  # fmt: skip
def test_steps_that_are_not_whitened_and_those_asked_for_keep_their_rate(pair, digits, family, fit):
    run, step = opened(pair, digits, family, **fit)
    full, before = run.optimiser.param_groups[0]["lr"], state(run)
    step(1)
    assert not torch.equal(state(run), before)
    assert run.stream.rate == full


def test_a_record_states_the_rate(pair, digits):
    options = {"steps": 4, "eval_every": 2, "device": "cpu", "learning_rate": 0.01}
    adapted = stitch(*pair, "block2", digits, **options)
    plain = stitch(*pair, "block2", digits, adapt_rate=False, **options)
    closed = stitch(*pair, "block2", digits, objective="match", device="cpu")
    rates = [{m["metric"]: m["value"] for m in s.record["metrics"]}.get("rate") for s in (adapted, plain, closed)]
    assert rates[1] == pytest.approx(0.01 * 64 / 16)
    assert rates[1] * LEAST <= rates[0] < rates[1]
    assert rates[2] is None
    assert adapted.record["config"]["fit"]["adapt_rate"] is True
