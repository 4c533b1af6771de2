"""Small networks that end a bottom and begin a top in many ways, and stitches of them with a random map."""

from functools import cache

import torch
from torch import nn

from conftest import Small
from modelstitch import Network, Stitched
from modelstitch.stitchers import Site, family_of


class Tokens(nn.Module):
    """Patches to tokens, a token-wise linear layer, attention-free; the head reads the first token."""

    def __init__(self):
        super().__init__()
        self.embed, self.mix, self.out = nn.Conv2d(1, 6, 4, 4), nn.Linear(6, 6), nn.Linear(6, 10)
        self.norm = nn.LayerNorm(6)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        return self.out(self.mix(self.norm(x))[:, 0])


def plain(padding, groups=1):
    return nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3, padding=padding, groups=groups),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 10),
    )


NETS = {
    "small": lambda: Small(6),
    "valid": lambda: plain(0),
    "padded": lambda: plain(1),
    "grouped": lambda: plain(0, groups=2),
    "tokens": Tokens,
    "flat": lambda: nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 10)),
}


@cache
def network(name, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = NETS[name]().eval()
        for part in module.modules():  # statistics and shifts as if trained
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
                nn.init.normal_(part.weight)
                nn.init.normal_(part.bias)
    return Network(module, torch.zeros(2, 1, 8, 8), f"{name}{seed}")


def drawn(family, bottom, top, below, above, bias=True):
    """A stitched model with a random map."""
    site = Site(bottom.layer(below).channels, top.layer(above).channels, top.layer(above).kind)
    cls, options = family_of(family)
    stitcher = cls.random(site, torch.Generator().manual_seed(3), **options)
    if family == "norm-affine-norm":
        for norm in (stitcher.norm_in, stitcher.norm_out):
            for value in (norm.running_mean, norm.weight, norm.bias, norm.running_var):
                value.data.uniform_(0.5, 2, generator=torch.Generator().manual_seed(4))
    if not bias:
        nn.init.zeros_(stitcher.bias)
    return Stitched(bottom, top, below, above, stitcher.eval(), family=family)


def images(n=5):
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(7))


def close(one, other):
    return (one - other).abs().max() <= 1e-5 * other.abs().max().clamp(min=1)
