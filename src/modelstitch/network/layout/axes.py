"""Operations that only put the axes of a value in another order."""

from __future__ import annotations

from typing import Any

from torch import fx

_SWAPS = ("transpose", "swapaxes", "swapdims")
_LAST_TWO = ("t", "mT", "adjoint", "mH")
_MOVES = ("movedim", "moveaxis")


def new_order(node: fx.Node, rank: int) -> list[int] | None:
    """For every axis of the result the axis of the argument that it was; None if the operation does anything else."""
    name = str(node.target).split(".")[1] if "." in str(node.target) else str(node.target)
    order = list(range(rank))
    given: list[Any] = [*node.args[1:], *node.kwargs.values()]
    if name == "permute":
        return [int(axis) % rank for axis in given[0]]
    if name in _SWAPS or name in _LAST_TWO:
        one, other = (int(axis) % rank for axis in (given[:2] if name in _SWAPS else (rank - 2, rank - 1)))
        order[one], order[other] = other, one
        return order
    if name in _MOVES:
        sources, targets = ([int(a) % rank for a in (g if isinstance(g, list | tuple) else [g])] for g in given[:2])
        rest = iter([axis for axis in order if axis not in sources])
        at = dict(zip(targets, sources))
        return [at[place] if place in at else next(rest) for place in range(rank)]
    return None
