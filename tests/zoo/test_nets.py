"""The nets of the zoo: shapes, names of cuts, parameter counts known from the articles, seeds, refusals."""

from __future__ import annotations

import pytest
import torch

from modelstitch.errors import SourceError
from modelstitch.zoo.nets import NETS, build, format_net, parse_net

CASES = {
    "small-resnet": (1, 8, ["stem", *[f"block{i}" for i in range(1, 6)], "pool", "head"]),
    "preact-resnet18?width=8": (3, 32, ["stem", *[f"block{i}" for i in range(1, 9)], "pool", "head"]),
    "resnet20?width=4": (3, 32, ["stem", *[f"block{i}" for i in range(1, 10)], "pool", "head"]),
    "resnet32?width=4": (3, 32, ["stem", *[f"block{i}" for i in range(1, 16)], "pool", "head"]),
    "resnet56?width=4": (3, 32, ["stem", *[f"block{i}" for i in range(1, 28)], "pool", "head"]),
    "resnet164?width=4": (3, 32, ["stem", *[f"block{i}" for i in range(1, 55)], "norm", "pool", "head"]),
    "myrtle?width=4": (3, 32, [f"{k}{i}" for i in range(1, 6) for k in ("conv", "act")] + ["pool", "head"]),
    "vgg11?width=4": (3, 32, [*[f"block{i}" for i in range(1, 9)], "pool", "head"]),
    "vgg16?width=4": (3, 32, [*[f"block{i}" for i in range(1, 14)], "pool", "head"]),
    "vit?dim=24&depth=2": (3, 32, None),
    "fcn?width=4": (1, 8, ["stem", "block1", "block2", "block3", "head"]),
    "mlp?width=4": (5, None, ["layer1", "layer2", "layer3", "head"]),
}
OTHERS = {"fcn": (7, 8, 8)}  # what comes out for a sample, where it is not one score a class


@pytest.mark.parametrize("spec", CASES)
def test_shapes_and_names(spec):
    channels, side, names = CASES[spec]
    net = build(spec, classes=7, in_channels=channels).eval()
    example = torch.rand(2, channels) if side is None else torch.rand(2, channels, side, side)
    assert net(example).shape == (2, *OTHERS.get(parse_net(spec)[0], (7,)))
    if names is not None:
        assert [name for name, _ in net.named_children()] == names


def test_every_net_has_a_case():
    assert {parse_net(spec)[0] for spec in CASES} == set(NETS)


@pytest.mark.parametrize(
    ("spec", "millions"),
    # He et al. 2016a: 0.27, 0.46 and 0.85; He et al. 2016b: 1.7; the pre-activation ResNet-18 of width 64: 11.2.
    [("resnet20", 0.27), ("resnet32", 0.46), ("resnet56", 0.86), ("resnet164", 1.7), ("preact-resnet18", 11.2)],
)
def test_parameter_counts(spec, millions):
    count = sum(p.numel() for p in build(spec).parameters()) / 1e6
    assert count == pytest.approx(millions, rel=0.03)


def test_seeds_and_the_global_generator():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, two, other = (build("small-resnet", seed=s).stem[0].weight for s in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_plain_data_and_text_name_the_same_net():
    assert parse_net("zoo:preact-resnet18?width=16") == ("preact-resnet18", {"width": 16})
    one = build({"net": "small-resnet", "width": 8}, seed=1).state_dict()
    two = build(format_net(*parse_net("small-resnet?width=8")), seed=1).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("preact-resnet8", "no net 'preact-resnet8': did you mean 'preact-resnet18'"),
        ("zzz", "no net 'zzz': expected one of small-resnet"),
        ("small-resnet?widht=3", "no option 'widht': did you mean 'width'"),
        ("small-resnet?width=a", "option 'width=a' of .* cannot be read: expected 'name=number'"),
        ("small-resnet?width=0", "option 'width=0'"),
    ],
)
def test_refusals(spec, message):
    with pytest.raises(SourceError, match=message):
        build(spec)
