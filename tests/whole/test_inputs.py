"""Inputs of several tensors, in every form that a network is called in: the same numbers."""

from __future__ import annotations

from collections import UserDict

import pytest
import torch
from torch import nn

import modelstitch as ms

pytestmark = pytest.mark.slow


class Scaled(nn.Module):
    """A second input that belongs to each sample."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first, self.norm, self.head = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.first(x * scale)).relu())


def data(form) -> ms.Data:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 6, generator=generator)
    scale = torch.rand(400, 1, generator=generator) + 0.5
    samples = [(form(x=x[i], scale=scale[i]), int((x[i] * scale[i]).sum() > 0)) for i in range(400)]
    return ms.Data(samples[:200], samples[200:300], samples[300:])


def networks(form, view=None) -> list[ms.Network]:
    example = form(x=torch.ones(2, 6), scale=torch.ones(2, 1))
    return [ms.Network(Scaled(seed).eval(), example, "ab"[seed], view=view) for seed in range(2)]


def results(nets, samples) -> list:
    options = {"layers": ["norm"], "controls": ("random", "self"), "both": False, "steps": 4, "batch_size": 64}
    table = ms.matrix(*nets, samples).frame
    return [
        *({k: record[k] for k in ("metrics", "notes")} for record in ms.compare(*nets, samples, **options).records),
        table["value"].to_list(),
    ]


@pytest.fixture(scope="module")
def wanted():
    return results(networks(dict), data(dict))


def named(inputs) -> UserDict:
    return UserDict(x=inputs["x"], scale=inputs["scale"])


def pair(**parts):
    return tuple(parts.values())


CASES = {
    "samples are tuples": lambda: (networks(pair), data(pair)),
    "samples are tuples that a view names": lambda: (
        networks(dict, lambda pair: dict(zip(("x", "scale"), pair))),
        data(pair),
    ),
    "example is a mapping that is no dict": lambda: (networks(UserDict), data(dict)),
    "view gives a mapping that is no dict": lambda: (networks(dict, named), data(dict)),
    "samples are mappings that are no dicts": lambda: (networks(dict), data(UserDict)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_form_of_inputs_changes_no_number(case, wanted):
    assert results(*CASES[case]()) == wanted
