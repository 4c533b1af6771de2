"""Stitchers that are fitted to nothing: for a saved map to go into, and to be timed."""

from __future__ import annotations

import torch
from torch import Tensor

from ..moments.moments import Moments
from ..stitchers import Bring, Site, Stitcher, family_of
from .sides import DonorSide


def rebuild(family: str, low: DonorSide, high: DonorSide, state: dict[str, Tensor]) -> Stitcher:
    """A stitcher of that family with that state."""
    stitcher = blank(family, Site(low.channels, high.channels, high.layout.kind))
    stitcher.load_state_dict(state, assign=True)  # in the type that it has now
    return stitcher


def blank(family: str, site: Site) -> Stitcher:
    """A stitcher of that family for that site, fitted to nothing: any moments give the right shapes."""
    cls, options = family_of(family)

    def again(below: Bring, above: Bring) -> Moments:
        return _any(*(way(torch.zeros(1, width)).shape[1] for way, width in ((below, site.p), (above, site.q))))

    return cls.solve(cls.looked(_any(site.p, site.q), site, again), site, **options).eval()


def _any(p: int, q: int) -> Moments:
    moments = Moments.empty(p, q)
    moments.n = 2
    moments.xx += torch.eye(p)
    return moments
