"""Class noise knows the label and nothing else, at the scale of genuine activations."""

import pytest
import torch
from torch.utils.data import TensorDataset

from modelstitch import Data
from modelstitch.engine.controls.classnoise import ClassNoise
from modelstitch.engine.senders import open_whole, view_of
from modelstitch.errors import DataError, StitchError
from modelstitch.stitchers import rows

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def top(pair):
    return pair[0]


def first(data, n=400):
    return next(data.batches("fit", n))


def test_channels_have_the_scale_of_genuine_activations(top, digits):
    batch = first(digits)
    made = ClassNoise(top, digits).open(["block1"], CPU)(batch)["block1"]
    with torch.no_grad():
        genuine = top.taps(["block1"])(view_of(top, batch, CPU))["block1"]
    made, genuine = rows(made, "map"), rows(genuine, "map")
    assert torch.allclose(made.mean(0), genuine.mean(0), atol=0.15 * float(genuine.std()))
    assert torch.allclose(made.std(0), genuine.std(0), rtol=0.15)


def test_samples_of_a_class_share_all_but_the_noise(top, digits):
    batch = first(digits)
    quiet = ClassNoise(top, digits, noise=0.0).open(["block1"], CPU)(batch)["block1"]
    for label in range(10):
        same = quiet[batch.labels == label]
        assert torch.equal(same, same[:1].expand_as(same))
    assert len({tuple(x.flatten()[:5].tolist()) for x in quiet}) == 10


def test_what_a_layer_gets_depends_on_seed_and_samples_alone(top, digits):
    batch = first(digits, 32)
    alone = ClassNoise(top, digits).open(["block2"], CPU)(batch)["block2"]
    beside = ClassNoise(top, digits).open(["block1", "block2", "block2"], CPU)(batch)
    assert list(beside) == ["block1", "block2"]
    assert torch.equal(beside["block2"], alone)
    assert not torch.equal(ClassNoise(top, digits, seed=1).open(["block2"], CPU)(batch)["block2"], alone)


def test_it_is_no_network(top, digits):
    noise = ClassNoise(top, digits)
    assert not noise.gives(top)
    assert noise.layer("block1") is top.layer("block1")
    with pytest.raises(StitchError, match="class-noise is no network and has no output to distill from: expected targ"):
        open_whole(noise, CPU)


def test_sequences_have_no_class(top):
    sets = (TensorDataset(torch.zeros(4, 1, 8, 8) + i, torch.zeros(4, 3, dtype=torch.int64)) for i in range(3))
    with pytest.raises(DataError, match="one class label per sample; leave it out for sequences"):
        ClassNoise(top, Data(*sets))
