"""A map folds where the algebra allows it; where not, the operation is named."""

import pytest
import torch
from torch import nn

from modelstitch import Network, Stitched, stitch
from modelstitch.errors import FoldError
from modelstitch.network import fingerprint
from modelstitch.stitchers import Affine, Site, family_of
from stitched.nets import close, drawn, images, network


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nets", "below", "above", "family", "bias", "into"),
    [
        (("small", "small"), "stem.0", "stem", "affine", True, "bottom: stem.0"),
        (("small", "small"), "stem.1", "block2", "affine", True, "bottom: stem.0"),  # past a frozen BatchNorm, resized
        (("small", "small"), "block3", "block3", "affine", True, "top: head"),  # past average pooling
        (("small", "small"), "block3", "block3", "norm-affine-norm", True, "top: head"),
        (("small", "small"), "block2", "block3", "low-rank:2", True, "top: head"),
        (("small", "small"), "block3", "block3", "conv:1", True, "top: head"),
        (("valid", "valid"), "1", "1", "affine", True, "top: 2"),
        (("padded", "padded"), "1", "1", "affine", False, "top: 2"),  # no bias: the padding stays 0
        (("padded", "valid"), "3", "4", "affine", True, "top: 6"),
        (("tokens", "tokens"), "mix", "norm", "affine", True, "bottom: mix"),
        (("small", "tokens"), "block3", "norm", "affine", True, "top: mix"),  # a map into tokens
        (("tokens", "small"), "embed", "block3", "affine", True, "bottom: embed"),
    ],
)
def test_a_folded_map_is_the_same_function(nets, below, above, family, bias, into):
    bottom, top = network(nets[0]), network(nets[1], 1)
    before = fingerprint(bottom.module), fingerprint(top.module)
    s = drawn(family, bottom, top, below, above, bias)
    folded = s.fold()
    assert folded.into == (into,)
    assert close(folded(images()), s(images()))
    assert not any("stitcher" in name for name, _ in folded.named_parameters())
    assert (fingerprint(bottom.module), fingerprint(top.module)) == before
    assert close(s(images()), drawn(family, bottom, top, below, above, bias)(images())), "the original is left alone"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nets", "below", "above", "family", "words"),
    [
        (("small", "small"), "stem", "stem", "affine", ("bottom ends with relu", "add")),
        (("padded", "padded"), "1", "1", "affine", ("conv2d of '2' pads with zeros and the map has a bias",)),
        (("grouped", "grouped"), "1", "1", "affine", ("conv2d of '2' has 2 groups",)),
        (("flat", "flat"), "1", "1", "affine", ("linear of '3' reads 216 values, the map gives 6 channels",)),
        (("small", "tokens"), "block3", "embed", "affine", ("stands between the map and the next layer",)),
        (("small", "small"), "block3", "block3", "mlp:4", ("family 'mlp:4'", "is not one affine map")),
        (("small", "small"), "block3", "block3", "conv:3", ("family 'conv:3'", "is not one affine map")),
    ],
)
def test_what_cannot_be_folded_is_refused_by_name(nets, below, above, family, words):
    s = drawn(family, network(nets[0]), network(nets[1], 1), below, above)
    with pytest.raises(FoldError) as error:
        s.fold()
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_several_readers_all_take_the_map_in():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU())
            self.left, self.right = nn.Conv2d(6, 4, 3), nn.Conv2d(6, 4, 3, bias=False)
            self.head = nn.Linear(4, 10)

        def forward(self, x):
            x = self.first(x)
            return self.head((self.left(x) * self.right(x)).mean((2, 3)))

    net = Network(Two().eval(), torch.zeros(2, 1, 8, 8), "two")
    s = drawn("affine", network("valid"), net, "1", "first")
    folded = s.fold()
    assert set(folded.into) == {"top: left", "top: right"}
    assert close(folded(images()), s(images()))


def test_norm_affine_norm_always_collapses_to_one_affine_map():
    bottom, top = network("small"), network("small", 1)
    for layer in bottom.blocks:
        s = drawn("norm-affine-norm", bottom, top, layer, layer)
        flat = s.collapsed()
        assert isinstance(flat.stitcher, Affine)
        assert close(flat(images()), s(images()))
        assert s.stitcher.family == "norm-affine-norm"


def test_the_identity_has_nothing_to_fold():
    net = network("small")
    s = Stitched(net, net, "block1", "block1", family_of("identity")[0](Site(6, 6, "map")), family="identity")
    assert s.fold().into == ()
    assert torch.equal(s.fold()(images()), net(images()))


def test_moved_statistics_fold_like_the_donors(pair, digits):
    s = stitch(*pair, "stem.1 -> stem", digits, normalisation="recalibrated", objective="match", device="cpu")
    assert s.fold().into == ("bottom: stem.0",)
    assert close(s.fold()(images()), s(images()))
