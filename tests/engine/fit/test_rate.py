"""How fast a stream's whitened steps are: full where the start is far from its goal, a quarter where it is near."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from modelstitch import Data, Network, stitch
from modelstitch.data.subsets import Tokens
from modelstitch.engine.evaluate import own_error
from modelstitch.engine.fit.closed import collect, solve
from modelstitch.engine.fit.loop import train
from modelstitch.engine.fit.options import FitSpec
from modelstitch.engine.fit.rate import LEAST, pace
from modelstitch.engine.fit.run import Run
from modelstitch.engine.senders import NetworkSender
from modelstitch.engine.streams import open_stream
from modelstitch.engine.sweep import Sweep
from modelstitch.stitchers import family_of
from modelstitch.zoo.train import error_rate

CASES = {
    "as good as the top": (10.0, 10.0, 90.0, LEAST),
    "better than the top": (8.0, 10.0, 90.0, LEAST),
    "an eighth lost": (20.0, 10.0, 90.0, LEAST),
    "a quarter lost": (30.0, 10.0, 90.0, 0.5),
    "half lost": (50.0, 10.0, 90.0, 1.0),
    "worse than chance": (95.0, 10.0, 90.0, 1.0),
    "a top that knows nothing": (90.0, 90.0, 90.0, 1.0),
    "nats": (4.0, 3.0, 7.0, 0.5),
}


@pytest.mark.parametrize("case", CASES)
def test_the_rate_grows_with_what_the_start_has_lost(case):
    error, own, chance, factor = CASES[case]
    assert pace(error, own, chance) == pytest.approx(factor)


def sweep_of(pair, digits, **fit):
    bottom, top = pair
    return Sweep(NetworkSender(bottom), top, digits, FitSpec(augment=False, **fit), torch.device("cpu"))


def fitted(pair, digits, family="affine", init="closed", **fit):
    """A stream after a few steps, and the rates of its run: before the first step, and at every later one."""
    sweep = sweep_of(pair, digits, **{"steps": 4, "eval_every": 2, **fit})
    cls, options = family_of(family)
    stream = open_stream(
        family,
        sweep.sender,
        sweep.top,
        "block2",
        "block2",
        family=cls,
        options=options,
        objective="task",
        init=init,
        later=(),
        device=sweep.device,
    )
    collect([stream], sweep)
    solve([stream], sweep)
    full, rates = [], []
    begin, step = Run.__init__, Run.step

    def begun(self, *args, **kwargs):
        begin(self, *args, **kwargs)
        full.append(self.optimiser.param_groups[0]["lr"])

    def stepped(self, *args):
        rates.append(self.optimiser.param_groups[0]["lr"])
        step(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "__init__", begun)
        patch.setattr(Run, "step", stepped)
        train([stream], sweep)
    return stream, full[0], rates


def test_the_tops_own_error_and_chance(pair, digits):
    own, chance = own_error(sweep_of(pair, digits))
    assert own == pytest.approx(error_rate(pair[1].module, digits, "val"), abs=1e-6)
    assert chance == 90.0


@pytest.mark.parametrize("init", ["closed", "random"])
def test_a_run_takes_the_rate_of_its_start_and_keeps_it(pair, digits, init):
    stream, full, rates = fitted(pair, digits, init=init)
    own, chance = own_error(sweep_of(pair, digits))
    factor = pace(stream.history[0][1], own, chance)
    assert factor == 1.0 if init == "random" else factor < 1
    assert stream.rate == pytest.approx(full * factor)
    cosine = [0.5 * (1 + math.cos(math.pi * step / 4)) for step in range(4)]
    assert rates == pytest.approx([full * factor * c for c in cosine])


@pytest.mark.parametrize(
    ("family", "fit"),
    [("affine", {"adapt_rate": False}), ("affine", {"whiten": False}), ("norm-affine-norm", {}), ("mlp:8", {})],
)
def test_steps_that_are_not_whitened_and_those_asked_for_keep_their_rate(pair, digits, family, fit):
    stream, full, rates = fitted(pair, digits, family, **fit)
    assert stream.rate == rates[0] == full


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


class Reader(nn.Module):
    """The next of 12 tokens from this one alone."""

    def __init__(self):
        super().__init__()
        self.embed, self.middle, self.out = nn.Embedding(12, 8), nn.Linear(8, 8), nn.Linear(8, 12)

    def forward(self, ids):
        return self.out(self.middle(self.embed(ids)).relu())


def test_in_nats_chance_is_the_logarithm_of_the_vocabulary():
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 12, (90, 5), generator=draw)
    labels = ids.roll(-1, 1)
    labels[:, -1] = -100
    parts = [Tokens(ids[i : i + 30], torch.ones_like(ids[i : i + 30]), labels[i : i + 30]) for i in (0, 30, 60)]
    module = Reader().eval()
    top = Network(module, ids[:2], "reader", view=lambda inputs: inputs["input_ids"])
    sweep = Sweep(NetworkSender(top), top, Data(*parts, n_classes=12), FitSpec(), torch.device("cpu"))
    own, chance = own_error(sweep)
    with torch.no_grad():
        expected = F.cross_entropy(module(ids[30:60])[:, :-1].flatten(0, 1), labels[30:60, :-1].flatten())
    assert own == pytest.approx(float(expected), abs=1e-5)
    assert chance == pytest.approx(math.log(12))
