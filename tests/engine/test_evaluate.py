"""Stitches held against labels and against genuine activations, as a slow loop counts them."""

import numpy as np
import pytest
import torch

from modelstitch import stitch
from modelstitch.engine.evaluate import SplitPart, final
from modelstitch.engine.fit.closed import collect, solve
from modelstitch.engine.fit.options import FitSpec
from modelstitch.engine.senders import NetworkSender, view_of
from modelstitch.engine.sweep import Sweep, open_stream
from modelstitch.stitchers import Affine, rows
from modelstitch.support.resume import Unfinished

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def stitched(pair, digits):
    return stitch(*pair, "block2", digits, objective="match", samples=400)


def activations(stitched, pair, digits):
    """(stitched, genuine) activations and outputs over the test split, by a plain loop."""
    bottom, top = pair
    below, tail = bottom.bottom("block2"), top.top("block2")
    made, genuine, answers = [], [], []
    with torch.no_grad():
        for batch in digits.batches("test", 100):
            x = stitched.stitcher(below(view_of(bottom, batch, CPU)))
            made.append(x)
            genuine.append(top.bottom("block2")(view_of(top, batch, CPU)))
            answers.append(tail(x).argmax(1) == batch.labels)
    return torch.cat(made).double(), torch.cat(genuine).double(), torch.cat(answers)


def test_the_numbers_are_those_of_a_slow_loop(stitched, pair, digits):
    made, genuine, right = activations(stitched, pair, digits)
    found = {m.name: m.known for m in stitched.record.metrics}
    assert found["error"] == pytest.approx(100 * float((~right).double().mean()), abs=0.2)
    x, y = rows(made, "map").numpy(), rows(genuine, "map").numpy()
    relative = np.square(x - y).sum() / np.square(y - y.mean(0)).sum()
    assert found["relative_mse"] == pytest.approx(relative, rel=1e-3)
    assert found["r2"] == pytest.approx(1 - relative, abs=1e-3)
    a, b = x - x.mean(0), y - y.mean(0)
    cka = np.square(a.T @ b).sum() / np.sqrt(np.square(a.T @ a).sum() * np.square(b.T @ b).sum())
    assert found["cka"] == pytest.approx(cka, abs=1e-3)


def test_genuine_activations_are_not_foreign(pair, digits):
    top = pair[1]
    own = stitch(top, top, "block2", digits, family="identity", objective="match", samples=400)
    found = {m.name: m.known for m in own.record.metrics}
    assert found["penalty"] == 0
    assert found["ood"] == pytest.approx(1.0)
    assert found["collapsed_share"] == pytest.approx(1.0, abs=1.0)
    assert found["ood_share"] == pytest.approx(1.0, abs=1.0)  # one percent lie beyond the 99th percentile
    assert found["relative_mse"] == pytest.approx(0.0, abs=1e-9)
    assert found["agreement_top"] == 100


class Lost(torch.nn.Module):
    """A map that is not affine, and gives no finite number."""

    def forward(self, x):
        return x * float("nan")


def test_a_stream_that_was_lost_before_a_kill_stays_lost(pair, digits, tmp_path, monkeypatch):
    below, top = pair
    monkeypatch.setattr(Unfinished, "due", True)

    def part():
        sweep = Sweep(NetworkSender(below), top, digits, FitSpec(samples=200), CPU)
        streams = [
            open_stream(
                name,
                sweep.sender,
                top,
                "block2",
                "block2",
                family=Affine,
                options={},
                objective="match",
                init="closed",
                later=(),
                device=CPU,
            )
            for name in ("whole", "broken")
        ]
        collect(streams, sweep)
        solve(streams, sweep)
        streams[1].stitcher = Lost()
        return SplitPart(sweep, streams, {top.name: top, below.name: below})

    class Stopping(Unfinished):
        def write(self, state):
            super().write(state)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        final([part()], Stopping(tmp_path / "state"))
    left = part()
    left.streams[1].stitcher.forward = lambda x: pytest.fail("a lost stream was run")
    ((results, own),) = final([left], Unfinished(tmp_path / "state"))
    ((wanted, whole),) = final([part()])
    assert results[1] is wanted[1] is None
    assert "the stitch block2 -> block2 holds NaN" in left.streams[1].failed
    for found, straight in ((results[0][0], wanted[0][0]), *((own[name], whole[name]) for name in own)):
        assert torch.equal(found.ids, straight.ids)
        assert torch.equal(found.errors, straight.errors)
        assert torch.equal(found.losses, straight.losses)
    assert results[0][1] == wanted[0][1]
