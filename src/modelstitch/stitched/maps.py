"""Maps without a fit: for a saved one to go into, to be timed, and one made of two."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import StitchError
from ..moments.moments import Moments
from ..stitchers import Affine, Bring, Site, Stitcher, family_of
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


def composed(first: Affine | Stitcher, second: Affine | Stitcher) -> Affine:
    """One affine map that does as the first and then the second.

    Raises:
        StitchError: one of them is no affine map of the channels.
    """
    forms: list[tuple[Tensor, Tensor]] = []
    for stitcher in (first, second):
        form = stitcher.affine_form() if isinstance(stitcher, Stitcher) else None
        if form is None:
            raise StitchError(
                f"The way back takes two affine maps, found {type(stitcher).__name__}: expected affine, low-rank, "
                "orthogonal, or another family of one affine map at every position."
            )
        forms.append(form)
    (w, b), (v, c) = forms
    site = Site(first.site.p, second.site.q, second.site.kind)
    return Affine(site, v @ w.to(v), v @ b.to(v) + c)
