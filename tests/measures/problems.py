"""Small named pairs of activation matrices, ordinary and awkward, made from a seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Problem = Callable[[np.random.Generator], tuple[Array, Array]]


def related(r: np.random.Generator, n: int, p: int, q: int, noise: float = 0.5) -> tuple[Array, Array]:
    """Rows x (n, p), and y (n, q) = a linear map of x plus noise."""
    x = r.normal(size=(n, p)) * r.uniform(0.5, 2, size=p)
    return x, x @ r.normal(size=(p, q)) / np.sqrt(p) + noise * r.normal(size=(n, q))


def _offset(r: np.random.Generator) -> tuple[Array, Array]:
    x, y = related(r, 25, 5, 4)
    return x + 1e3, y - 1e3


def _low_rank(r: np.random.Generator) -> tuple[Array, Array]:
    x, y = related(r, 24, 3, 2)
    return x @ r.normal(size=(3, 9)), y @ r.normal(size=(2, 6))


def _constant_features(r: np.random.Generator) -> tuple[Array, Array]:
    x, y = related(r, 20, 5, 4)
    x[:, 2], y[:, 0] = 0.1, 1e3
    return x, y


def _duplicated(r: np.random.Generator) -> tuple[Array, Array]:
    x, y = related(r, 12, 3, 4)
    twice = np.arange(24) // 2
    return x[twice], y[twice]


def _duplicated_on_one_side(r: np.random.Generator) -> tuple[Array, Array]:
    x, y = related(r, 21, 4, 3)
    return x[np.arange(21) // 3], y


def _shared(r: np.random.Generator) -> tuple[Array, Array]:
    x, y = related(r, 22, 5, 2)
    return x, np.concatenate([x[:, :2], y], 1)


def _float32(r: np.random.Generator) -> tuple[Array, Array]:
    x, y = related(r, 23, 6, 5)
    return x.astype(np.float32).astype(np.float64), np.maximum(y, 0).astype(np.float32).astype(np.float64)


def _scales(r: np.random.Generator) -> tuple[Array, Array]:
    x, y = related(r, 26, 5, 5)
    return x * np.logspace(-3, 2, 5), y * 1e-8


def _integers(r: np.random.Generator) -> tuple[Array, Array]:
    return r.integers(0, 3, size=(24, 4)).astype(float), r.integers(0, 3, size=(24, 3)).astype(float)


def _equal_distances(r: np.random.Generator) -> tuple[Array, Array]:
    return np.eye(14), related(r, 14, 3, 3)[1]


PROBLEMS: dict[str, Problem] = {
    "ordinary": lambda r: related(r, 30, 6, 5),
    "unrelated": lambda r: (r.normal(size=(28, 4)), r.normal(size=(28, 6))),
    "equal widths, little noise": lambda r: related(r, 20, 5, 5, noise=1e-3),
    "one feature": lambda r: related(r, 16, 1, 1),
    "offset 1e3": _offset,
    "fewer examples than features": lambda r: related(r, 13, 20, 17),
    "fewer examples than one side's features": lambda r: related(r, 14, 4, 30),
    "nearly as many features as examples": lambda r: related(r, 15, 9, 8),
    "rank deficient": _low_rank,
    "constant features": _constant_features,
    "duplicated rows": _duplicated,
    "duplicated rows on one side": _duplicated_on_one_side,
    "four examples": lambda r: related(r, 4, 2, 2),
    "four examples, wide": lambda r: related(r, 4, 7, 5),
    "shared features": _shared,
    "float32 after a ReLU": _float32,
    "unequal scales": _scales,
    "many ties": _integers,
    "equal distances": _equal_distances,
}


def problem(name: str, seed: int) -> tuple[Array, Array]:
    """The named pair from that seed."""
    return PROBLEMS[name](np.random.default_rng([seed, *name.encode()]))
