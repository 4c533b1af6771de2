"""Stitchers: families of small maps, from nothing at all to an MLP, and the adapters before them."""

from __future__ import annotations

from typing import Any

from ..errors import StitchError
from .affine import Affine
from .base import Site, Stitcher
from .conv import Conv
from .identity import Identity
from .layout import Adapter, adapter_between, rows
from .lowrank import LowRank
from .mlp import MLP
from .normaffine import NormAffineNorm
from .orthogonal import Orthogonal, Permutation, ScaledOrthogonal

__all__ = ["FAMILIES", "Adapter", "Affine", "Site", "Stitcher", "adapter_between", "family_of", "rows"]

FAMILIES: dict[str, type[Stitcher]] = {
    cls.family: cls
    for cls in (
        Identity, Permutation, Orthogonal, ScaledOrthogonal, LowRank, Affine, NormAffineNorm, Conv, MLP,
    )
}  # fmt: skip


def family_of(text: str) -> tuple[type[Stitcher], dict[str, Any]]:
    """The class and options of a written family: ``"affine"``, ``"low-rank:16"``, ``"conv:3"``, ``"mlp:256"``.

    Raises:
        StitchError: if the family is unknown, or the number after the colon is none.
    """
    name, _, option = text.partition(":")
    if name not in FAMILIES:
        raise StitchError(f"The family {name!r} is unknown: expected one of {', '.join(FAMILIES)}.")
    cls = FAMILIES[name]
    if not option:
        return cls, {}
    if not cls.option or not option.isdigit():
        what = f"a whole number ({cls.option})" if cls.option else "nothing"
        raise StitchError(f"The family {text!r} cannot be read: expected {what} after the colon, found {option!r}.")
    return cls, {cls.option: int(option)}
