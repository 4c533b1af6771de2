"""Channels that are taken apart into groups, heads or pieces, on several axes, until they lie on one again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

HeldAxes = tuple[int, ...]


def reshaped(old: Sequence[Any], new: Sequence[Any], held: HeldAxes) -> HeldAxes | None:
    """The axes of a reshaped value that hold what ``held``, neighbours in whatever order, held; None if others came in.

    ``old`` and ``new`` are the sizes; all before the held axes, and all behind them, is to be as it was.
    """
    first, behind = min(held), len(old) - max(held) - 1
    if max(held) - first + 1 != len(held):
        return None
    last = len(new) - behind
    if list(new[:first]) != list(old[:first]) or list(new[last:]) != list(old[max(held) + 1 :]):
        return None
    return tuple(range(first, last)) or None


def reduced(held: HeldAxes, gone: Sequence[int], *, kept: bool) -> HeldAxes | None:
    """The axes left of ``held`` once the axes ``gone`` are reduced, with ``kept`` to one place each.

    None if none is.
    """
    left = [axis for axis in held if axis not in gone]
    return tuple(axis if kept else axis - sum(g < axis for g in gone) for axis in left) or None


def contracted(equation: str, operands: Sequence[HeldAxes | None]) -> HeldAxes | None:
    """The axes of an einsum's result that hold channels.

    Those of an operand stay theirs where they stay in the result. Where they are summed over together with an operand
    that has no batch, weights, it is the weights' other axes that take their place.

    Args:
        equation: as einsum takes it.
        operands: of every operand the axes of its channels; None where they are not known.
    """
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if "." in equation or len(terms) != len(operands):
        return None
    if not arrow:
        result = "".join(sorted(letter for letter in set(left) - {","} if left.count(letter) == 1))
    found: set[str] = set()
    for term, held in zip(terms, operands):
        letters = {term[axis] for axis in held or ()}
        summed = letters - set(result)
        if letters and not summed:
            found |= letters
        for weights in terms if summed and result else ():
            if summed <= set(weights) and result[0] not in weights:
                found |= set(weights) & set(result)
    return tuple(sorted(result.index(letter) for letter in found)) or None
