"""Streams that run through one top together: each output is what its own tail gives."""

import pytest
import torch

from modelstitch.engine.fit.options import FitSpec
from modelstitch.engine.senders import NetworkSender, view_of
from modelstitch.engine.sweep import Sweep, open_stream
from modelstitch.engine.tails import Tails
from modelstitch.network import OUTPUT
from modelstitch.stitchers import Affine

CPU = torch.device("cpu")
SEAMS = (("block1", "stem"), ("block1", "block1"), ("block2", "block3"), ("block3", "block3"), ("stem", "block2"))


@pytest.fixture(scope="module")
def sweep(pair, digits):
    return Sweep(NetworkSender(pair[0]), pair[1], digits, FitSpec(batch_size=50), CPU)


def streams(sweep, seams=SEAMS, **more):
    made = []
    for number, (b, t) in enumerate(seams):
        options = {
            "family": Affine,
            "options": {},
            "objective": "match",
            "init": "closed",
            "later": (),
            "device": CPU,
            **more,
        }
        stream = open_stream(number, sweep.sender, sweep.top, b, t, **options)
        stream.stitcher = Affine.random(stream.site, torch.Generator().manual_seed(number)).eval()
        made.append(stream)
    return made


def activations(sweep, batch):
    with torch.no_grad():
        return sweep.sender.open(["stem", "block1", "block2", "block3"], CPU)(batch), view_of(sweep.top, batch, CPU)


@pytest.mark.parametrize("rows", [None, 60])
def test_together_they_give_what_each_gives_alone(sweep, digits, rows):
    found = streams(sweep)
    tails = Tails(found, sweep, "test")
    if rows is not None:
        tails._rows = rows  # a few streams at a time
    batch = next(digits.batches("test", 20))
    below, inputs = activations(sweep, batch)
    seen = []
    with torch.no_grad():
        for stream, stitched, output in tails(below, inputs, None):
            own, values = stream.forward(below[stream.bottom_layer], inputs)
            assert torch.allclose(stitched, own, atol=1e-5)
            assert torch.allclose(output, values[OUTPUT], atol=1e-4)
            seen.append(stream.key)
    assert sorted(seen) == list(range(len(SEAMS)))


def test_what_is_lost_is_left_out(sweep, digits):
    found = streams(sweep)
    batch = next(digits.batches("test", 5))
    below, inputs = activations(sweep, batch)
    with torch.no_grad():
        seen = [s.key for s, *_ in Tails(found, sweep, "test")(below, inputs, None, {id(found[1]), id(found[4])})]
    assert sorted(seen) == [0, 2, 3]


def test_a_stream_with_statistics_of_its_own_runs_alone(sweep, digits):
    found = [
        *streams(sweep, SEAMS[2:4]),
        *streams(sweep, SEAMS[1:2], own=True),
    ]  # two blocks with norms lie behind that seam
    tails = Tails(found, sweep, "test")
    assert [s.seam for s in tails._alone] == [SEAMS[1]]
    batch = next(digits.batches("test", 5))
    below, inputs = activations(sweep, batch)
    with torch.no_grad():
        assert len(list(tails(below, inputs, None))) == 3
