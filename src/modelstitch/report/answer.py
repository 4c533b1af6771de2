"""An answer as figures and pages see it: what ``modelstitch.Results`` holds, and the family that its networks make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import MeasureError
from .family import family_of, stitched

if TYPE_CHECKING:
    import polars as pl

    from ..records.record import Record
    from .family import NetworkFamily


class ResultsLike(Protocol):
    """Records of stitches or similarities of layers, with what was asked and what a reader needs to know of them."""

    records: list[Record]
    spec: dict[str, Any]
    missing: list[str]
    cautions: list[str]
    similarities: list[dict[str, Any]]

    @property
    def pairs(self) -> list[tuple[str, str]]: ...

    @property
    def frame(self) -> pl.DataFrame: ...

    @property
    def weights(self) -> dict[str, str]: ...

    @property
    def notes(self) -> list[str]: ...


def names_of(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """The names of all networks of these pairs, in the order in which they were given."""
    return list(dict.fromkeys(name for pair in pairs for name in pair))


def family_in(
    answer: ResultsLike, groups: Mapping[str, str] | None = None, similarities: ResultsLike | None = None
) -> NetworkFamily:
    """The networks of an answer as one set, with similarities of the same networks beside penalties."""
    tables, known = [answer.frame if answer.similarities else stitched(answer.records)], groups
    for held in [answer] if similarities is None else [answer, similarities]:
        known = known or held.spec.get("groups")
    if similarities is not None:
        _check_family(answer, similarities)
        tables.append(similarities.frame)
    return family_of(tables, names_of(answer.pairs), known)


def _check_family(answer: ResultsLike, beside: ResultsLike) -> None:
    """Refuse similarities of other networks, or of other data, beside penalties."""
    own, others = names_of(answer.pairs), names_of(beside.pairs)
    if set(others) != set(own):
        raise MeasureError(
            f"The similarities beside a family must be of its networks, {', '.join(own)}, found {', '.join(others)}: "
            "measure them with similarity([a, b, c], data=data)."
        )
    mine = {str(record.data.get("fingerprint")) for record in answer.records if record.data}
    other = str((beside.spec.get("data") or {}).get("fingerprint"))
    if mine and other not in mine:
        raise MeasureError(
            f"The similarities beside a family must be of its data ({', '.join(sorted(mine))}), found others "
            f"({other}): measure them on the same data."
        )
