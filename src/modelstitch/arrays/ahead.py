"""What a rehearsal will take, from some of the rows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..moments.moments import Moments
from ..support.ahead import Ahead, first_steps
from ..support.words import counted
from .given import Vectors
from .hidden import FEWEST, improve, steps_for
from .solve import is_mlp, mlp_of

_SHARES = (50, 25)  # one in so many rows of the gallery are searched, to see how the time grows


def foretell_rehearsal(
    old: Vectors, new: Vectors, *, family: Sequence[str], pairs: Sequence[int] | None, queries: int, **asked: Any
) -> Ahead:
    """What ``rehearse`` with these arguments will take; nothing is kept.

    Args:
        old: embeddings by the old model.
        new: of the same samples, by the new one.
        family: of the maps.
        pairs: numbers of pairs to fit to.
        queries: how many samples are held out.
        asked: as for ``rehearse``.

    Raises:
        ArrayError: as ``rehearse``.
    """
    from .rehearsal import SHUFFLED, rehearse

    rest, sizes = len(old) - queries, sorted(set(pairs or ())) or [len(old) - queries]
    least = max(64, 4 * max(asked["k"]), 2 * old.width, 2 * new.width)  # rows that maps and searches need
    galleries = [min(rest, max(least, rest // share)) for share in _SHARES]
    solved = list(dict.fromkeys("affine" if is_mlp(name) else name for name in family))  # which an MLP starts from
    marks = []
    for gallery in galleries:
        some = np.arange(max(0, min(len(old), gallery + queries)))
        begun = time.perf_counter()
        rehearse(old.only(some), new.only(some), family=solved, queries=queries, **{**asked, "anchors": "random"})
        marks.append(time.perf_counter() - begun)
    each = max(marks[1] - marks[0], 0.0) / max(1, galleries[1] - galleries[0])
    seconds = (marks[1] + each * (rest - galleries[1])) * (1 + len(sizes)) / 2 * len(family) / len(solved)
    mlps, fits = [name for name in family if is_mlp(name)], len(family) * len(sizes)
    if mlps and galleries[0] >= FEWEST:
        steps = sum(map(steps_for, [*sizes, min(sizes[-1], SHUFFLED)]))
        seconds += sum(_step(name, old, new, galleries[0]) for name in mlps) * steps * 2  # there, and back
    return Ahead(
        f"{counted(fits, 'map')} to fit, and {counted(len(family), 'map')} to shuffled pairs; {len(old):,} samples of "
        f"{old.width:,} and {new.width:,} numbers: {queries:,} held out as queries, the others are the gallery",
        f"{fits + len(family)} passes over the samples to fit, {2 * (fits + len(family)) + 1} to search",
        8 * (old.width + new.width) ** 2 + _searching(old, new, queries),
        "the arrays themselves",
        seconds,
        "estimated from blocks of rows",
    )


def _searching(old: Vectors, new: Vectors, queries: int) -> int:
    """Bytes of a search: blocks of rows of both sides, queries, and their scores with a block, with their order."""
    wide = old.width + new.width
    rows = max((place.stop - place.start for side in (old, new) for place in side.slices()), default=0)
    return 4 * wide * (2 * rows + queries) + 3 * 4 * queries * rows


def _step(family: str, old: Vectors, new: Vectors, rows: int) -> float:
    """Seconds of one of an MLP's steps."""
    some = np.arange(rows)
    x, y = old.only(some), new.only(some)
    mlp = mlp_of(family, Moments.of(torch.from_numpy(x.all()), torch.from_numpy(y.all())), rows, 0)
    return first_steps(lambda stepped: improve(mlp, x, y, None, seed=0, stepped=stepped))[1]
