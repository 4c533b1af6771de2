"""A table of small named networks: what each is like, and which of its layers are cuts and which are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from network.oddities import (
    Constants,
    DeadNoise,
    DropoutReader,
    Fourier,
    Item,
    Likes,
    OddName,
    Regions,
    Select,
    Square,
    Windows,
    odd_dropouts,
)
from network.shapes import (
    Aliases,
    Auxiliary,
    ClassToken,
    Dense,
    Flatten,
    InPlace,
    InPlaceInput,
    Masked,
    Named,
    Positions,
    RawInput,
    Recurrent,
    Repeated,
    Tied,
    TwoEmbeddings,
    UNet,
    residual,
)


@dataclass(frozen=True)
class Case:
    """One network to trace.

    Attributes:
        build: makes the module.
        inputs: a batch of the given size, in the form the module is called with.
        cuts: layers that must be exact cuts.
        refused: layers that must not be, each with a piece of the reason.
        data, output: passed on to ``Network``.
        pick: the chosen output, taken from what the module returns.
        example: batch size of the example.
    """

    build: Callable[[], nn.Module]
    inputs: Callable[[int], Any]
    cuts: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)
    data: str | int | None = None
    output: str | int | None = None
    pick: Callable[[Any], Tensor] = lambda result: result
    example: int = 3


def vectors(n: int) -> Tensor:
    return torch.randn(n, 6)


def images(n: int) -> Tensor:
    return torch.randn(n, 3, 8, 8)


def ids(n: int) -> Tensor:
    return torch.randint(1, 11, (n, 5))


def padded_ids(n: int) -> Tensor:
    found = ids(n)
    found[:, 4] = 0  # 0 is padding
    return found


def chain() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 4))


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.Sequential(nn.Linear(6, 8), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(8, 4))


def normed() -> nn.Module:
    return nn.Sequential(weight_norm(nn.Linear(6, 8)), nn.ReLU(), weight_norm(nn.Linear(8, 4)))


def old_normed() -> nn.Module:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(torch.nn.utils.weight_norm(nn.Linear(6, 8)), nn.ReLU(), nn.Linear(8, 4))


def tokens(n: int) -> Tensor:
    return torch.randn(n, 5, 6)


CASES: dict[str, Case] = {
    "chain": Case(chain, vectors, ("0", "1", "2", "3", "4")),
    "residual": Case(residual, vectors, ("0", "1", "2", "3"), {"1.fc1": "bypassed by 0", "2.act": "bypassed by 1"}),
    "dense": Case(Dense, vectors, ("stem", "head"), {"a": "bypassed by stem", "b": "bypassed by a value"}),
    "unet": Case(UNet, images, ("down", "out"), {"pool": "bypassed by down", "mid": "bypassed by down"}),
    "raw input early": Case(
        lambda: RawInput(False), vectors, (), {"fc1": "bypassed by again", "fc2": "bypassed by again"}
    ),
    "raw input late": Case(lambda: RawInput(True), vectors, (), {"fc1": "the input '0'", "fc2": "bypassed by"}),
    "raw input bare": Case(lambda: RawInput(True, False), vectors, (), {"fc1": "the input '0'"}),
    "second embedding early": Case(lambda: TwoEmbeddings(False), ids, ("head",), {"one": "two", "fc": "two"}),
    "second embedding late": Case(lambda: TwoEmbeddings(True), ids, ("head",), {"one": "meets parameters again"}),
    "in place": Case(InPlace, images, ("conv1", "bn1", "relu", "relu#2", "fc"), {"conv2": "bypassed by relu"}),
    "in place on the input": Case(InPlaceInput, vectors, ("fc1", "fc2")),
    "repeated": Case(Repeated, vectors, ("fc", "relu", "fc#2", "relu#2", "head")),
    "class token": Case(ClassToken, images, ("patch", "norm", "head"), {"attention": "bypassed", "mlp": "bypassed"}),
    "side mask": Case(
        lambda: Masked(True),
        lambda n: (ids(n), (torch.rand(n, 5) > 0.3) | (torch.arange(5) == 0)),
        ("embed_norm", "head"),
    ),
    "mask of ids": Case(lambda: Masked(False), padded_ids, ("embed", "embed_norm", "head"), {"qkv": "embed_norm"}),
    "positions": Case(Positions, lambda n: (vectors(n), torch.arange(3)), ("fc", "mid", "head")),
    "positions as long as the batch": Case(
        Positions, lambda n: (vectors(n), torch.arange(3)), ("fc", "mid"), example=3
    ),
    "square mask": Case(Square, lambda n: (ids(n), torch.rand(5, 5)), ("embed", "head"), {"fc": "embed"}, example=5),
    "dict input": Case(
        lambda: Named("dict"), lambda n: {"x": vectors(n), "scale": 2.0}, ("body", "head"), pick=lambda r: r["logits"]
    ),
    "dict output": Case(
        lambda: Named("dict"),
        vectors,
        ("body", "aux"),
        {"head": "does not reach"},
        output="aux",
        pick=lambda r: r["aux"],
    ),
    "dataclass output": Case(
        lambda: Named("dataclass"), vectors, ("body", "head"), {"aux": "does not reach"}, pick=lambda r: r.logits
    ),
    "nested output": Case(lambda: Named("tuple"), vectors, ("body", "head"), output=1, pick=lambda r: r[1][0]),
    "second input": Case(
        Positions, lambda n: {"positions": torch.arange(3), "x": vectors(n)}, ("fc", "mid"), data="x", example=2
    ),
    "auxiliary": Case(
        Auxiliary, vectors, ("body", "late", "head"), {"aux": "does not reach the chosen output"}, pick=lambda r: r[0]
    ),
    "auxiliary chosen": Case(
        Auxiliary, vectors, ("body", "aux"), {"late": "does not reach"}, output=1, pick=lambda r: r[1]
    ),
    "encoder": Case(encoder, tokens, ("0", "1.layers.0", "1", "2"), {"1.layers.0.linear1": "bypassed"}),
    "lstm": Case(lambda: Recurrent(nn.LSTM), ids, ("embed", "cell", "head")),
    "gru": Case(lambda: Recurrent(nn.GRU), ids, ("embed", "cell", "head")),
    "tied": Case(Tied, ids, ("embed", "norm", "head"), {"block": "bypassed by embed"}),
    "aliases": Case(Aliases, vectors, ("first", "keep", "first.0", "first.1", "first.2", "head")),
    "batch of one": Case(chain, vectors, ("0", "4"), example=1),
    "batch of one, tokens": Case(ClassToken, images, ("patch", "norm"), example=1),
    "flatten": Case(Flatten, images, ("conv", "head")),
    "likes": Case(Likes, vectors, ("fc1", "mix", "head")),
    "regions": Case(Regions, vectors, ("fc1", "fc2", "fc3", "head")),
    "fourier": Case(
        Fourier, vectors, ("fc", "head"), {"spectrum": "its numbers are complex, and a stitcher maps real ones"}
    ),
    "weight norm": Case(normed, vectors, ("0", "1", "2")),
    "old weight norm": Case(old_normed, vectors, ("0", "1", "2")),
    "constants": Case(Constants, vectors, ("fc1", "fc2")),
    "item": Case(Item, vectors, (), {"fc1": "bypassed", "fc2": "bypassed"}),
    "windows": Case(Windows, vectors, ("fc", "inner", "head")),
    "odd names": Case(OddName, vectors, ("graph", "meta", "code")),
    "dead noise": Case(DeadNoise, vectors, ("mean", "head"), {"spread": "does not reach"}, pick=lambda r: r[0]),
    "dropout reader": Case(DropoutReader, vectors, ("fc", "head")),
    "odd dropouts": Case(odd_dropouts, vectors, ("0", "1", "2", "3", "4", "5"), {"1.branch": "bypassed by 0"}),
    "select": Case(Select, vectors, ("head",), {"fc": "bypassed"}),
}
