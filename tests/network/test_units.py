"""What a sweep visits: the units that an author repeats, the stem, the pool; in networks of common forms."""

import importlib

import pytest
import torch
from torch import nn

import modelstitch as ms


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.pad = nn.ZeroPad2d(1)
        self.conv1, self.norm1, self.act = nn.Conv2d(width, width, 3), nn.BatchNorm2d(width), nn.ReLU()
        self.conv2, self.drop = nn.Conv2d(width, width, 3, padding=1), nn.Dropout(0.1)

    def forward(self, x):
        return x + self.drop(self.conv2(self.act(self.norm1(self.conv1(self.pad(x))))))


class Plain(nn.Module):
    """A block without a way round it: all that is inside can be cut, and is an inner layer all the same."""

    def __init__(self, width):
        super().__init__()
        self.conv1, self.act, self.pad = nn.Conv2d(width, width, 3, padding=1), nn.ReLU6(), nn.ZeroPad2d(1)
        self.conv2 = nn.Conv2d(width, width, 3)

    def forward(self, x):
        return self.conv2(self.pad(self.act(self.conv1(x))))


class Stage(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.downsample = nn.Conv2d(width, width, 2, 2)
        self.blocks = nn.Sequential(Residual(width), Residual(width))

    def forward(self, x):
        return self.blocks(self.downsample(x))


class Sub(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.one, self.two = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.two(self.one(x).relu())


class Other(Sub):
    pass


class SubLayers(nn.Module):
    """A block of unlike residual pieces, in a list."""

    def __init__(self, width):
        super().__init__()
        self.layer = nn.ModuleList([Sub(width), Other(width)])

    def forward(self, x):
        return self.layer[1](self.layer[0](x))


class Flat(nn.Module):
    def __init__(self):
        super().__init__()
        self.pad, self.conv1, self.bn1, self.relu = nn.ZeroPad2d(1), nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
        self.pool, self.conv2, self.drop, self.fc1 = nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.Dropout(), nn.Linear(24, 8)
        self.fc2 = nn.Linear(8, 10)

    def forward(self, x):
        x = self.pool(self.relu(self.bn1(self.conv1(self.pad(x)))))
        return self.fc2(self.relu(self.fc1(self.drop(self.relu(self.conv2(x)).flatten(1)))))


def stem():
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())


def tail():
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(4, 10)]


class Wrapped(nn.Module):
    """An encoder inside a network inside another, with a head of its own class."""

    def __init__(self):
        super().__init__()
        self.net = nn.Module()
        self.net.embed = nn.Linear(8, 6)
        self.net.encoder = nn.Module()
        self.net.encoder.layer = nn.ModuleList([Sub(6), Sub(6), Sub(6)])
        self.head = nn.Linear(6, 10)

    def forward(self, x):
        x = self.net.embed(x[:, 0])
        for layer in self.net.encoder.layer:
            x = layer(x)
        return self.head(x.mean(1))


class Called(nn.Module):
    """One block, called three times."""

    def __init__(self):
        super().__init__()
        self.embed, self.blocks, self.head = nn.Linear(64, 6), nn.ModuleList([Sub(6)]), nn.Linear(6, 10)

    def forward(self, x):
        x = self.embed(x.flatten(1))
        for _ in range(3):
            x = self.blocks[0](x)
        return self.head(x)


class Attributes(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.block1, self.block2, self.head = stem(), Residual(4), Residual(4), nn.Linear(4, 10)

    def forward(self, x):
        return self.head(self.block2(self.block1(self.stem(x))).mean((2, 3)))


WANTED = {
    "blocks in a list": (
        lambda: nn.Sequential(stem(), nn.Sequential(Residual(4), Residual(4)), *tail()),
        ["0", "1.0", "1.1", "2"],
    ),
    "blocks that nothing goes round": (
        lambda: nn.Sequential(stem(), nn.Sequential(Plain(4), Plain(4)), *tail()),
        ["0", "1.0", "1.1", "2"],
    ),
    "blocks in stages": (
        lambda: nn.Sequential(stem(), nn.ModuleList([Stage(4), Stage(4)])[0], Stage(4), *tail()),
        ["0", "1.blocks.0", "1.blocks.1", "2.blocks.0", "2.blocks.1", "3"],
    ),
    "unlike pieces of a block": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 6), SubLayers(6), SubLayers(6), nn.Linear(6, 10)),
        ["1", "2", "3"],
    ),
    "attributes": (Attributes, ["stem", "block1", "block2"]),
    "layers one by one": (Flat, ["conv1", "pool", "conv2", "fc1"]),
    "inside wrappers": (Wrapped, ["net.embed", "net.encoder.layer.0", "net.encoder.layer.1", "net.encoder.layer.2"]),
    "called again": (Called, ["embed", "blocks.0", "blocks.0#2", "blocks.0#3"]),
    "convolutions with norm and activation": (
        lambda: nn.Sequential(
            *(nn.Sequential(nn.Conv2d(c, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU()) for c in (1, 4)), *tail()
        ),
        ["0", "1", "2"],
    ),
    "a list of layers": (
        lambda: nn.Sequential(
            nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.MaxPool2d(2)), *tail()
        ),
        ["0.0", "0.2", "0", "1"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WANTED)
def test_a_sweep_visits_the_units_of_the_author(name):
    build, wanted = WANTED[name]
    net = ms.Network(build(), torch.randn(2, 1, 8, 8), "net")
    assert net.blocks == wanted
    assert set(net.blocks) <= set(net.cuts)
    for block in wanted:
        assert net.layer(block).name == block


@pytest.mark.slow
def test_networks_of_torchvision():
    models = importlib.import_module("torchvision.models")
    found = {
        n: ms.Network(models.get_model(n, weights=None), torch.randn(2, 3, 64, 64), n).blocks
        for n in ("resnet18", "mobilenet_v2")
    }
    assert found["resnet18"] == ["maxpool", *(f"layer{i}.{j}" for i in (1, 2, 3, 4) for j in (0, 1)), "avgpool"]
    assert found["mobilenet_v2"] == [f"features.{i}" for i in range(19)]
