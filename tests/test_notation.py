"""Seams as text: networks, layers, and layers whose names hold the marks themselves."""

import pytest
import torch
from torch import nn

import modelstitch as ms
from modelstitch.cli.common import split_seam_end
from modelstitch.notation import Seam, matched, parse

READ = {
    "layer2": Seam("", "layer2", "", "layer2"),
    "layer2 -> blocks.4": Seam("", "layer2", "", "blocks.4"),
    "a@layer2->b@blocks.4": Seam("a", "layer2", "b", "blocks.4"),
    "resnet@v2@layer2 -> b@x": Seam("resnet@v2", "layer2", "b", "x"),
    '"in->out"': Seam("", "in->out", "", "in->out"),
    '"in->out" -> a@"x@y"': Seam("", "in->out", "a", "x@y"),
    'resnet@v2@" -> " -> b@x': Seam("resnet@v2", " -> ", "b", "x"),
}


@pytest.mark.parametrize("text", READ)
def test_what_is_read_is_written_and_read_again(text):
    assert parse(text) == READ[text]
    assert parse(str(READ[text])) == READ[text]


@pytest.mark.parametrize("text", ["", "a -> b -> c", "a ->", "a@ -> b@x", '"" -> b', "a->b->a->b"])
def test_what_cannot_be_read_is_refused(text):
    with pytest.raises(ms.StitchError, match=r"in double quotes|names no layer"):
        parse(text)


def test_the_command_line_takes_quoted_layers():
    assert split_seam_end("zoo:resnet20@block3") == ("zoo:resnet20", "block3")
    assert split_seam_end('mine@v2@"in->out"') == ("mine@v2", "in->out")
    for text in ("zoo:resnet20", "@block3", "zoo:resnet20@"):
        with pytest.raises(ms.StitchError):
            split_seam_end(text)


def test_layers_whose_names_hold_the_marks_can_be_asked_for():
    names = ("in->out", "x@y")
    pair = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        module = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))
        for child, name in ((1, names[0]), (2, names[1])):
            module._modules[name] = module._modules[str(child)]
        order = ["0", *names, "3"]
        module._modules = {name: module._modules[name] for name in order}
        pair.append(ms.Network(module, torch.randn(4, 1, 8, 8), f"net{seed}"))
    data = ms.load_data("digits", limit=200)
    found = ms.stitch(*pair, names, data, objective="match", samples=100, device="cpu")
    assert found.seam == 'net0@"in->out" -> net1@"x@y"'
    same = ms.stitch(*pair, '"in->out" -> "x@y"', data, objective="match", samples=100, device="cpu")
    assert same.penalty == found.penalty
    compared = ms.compare(
        *pair, data=data, layers=[names, '"x@y"'], objective="match", controls=(), samples=100, device="cpu"
    )
    assert set(compared.frame["bottom_layer"]) | set(compared.frame["top_layer"]) == set(names)


BLOCKS = ["stem", "layer1.0", "layer1.1", "layer2.0", "a[0]"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("layer1.0", ["layer1.0"]),
        ("layer*", ["layer1.0", "layer1.1", "layer2.0"]),
        ("layer?.0", ["layer1.0", "layer2.0"]),
        ("a[*", ["a[0]"]),
        ("*", BLOCKS),
        ("named*", ["named*"]),  # a layer of that very name is no pattern
    ],
)
def test_patterns_of_layers(pattern, found):
    assert matched(pattern, BLOCKS, {*BLOCKS, "named*"}, "a") == found


def test_a_pattern_that_fits_nothing_is_refused():
    with pytest.raises(
        ms.errors.UnknownLayerError, match=r"No block cut of the network 'a' fits 'lay\?': expected a pat"
    ):
        matched("lay?", BLOCKS, BLOCKS, "a")
