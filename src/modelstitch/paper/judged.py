"""What a figure's records say to each of its claims, protocol by protocol. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import modelstitch as ms

from ..errors import StudyError
from ..study import Record
from . import own
from .curves import Curves, every_protocol
from .figure import Claim, Figure, Verdict
from .protocols import PROTOCOLS

ONCE = "one measurement"  # for both protocols


def verdicts(figure: Figure, records: Sequence[Record]) -> Iterable[tuple[str, str, Verdict]]:
    """(claim, protocol, verdict) of all claims; what is measured once for both protocols stands under ``ONCE``."""
    every = every_protocol(records, PROTOCOLS)
    for claim in figure.claims:
        for name, found in judged(claim, every):
            yield claim.text, name, found


def judged(claim: Claim, every: Mapping[str, Curves]) -> list[tuple[str, Verdict]]:
    """Each protocol's verdict on a claim; one that stands for all of them stands under ``ONCE``."""
    once = judged_once(claim, every)
    if once is not None:
        return [(ONCE, once)]
    return [(name, found) for name in PROTOCOLS if (found := verdict(claim, every, name)) is not None]


def verdict(claim: Claim, every: Mapping[str, Curves], name: str) -> Verdict | None:
    """A protocol's verdict on a claim; None where it does not ask, or was not run."""
    return claim.judge(every[name]) if name in claim.protocols and every[name].ran else None


def judged_once(claim: Claim, every: Mapping[str, Curves]) -> Verdict | None:
    """The verdict of a claim that probes alone decide: the same under every protocol, and without any stitch."""
    found = [v for name in PROTOCOLS if (v := verdict(claim, every, name)) is not None]
    if len(claim.protocols) < 2 or not found or found[0].word == "not measured":
        return None
    alone = claim.judge(every[""])
    return alone if all(v == alone for v in found) else None


def as_run(figure: Figure, records: Sequence[Record]) -> Figure:
    """The figure as its records have it: on networks that were given it is another one."""
    groups = records[0].tags.get("own")
    return figure if groups is None else own.figure(figure.name, own.Groups(**groups))


def records_of(figure: Figure, folder: Path) -> list[Record]:
    """A figure's records in a gallery.

    Raises:
        StudyError: if they are not there.
    """
    path = folder / f"{figure.name}.parquet"
    if not path.is_file():
        raise StudyError(
            f"There are no records of figure {figure.name} in {folder}: expected {path.name}; run it with "
            f"`modelstitch paper {figure.name} --scale smoke`."
        )
    return ms.open(path).records
