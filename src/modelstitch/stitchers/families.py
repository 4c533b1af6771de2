"""Families by name: the table that a user's own family enters, and how a written family is read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ..errors import StitchError
from ..support.user_code import digest
from ..support.words import among
from .affine import Affine
from .base import Stitcher
from .conv import Conv
from .identity import Identity
from .lowrank import LowRank
from .mlp import MLP
from .normaffine import NormAffineNorm
from .orthogonal import LOrtho, Orthogonal, Permutation, ScaledOrthogonal, ScaledPermutation, StandardOrthogonal
from .relative import Relative, WhitenedRelative

_WHOLE = re.compile(r"[0-9]{1,9}")
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,17})?(e[-+]?[0-9]{1,2})?")

FAMILIES: dict[str, type[Stitcher]] = {
    cls.family: cls
    for cls in (
        Identity,
        Permutation,
        ScaledPermutation,
        Orthogonal,
        ScaledOrthogonal,
        LOrtho,
        StandardOrthogonal,
        Relative,
        WhitenedRelative,
        LowRank,
        Affine,
        NormAffineNorm,
        Conv,
        MLP,
    )
}


_BUILT_IN = frozenset(FAMILIES.values())


def family_of(text: str) -> tuple[type[Stitcher], dict[str, Any]]:
    """Read a written family: ``"affine"``, ``"affine:0.01"``, ``"low-rank:16"``, ``"conv:3"``.

    Args:
        text: the name, and behind a colon its option.

    Returns:
        The class, and its options by name.

    Raises:
        StitchError: if the family is unknown, or the number after the colon is none.

    Examples:
        >>> ms.stitchers.family_of("conv:3")
        (<class 'modelstitch.stitchers.conv.Conv'>, {'kernel': 3})
    """
    if not isinstance(text, str):
        raise StitchError(
            f"The family {text!r} is no name: expected one such as 'affine'; enter a class of your own first: "
            "ms.stitchers.FAMILIES[cls.family] = cls."
        )
    name, _, option = text.partition(":")
    if name not in FAMILIES:
        own = f"; a family of your own is entered by ms.stitchers.FAMILIES[{name!r}] = its class"
        raise StitchError(f"The family {name!r} is unknown: {among(name, FAMILIES, own)}")
    cls = FAMILIES[name]
    if not option:
        return cls, {}
    number = _WHOLE if cls.option_is is int else _NUMBER
    if not cls.option or not number.fullmatch(option):
        kind = "a whole number" if cls.option_is is int else "a number of 0 or more"
        what = f"{kind} ({cls.option})" if cls.option else "nothing"
        raise StitchError(f"The family {text!r} cannot be read: expected {what} after the colon, found {option!r}.")
    value = cls.option_is(option)
    if cls.option_is is int and value < 1:
        raise StitchError(f"The family {text!r} cannot be read: expected 1 or more ({cls.option}), found {option}.")
    return cls, {cls.option: value}


def own_codes(families: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Hash the code of those families that a user has entered.

    Args:
        families: as they are written.

    Returns:
        (written family, hash) of each; the package's own are not among them.

    Raises:
        StitchError: as ``family_of``.

    Examples:
        >>> ms.stitchers.own_codes(["affine", "conv:3"])
        ()
    """
    classes = {text: family_of(text)[0] for text in families}
    return tuple((text, digest(cls)) for text, cls in classes.items() if cls not in _BUILT_IN)
