"""Embeddings without labels: distances against a plain loop; data that are inputs alone."""

import math

import pytest
import torch
from torch import nn

import modelstitch as ms
from modelstitch.data.tasks import EMBEDDING
from modelstitch.data.tasks.embedding import apart
from modelstitch.errors import DataError


def test_distances_are_those_of_a_plain_loop():
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 20, 5, generator=generator)
    slow = []
    for a, b in zip(one.tolist(), other.tolist()):
        product, sizes = sum(x * y for x, y in zip(a, b)), [math.sqrt(sum(x * x for x in v)) for v in (a, b)]
        slow.append(1 - product / sizes[0] / sizes[1])
    assert apart(one, other).tolist() == pytest.approx(slow, abs=1e-6)
    assert apart(one, one).tolist() == [0.0] * 20
    with pytest.raises(DataError, match=r"An output has shape \(2, 3\), the top's own \(2, 4\)"):
        EMBEDDING.check(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(DataError, match="gives one number for a sample: expected a vector of two numbers or more"):
        EMBEDDING.fits("net", (1,), torch.zeros(1))


def encoder(seed, x):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 16), nn.Tanh(), nn.Linear(16, 8))
    return ms.Network(module.eval(), x[:2], f"encoder{seed}")


def test_encoders_are_stitched_without_a_label(tmp_path):
    x = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    one, two = encoder(0, x), encoder(1, x)
    data = ms.Data(x[:200], x[200:250], x[250:], task="embedding", name="points")
    s = ms.stitch(one, two, at="3", data=data, steps=4, eval_every=2)
    own, got = two(x[250:]), s.predict(x[250:])
    assert s.metrics["error"] == pytest.approx(float(apart(got, own).mean()), abs=1e-6)
    assert s.metrics["top_error"] == 0
    assert "bottom_error" not in s.metrics  # the bottom's own output does not lie in the top's space
    assert s.record.metric("penalty").unit == "cosine distance"
    constant = two(x[200:250]).mean(0).expand_as(own)
    assert s.metrics["chance_error"] == pytest.approx(float(apart(constant, own).mean()), abs=1e-5)
    r = ms.compare(one, two, data=data, layers="3", objective="match", both=False, controls=("random", "shuffled"))
    page = r.report(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "an error of one sample is 1 - the cosine to what the top gives by itself, in cosine distance." in page
    assert "has not learned the task" not in page
    penalty = dict(r.frame.filter(metric="penalty").select("control", "value").iter_rows())
    assert penalty["pair"] < penalty["shuffled"]
