"""The loop: each stream takes its own steps, and the state with the best validation error is kept."""

import pytest
import torch

from modelstitch.engine.evaluate import outcomes
from modelstitch.engine.fit.closed import collect, solve
from modelstitch.engine.fit.loop import train
from modelstitch.engine.fit.options import FitSpec
from modelstitch.engine.senders import NetworkSender
from modelstitch.engine.streams import open_stream
from modelstitch.engine.sweep import Sweep
from modelstitch.network import fingerprint
from modelstitch.stitchers import Affine

CPU = torch.device("cpu")


def fitted(pair, digits, objective="task", **options):
    spec = FitSpec(**{"batch_size": 50, "steps": 6, "eval_every": 2, "samples": None, **options})
    ticks = []
    sweep = Sweep(NetworkSender(pair[0]), pair[1], digits, spec, CPU, tick=ticks.append)
    streams = [
        open_stream(
            i,
            sweep.sender,
            sweep.top,
            "block1",
            t,
            family=Affine,
            options={},
            objective=objective,
            init=spec.init,
            later=(),
            device=CPU,
        )
        for i, t in enumerate(("block1", "block3"))
    ]
    collect(streams, sweep)
    solve(streams, sweep)
    starts = [{k: v.clone() for k, v in s.stitcher.state_dict().items()} for s in streams]
    train(streams, sweep)
    return streams, sweep, starts, ticks


def test_the_kept_state_is_the_best_that_was_looked_at(pair, digits):
    before = [fingerprint(network.module) for network in pair]
    streams, sweep, _, _ = fitted(pair, digits, init="random", learning_rate=0.05)
    for stream, outcome in zip(streams, outcomes(streams, sweep, "val")):
        errors = [error for _, error, _ in stream.history]
        assert [step for step, *_ in stream.history] == [0, 2, 4, 6]
        assert outcome.error == pytest.approx(min(errors))
        assert stream.steps in [step for step, error, _ in stream.history if error == min(errors)]
        assert min(errors) < errors[0]  # a random start is not the best
    assert [fingerprint(network.module) for network in pair] == before


def test_a_match_takes_no_step(pair, digits):
    streams, _, starts, _ = fitted(pair, digits, "match")
    for stream, start in zip(streams, starts):
        assert stream.history == []
        assert stream.stopped == "closed form"
        assert all(torch.equal(v, start[k]) for k, v in stream.stitcher.state_dict().items())


def test_patience_ends_a_fit_that_gets_no_better(pair, digits):
    streams, _, starts, ticks = fitted(
        pair, digits, learning_rate=1e-12, adapt_rate=False, steps=40, eval_every=1, patience=2
    )
    for stream, start in zip(streams, starts):
        assert len(stream.history) < 12
        assert all(torch.allclose(v, start[k], atol=1e-5) for k, v in stream.stitcher.state_dict().items())
    assert sum(ticks) >= 40  # what is not done counts as done


def test_two_fits_are_equal(pair, digits):
    one, other = (fitted(pair, digits)[0] for _ in range(2))
    for a, b in zip(one, other):
        assert a.history == b.history
        assert all(
            torch.equal(x, y) for x, y in zip(a.stitcher.state_dict().values(), b.stitcher.state_dict().values())
        )
