"""From one layer to another and back: two affine maps as one."""

from __future__ import annotations

from torch import Tensor

from ..errors import StitchError
from ..stitchers import Affine, Site, Stitcher


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
