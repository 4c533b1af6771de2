"""Which layers of two networks are set beside each other.

A list of (name, kind, depth) each, and pairs of places in them.
"""

from __future__ import annotations

from collections.abc import Sequence

Described = Sequence[tuple[str, str, float]]


def matching(bottom: Described, top: Described) -> list[tuple[int, int]]:
    """Pair layers: the same one of the same architecture.

    Else for each layer of the top the one of the bottom that is nearest in depth, among those that give the same kind
    of activation (a map, tokens, a vector) where there are any.
    """
    if [name for name, _, _ in bottom] == [name for name, _, _ in top]:
        return [(at, at) for at in range(len(top))]
    return [
        (min(range(len(bottom)), key=lambda at: (bottom[at][1] != kind, abs(bottom[at][2] - depth), at)), here)
        for here, (_, kind, depth) in enumerate(top)
    ]
