"""A table of small named networks: what each is like, and which of its layers are cuts and which are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


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


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc2(self.act(self.fc1(x)))


def residual() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 6), Residual(), Residual(), nn.Linear(6, 4))


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b, self.head = nn.Linear(6, 4), nn.Linear(4, 4), nn.Linear(8, 4), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.cat([x, self.a(x)], 1)
        x = torch.cat([x, self.b(x)], 1)
        return self.head(x)


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.pool, self.mid = nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(4, 4, 1)
        self.up, self.out = nn.ConvTranspose2d(4, 4, 2, 2), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.down(x)
        return self.out(torch.cat([self.up(self.mid(self.pool(skip))), skip], 1))


class RawInput(nn.Module):
    """The raw input is read again; ``late`` only moves the line where that stands."""

    def __init__(self, late: bool, parameter: bool = True) -> None:
        super().__init__()
        self.fc1, self.fc2, self.again = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.late, self.parameter = late, parameter

    def side(self, x: Tensor) -> Tensor:
        return self.again(x) if self.parameter else x

    def forward(self, x: Tensor) -> Tensor:
        if self.late:
            h = self.fc1(x)
            return self.fc2(h) + self.side(x)
        side = self.side(x)
        return self.fc2(self.fc1(x)) + side


class TwoEmbeddings(nn.Module):
    def __init__(self, late: bool) -> None:
        super().__init__()
        self.one, self.two, self.fc, self.head = (
            nn.Embedding(11, 6),
            nn.Embedding(11, 6),
            nn.Linear(6, 6),
            nn.Linear(6, 4),
        )
        self.late = late

    def forward(self, ids: Tensor) -> Tensor:
        if self.late:
            h = self.fc(self.one(ids))
            return self.head(h + self.two(ids))
        two = self.two(ids)
        return self.head(self.fc(self.one(ids)) + two)


class InPlace(nn.Module):
    """In-place activations, on a tapped value and on the input itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.conv2, self.fc = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.bn1(self.conv1(x))
        y = self.relu(h)  # h is overwritten
        y += self.conv2(y)
        return self.fc(self.relu(y).mean((2, 3)))


class InPlaceInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x -= 0.5
        return self.fc2(self.fc1(x).relu_())


class Repeated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.relu, self.head = nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.fc(self.relu(self.fc(x)))))


class ClassToken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch, self.norm = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8)
        self.token, self.position = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, 5, 8))
        self.attention, self.mlp, self.head = (
            nn.MultiheadAttention(8, 2, batch_first=True),
            nn.Linear(8, 8),
            nn.Linear(8, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.patch(x).flatten(2).transpose(1, 2)
        h = torch.cat([self.token.expand(x.shape[0], -1, -1), h], 1) + self.position
        h = h + self.attention(h, h, h, need_weights=False)[0]
        return self.head(self.norm(h + self.mlp(h))[:, 0])


class Masked(nn.Module):
    """Attention whose mask is a side input, or is made of the ids themselves."""

    def __init__(self, side: bool) -> None:
        super().__init__()
        self.embed, self.qkv, self.out, self.head = (
            nn.Embedding(11, 8),
            nn.Linear(8, 24),
            nn.Linear(8, 8),
            nn.Linear(8, 4),
        )
        self.embed_norm = nn.LayerNorm(8)
        self.side = side

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        keep = mask.bool() if self.side and mask is not None else ids != 0
        h = self.embed_norm(self.embed(ids))
        q, k, v = self.qkv(h).view(ids.size(0), -1, 3, 8).unbind(2)
        attended = F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], keep[:, None, None, :])
        h = h + self.out(attended[:, 0])
        weight = keep.to(h.dtype).unsqueeze(-1)
        return self.head((h * weight).sum(1) / weight.sum(1))


class Positions(nn.Module):
    """Positions as a side input: their embedding meets parameters but not the data."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.position, self.mid, self.head = (
            nn.Linear(6, 6),
            nn.Embedding(3, 6),
            nn.Linear(6, 6),
            nn.Linear(6, 4),
        )

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        h = self.fc(x)
        return self.head(self.mid(h) + self.position(positions).sum(0))


class Named(nn.Module):
    def __init__(self, form: str) -> None:
        super().__init__()
        self.body, self.head, self.aux = nn.Linear(6, 6), nn.Linear(6, 4), nn.Linear(6, 2)
        self.form = form

    def forward(self, x: Tensor, scale: float = 1.0) -> Any:
        h = self.body(x) * scale
        logits, aux = self.head(h), self.aux(h)
        if self.form == "dict":
            return {"aux": aux, "loss": None, "logits": logits}
        if self.form == "dataclass":
            return Answer(aux, logits)
        return aux, (logits, h)


@dataclass
class Answer:
    aux: Tensor
    logits: Tensor


class Auxiliary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.late, self.aux, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 2), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        aux = self.aux(h)
        return self.head(self.late(h)), aux


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.embed, self.cell, self.head = nn.Embedding(11, 6), kind(6, 5, batch_first=True), nn.Linear(5, 4)

    def forward(self, ids: Tensor) -> Tensor:
        found, _ = self.cell(self.embed(ids))
        return self.head(found[:, -1])


class Tied(nn.Module):
    """A language model whose head is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.block, self.norm = nn.Embedding(11, 6), nn.Linear(6, 6), nn.LayerNorm(6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        h = self.embed(ids)
        return self.head(self.norm(h + self.block(h)))


class Aliases(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Sequential(nn.Linear(6, 6), nn.Identity(), nn.Dropout(0.5)), nn.Linear(6, 4)
        self.keep = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.keep(self.first(x)))


class Flatten(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 2, 3, padding=1), nn.Linear(128, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).relu().view(x.size(0), -1))


class Likes(nn.Module):
    """Tensors made in forward that need only the shape of a value of the sample."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.mix, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc1(x)
        state, bias = torch.zeros_like(h), h.new_ones(h.size(0), 6)
        rest = torch.full_like(x, 0.5) + x.new_zeros(x.shape) + torch.empty_like(x).fill_(2.0)
        h = self.mix(h) + state + bias
        return self.head(h.tanh() + rest)


class Regions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            h = self.fc1(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            h = self.fc2(h)
        with torch.autocast("cpu", enabled=False):
            h = self.fc3(h.float())
        return self.head(h)


class Fourier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.spectrum, self.head = nn.Linear(6, 6), Spectrum(), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.fft.irfft(self.spectrum(self.fc(x)), n=6))


class Spectrum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.randn(4, dtype=torch.complex64))

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft(x) * self.filter


class Constants(nn.Module):
    """Buffers, plain tensor attributes and a constant made in forward."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.arange(1.0, 7.0))
        self.register_buffer("hidden", torch.randn(6), persistent=False)
        self.plain = torch.randn(6)
        self.fc1, self.fc2 = nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc1(x * self.scale) + self.plain + torch.tensor([1.0, 2, 3, 4, 5, 6])
        return self.fc2(h * self.hidden)


class Item(nn.Module):
    """A number read off the sample goes round the layers."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        size = x.abs().max().item()
        return self.fc2(self.fc1(x)) * size


class MeanThenExpand(nn.Module):
    """A value without a batch dimension, after which the batch size is needed again."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.pool, self.head = nn.Linear(6, 6), BatchMean(), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc(x)
        return self.head(self.pool(h)).expand(h.size(0), -1)


class BatchMean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(0)


class Windows(nn.Module):
    """The batch is folded with windows inside, and the odd size 3 * batch + 1 occurs."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.inner, self.head = nn.Linear(2, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.inner(self.fc(x.view(-1, 2)))
        padded = torch.cat([h, h.new_zeros(1, 6)])
        h = padded + torch.zeros(padded.size(0), 6)
        return self.head(h[:-1].view(x.size(0), 3, 6).mean(1))


class OddName(nn.Module):
    """Names that a traced graph module uses itself."""

    def __init__(self) -> None:
        super().__init__()
        self.graph, self.meta, self.code = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.code(self.meta(self.graph(x)))


class DeadNoise(nn.Module):
    """Random numbers are drawn, but the chosen output does not see them."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.spread, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.mean(x)
        return self.head(mean), mean + self.spread(x) * torch.randn_like(mean)


class Square(nn.Module):
    """A side input whose first size is by chance the batch size of the example."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.fc, self.head = nn.Embedding(11, 6), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        h = self.embed(ids)
        h = torch.matmul(mask, self.fc(h)) + h
        return self.head(h.mean(1))


class DropoutReader(nn.Module):
    """Reads attributes of its dropout modules."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.fc, self.head = nn.Dropout(0.2), nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.dropout(self.fc(x), self.drop.p, self.training))


class Select(nn.Module):
    """Shapes that depend on values: the rows above a threshold."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.head = nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        count = (x > 0).nonzero().shape[0]
        return self.head(self.fc(x)) * count


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


def batch_statistics() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.Linear(8, 4))


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
    "fourier": Case(Fourier, vectors, ("fc", "spectrum", "head")),
    "weight norm": Case(normed, vectors, ("0", "1", "2")),
    "old weight norm": Case(old_normed, vectors, ("0", "1", "2")),
    "constants": Case(Constants, vectors, ("fc1", "fc2")),
    "item": Case(Item, vectors, (), {"fc1": "bypassed", "fc2": "bypassed"}),
    "mean then expand": Case(MeanThenExpand, vectors, ("fc", "pool", "head")),
    "windows": Case(Windows, vectors, ("fc", "inner", "head")),
    "odd names": Case(OddName, vectors, ("graph", "meta", "code")),
    "dead noise": Case(DeadNoise, vectors, ("mean", "head"), {"spread": "does not reach"}, pick=lambda r: r[0]),
    "dropout reader": Case(DropoutReader, vectors, ("fc", "head")),
    "batch statistics": Case(batch_statistics, vectors, ("0", "1", "2")),
    "select": Case(Select, vectors, (), {"fc": "bypassed", "head": "bypassed"}),
}
