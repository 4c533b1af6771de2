"""What each second way to a number gains: the same values by the way that is taken, and by the one beside it.

    python benchmarks/ways.py                                        # all of them, on one thread: two minutes
    python benchmarks/ways.py --only spread --rounds 5 --out docs/results/ways.md

A ratio above 1 is a gain of the way that is taken. Each round runs both ways, and the ratio is that of their medians.
A way stays where it is twice as fast at a size that users have, or where the other one does not fit into memory there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from tricks import main

from modelstitch.measures import MEASURES, pairings
from modelstitch.measures.cka import DEBIASED, debiased_from_moments, overlap
from modelstitch.measures.hsic import FullSums
from modelstitch.measures.matching import _transport
from modelstitch.measures.procrustes import _cosine
from modelstitch.moments import MomentsGrid
from modelstitch.moments.spread import Spread, SpreadGrid
from modelstitch.stitchers.adapters import resize
from modelstitch.support.fast import products

Work = Callable[[], object]
LAYERS, CHUNK = 3, 256


def rows(n: int, p: int, seed: int = 0) -> Tensor:
    """Random rows (n, p), float64."""
    return torch.randn(n, p, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def side(n: int, p: int, seed: int) -> dict[str, Tensor]:
    """The layers of one network."""
    return {str(at): rows(n, p, seed + at) for at in range(LAYERS)}


def by_sums(names: Sequence[str], x: dict[str, Tensor], y: dict[str, Tensor]) -> list[float]:
    """Measures of all pairs of layers from the sums of one pass."""
    grid = MomentsGrid({k: v.shape[1] for k, v in x.items()}, {k: v.shape[1] for k, v in y.items()})
    for at in range(0, len(x["0"]), CHUNK):
        grid.update({k: v[at : at + CHUNK] for k, v in x.items()}, {k: v[at : at + CHUNK] for k, v in y.items()})
    return [MEASURES[name].from_moments(grid.pair(b, t)) for name in names for b in x for t in y]  # type: ignore[misc]


def by_rows(names: Sequence[str], x: dict[str, Tensor], y: dict[str, Tensor]) -> list[float]:
    """The same from all rows."""
    return [MEASURES[name](a, b) for name in names for a in x.values() for b in y.values()]


def debiased_by_sums(x: dict[str, Tensor], y: dict[str, Tensor]) -> list[float]:
    """Debiased CKA of all pairs from sums of rows with their lengths."""
    bases = [{k: v[:CHUNK].mean(0) for k, v in layers.items()} for layers in (x, y)]
    long = [
        {k: torch.cat([v, (v - base[k]).square().sum(1, keepdim=True)], 1) for k, v in layers.items()}
        for layers, base in zip((x, y), bases)
    ]
    grid = MomentsGrid(*({k: v.shape[1] for k, v in layers.items()} for layers in long))
    for at in range(0, len(x["0"]), CHUNK):
        grid.update(*({k: v[at : at + CHUNK] for k, v in layers.items()} for layers in long))
    return [debiased_from_moments(grid.pair(b, t), bases[0][b], bases[1][t]) for b in x for t in y]


def debiased_by_blocks(x: dict[str, Tensor], y: dict[str, Tensor]) -> list[float]:
    """The same from blocks of the Gram matrices between all examples."""
    found = FullSums(len(x["0"]), list(x), list(y))
    starts = range(0, len(x["0"]), CHUNK)
    for first in starts:
        for second in (at for at in starts if at >= first):
            parts = (
                torch.stack([v[first : first + CHUNK] @ v[second : second + CHUNK].T for v in layers.values()])
                for layers in (x, y)
            )
            found.add(first, second, *parts)
    return [found.cka(b, t, debiased=True) for b in x for t in y]


def shuffled(name: str, x: dict[str, Tensor], y: dict[str, Tensor], shuffles: int) -> Work:
    """A measure of all pairs of layers, rightly paired and under shuffles."""
    orders = [torch.randperm(len(x["0"])) for _ in range(shuffles)]

    def work() -> object:
        of = pairings.values_under(list(x.values()), list(y.values()), MEASURES[name], (list(x), list(y)))
        return [of(order) for order in (None, *orders)]

    return work


def plainly(work: Work) -> Work:
    """The same without what is worked out once: neither kernels nor one product of all features."""

    def other() -> object:
        with patch.dict(pairings.KERNELS, clear=True), patch.object(pairings, "_Products", _never):
            return work()

    return other


def _never(x: Sequence[Tensor], y: Sequence[Tensor], measure: Any, *_: object) -> Any:
    """Stands in for one product of all features: every pair by itself."""
    return pairings._plainly(x, y, measure)


def by_kernels(work: Work) -> Work:
    """Linear CKA from matrices between examples, though layers are narrow."""
    kernels = pairings.KERNELS

    def made(x: Sequence[Tensor], y: Sequence[Tensor], measure: Any, names: pairings.Names, moved: object) -> Any:
        kernel = kernels[measure.name]
        below, above = ([kernel.prepare(a, n) for a, n in zip(s, of)] for s, of in zip((x, y), names))
        return lambda order: [[kernel.value(a, b, DEBIASED, order) for b in above] for a in below]

    def other() -> object:
        with patch.object(pairings, "_Products", made):
            return work()

    return other


def spread_rows() -> tuple[Work, Work]:
    """Sums of a bottom of 8 x 8 positions at the 32 x 32 of a top, as of a ResNet-20's last and first stage."""
    matrix = resize(torch.eye(64).view(64, 1, 8, 8), (32, 32)).flatten(1).T.double()
    step = Spread(matrix, ((8, 8), (32, 32)))
    x, y = rows(32 * 64, 64), rows(32 * 1024, 16, 1)

    def taken() -> object:
        grid = SpreadGrid({"0": 64}, {"0": 16}, spread=step)
        grid.update({"0": x}, {"0": y})
        return grid.pair("0", "0")

    def resized() -> object:
        grid = MomentsGrid({"0": 64}, {"0": 16})
        wide = torch.matmul(matrix, x.view(32, 64, 64)).reshape(-1, 64)
        grid.update({"0": wide}, {"0": y})
        return grid.pair("0", "0")

    return taken, resized


def without(owner: object, name: str, value: object, work: Work) -> Work:
    """The work with another value of a constant."""

    def other() -> object:
        with patch.object(owner, name, value):
            return work()

    return other


def cases() -> dict[str, tuple[Work, Work]]:
    """By name: the work by the way that is taken, and by the other."""
    found: dict[str, tuple[Work, Work]] = {}
    x, y = side(8192, 64, 0), side(8192, 64, LAYERS)
    for name in ("cka_linear_biased", "cca_mean_squared", "procrustes_distance", "r2_bottom_to_top"):
        found[f"{name}, 3 x 3 layers of (8192, 64): sums / rows"] = (
            lambda name=name: by_sums([name], x, y),
            lambda name=name: by_rows([name], x, y),
        )
    some, others = ({k: v[:1024] for k, v in layers.items()} for layers in (x, y))
    found["debiased CKA, 3 x 3 layers of (1024, 64): sums / blocks of Gram matrices"] = (
        lambda: debiased_by_sums(some, others),
        lambda: debiased_by_blocks(some, others),
    )
    few, less = ({k: v[:256] for k, v in layers.items()} for layers in (x, y))
    for name in ("rsa", "mutual_knn", "distance_correlation"):
        work = shuffled(name, few, less, 5)
        found[f"{name}, 3 x 3 layers of (256, 64), 5 shuffles: matrices made once / by pairs"] = work, plainly(work)
    work = shuffled(DEBIASED, some, others, 5)
    found["debiased CKA, 3 x 3 layers of (1024, 64), 5 shuffles: one product of all / by pairs"] = work, plainly(work)
    found["the same: one product of all / matrices made once"] = work, by_kernels(work)
    wide, wider = side(128, 2048, 0), side(128, 2048, LAYERS)
    work = shuffled(DEBIASED, wide, wider, 5)
    found["debiased CKA, 3 x 3 layers of (128, 2048), 5 shuffles: matrices made once / by pairs"] = work, plainly(work)
    a, b = wide["0"], wider["0"]
    found["overlap of (128, 2048): between examples / between features"] = (
        lambda: overlap(a, b),
        lambda: float((a.T @ b).square().sum()),
    )
    c, d = (part / part.norm() for part in (rows(128, 1024), rows(128, 1024, 1)))
    found["Procrustes of (128, 1024): of as many columns as rows / of all"] = (
        lambda: _cosine(c, d, "s"),
        lambda: torch.linalg.svdvals(c.T @ d).sum(),
    )
    found["sums of maps at unlike positions: from the smaller / resized first"] = spread_rows()
    gains = np.corrcoef(rows(64 + 128, 500).numpy())[:64, 64:]
    found["soft matching of 64 with 128 features: assignment / linear programme"] = (
        lambda: _transport(gains),
        without(sys.modules[_transport.__module__], "_COPIES", 0, lambda: _transport(gains)),
    )
    square = rows(256, 2048)
    square = square.T @ square
    found["spectrum of 2048 columns of 256 rows: by their root / whole"] = (
        lambda: products.spectrum(square, 256),
        lambda: torch.linalg.eigh(square),
    )
    return found


if __name__ == "__main__":
    columns = ("numbers: way taken / other way", "taken", "other")
    main("What second ways to a number gain", __doc__ or "", columns, cases, threads=(1,), rounds=3)
