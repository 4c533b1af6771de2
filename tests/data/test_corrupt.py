"""Damaged test inputs: the same in every pass, only the test split, and measured as a second penalty."""

import pytest
import torch

from modelstitch import stitch
from modelstitch.data.corrupt import corrupted
from modelstitch.errors import DataError


def first(data, split="test", n=20):
    return next(iter(data.batches(split, n)))


@pytest.mark.parametrize(("kind", "level"), [("noise", 0.2), ("contrast", 0.5), ("brightness", 0.1)])
def test_only_test_inputs_change_and_always_in_the_same_way(digits, kind, level):
    data = corrupted(digits, kind, level)
    one, again, plain = first(data), first(data, n=7), first(digits)
    assert torch.equal(one.inputs[:7], again.inputs)
    assert torch.equal(one.labels, plain.labels)
    assert 0 < float((one.inputs - plain.inputs).abs().mean()) < 0.5
    assert 0 <= float(one.inputs.min()) <= float(one.inputs.max()) <= 1
    assert torch.equal(first(data, "fit").inputs, first(digits, "fit").inputs)
    assert data.fingerprint != digits.fingerprint


def test_noise_differs_between_samples_and_seeds(digits):
    noise = first(corrupted(digits, "noise", 1e-3)).inputs - first(digits).inputs
    assert not torch.allclose(noise[0], noise[1], atol=1e-5)
    assert not torch.equal(first(corrupted(digits, seed=1)).inputs, first(corrupted(digits)).inputs)


def test_the_second_penalty_is_measured_on_the_second_set(pair, digits):
    second = corrupted(digits, "noise", 0.4)
    s = stitch(*pair, "block2", digits, objective="match", device="cpu", second=second)
    assert s.record["config"]["data"]["second"]["name"] == "digits (noise 0.4)"
    wrong = n = 0
    for batch in second.batches("test", 64):
        wrong += int((s(batch.inputs).argmax(1) != batch.labels).sum())
        n += len(batch)
    assert s.metrics["second_error"] == pytest.approx(100 * wrong / n, abs=1e-9)
    assert s.metrics["second_error"] - s.metrics["second_top_error"] == pytest.approx(s.metrics["second_penalty"])
    assert s.metrics["second_top_error"] > s.metrics["top_error"]


@pytest.mark.parametrize(("kind", "level"), [("fog", 0.2), ("noise", 0.0), ("noise", float("nan"))])
def test_unknown_corruptions_are_refused(digits, kind, level):
    with pytest.raises(DataError, match=r"is unknown: expected noise, contrast, brightness with a level above 0\."):
        corrupted(digits, kind, level)
