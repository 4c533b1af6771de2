"""Measures of n x n matrices between examples: each side worked out once, then met with any side and any pairing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from . import cka, dcor, knn, rsa
from .checks import bounded, cosine
from .hsic import u_centred

# What is compared: made from a side's centred activations of unit norm (n, p), and the side's name for messages.
Prepare = Callable[[Tensor, str], Tensor]


@dataclass(frozen=True)
class Kernel:
    """A measure as two steps.

    Attributes:
        prepare: a side's matrix (n, n) from its activations.
        meet: the value from two such matrices.
        low: of the range; the top of it is 1.
    """

    prepare: Prepare
    meet: Callable[[Tensor, Tensor], Any]
    low: float

    def value(self, a: Tensor, b: Tensor, name: str, order: Tensor | None = None) -> float:
        """The measure of two prepared sides; ``order`` pairs example i of a with example order[i] of b."""
        if order is not None:
            b = b[order][:, order]
        return bounded(self.meet(a, b), self.low, 1.0, name, slack=1e-6)


def _gram(x: Tensor, name: str) -> Tensor:
    gram: Tensor = x @ x.T
    return gram


def _debiased(x: Tensor, name: str) -> Tensor:
    """The Gram matrix U-centred: the products of two such are the unbiased HSIC (Szekely and Rizzo 2014; Song 2012)."""
    gram = x @ x.T
    scale = float(gram.square().sum())  # that of the covariance, too, which may be too large to write down
    centred = u_centred(gram[None])[0]
    cka.require_spread(float(centred.square().sum()), scale, name)
    return centred


def _membership(x: Tensor, name: str) -> Tensor:
    return knn.membership(x, knn.NEIGHBOURS)


KERNELS: dict[str, Kernel] = {
    cka.BIASED: Kernel(_gram, cosine, 0.0),
    cka.DEBIASED: Kernel(_debiased, cosine, -1.0),
    cka.RBF: Kernel(cka.rbf_kernel, cosine, 0.0),
    rsa.RSA: Kernel(rsa.rank_matrix, cosine, -1.0),
    knn.KNN: Kernel(_membership, knn.common_share, 0.0),
    knn.JACCARD: Kernel(_membership, knn.jaccard, 0.0),
    knn.RANKS: Kernel(lambda x, name: knn.neighbour_ranks(x, knn.NEIGHBOURS), knn.rank_overlap, 0.0),
    dcor.DCOR: Kernel(lambda x, name: dcor.centred_distances(x), dcor.root_cosine, 0.0),
}
