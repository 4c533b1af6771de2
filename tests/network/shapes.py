"""Networks of the usual shapes: chains with skips, several inputs, tokens, shared and repeated modules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Steps(nn.Module):
    """Named steps, modules or functions; every value that is shown passes an Identity."""

    def __init__(self, *steps: Any) -> None:
        super().__init__()
        self.steps = nn.ModuleList(s if isinstance(s, nn.Module) else Do(s) for s in steps)
        self.head = nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x)
        return self.head(x.flatten(1))


class Do(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


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
