"""The page of an answer: of stitches, of the layers of one pair side by side, or of a family of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from ..errors import MeasureError
from .answer import ResultsLike, family_in, names_of
from .family import marked_family
from .family_page import family_page
from .figures.marks import mark, marked_frame
from .page import page
from .similarity_page import similarity_page

if TYPE_CHECKING:
    from ..data.shown import Shown
    from ..records.record import Record


def page_of(
    answer: ResultsLike,
    similarities: ResultsLike | None = None,
    *,
    title: str | None = None,
    command: str | None = None,
    shown: Shown | None = None,
) -> str:
    """Write it; the arguments are those of ``Results.report``, with what shows test samples in place of data."""
    if answer.similarities or similarities is not None:
        alike = answer if similarities is None else similarities
        write = _family if len(names_of(alike.pairs)) > 2 else _pair
        return write(answer, alike, title, command)
    return page(
        answer.records,
        title=title or "Stitching report",
        spec=answer.spec,
        command=command,
        missing=len(answer.missing),
        cautions=answer.cautions,
        shown=shown,
    )


def _pair(answer: ResultsLike, alike: ResultsLike, title: str | None, command: str | None) -> str:
    """One pair's layers: similarities, and the stitches where these are beside them."""
    bottom, top = alike.pairs[0]
    weights = {**answer.weights, **alike.weights}
    below, above = (mark(name, weights.get(name, "")) for name in (bottom, top))
    own = None
    if alike is not answer:
        _check_alike(answer, alike)
        rows = answer.frame.filter(bottom=bottom, top=top, control="pair")
        own = marked_frame(_with_families(rows), below, above)
    measured = marked_frame(alike.frame.filter(bottom=bottom, top=top), below, above)
    notes = _notes(answer, alike, weights)
    return similarity_page(below, above, measured, own, title=title, command=command, notes=notes)


def _family(answer: ResultsLike, alike: ResultsLike, title: str | None, command: str | None) -> str:
    weights = {**answer.weights, **alike.weights}
    family = marked_family(family_in(answer, similarities=None if alike is answer else alike), weights)
    return family_page(family, title=title, command=command, notes=_notes(answer, alike, weights))


def _notes(answer: ResultsLike, alike: ResultsLike, weights: dict[str, str]) -> list[str]:
    """How the numbers of a page were made: of the stitches, if there are any, then of the similarities."""
    return [
        *([] if alike is answer else [_solved(answer.records[0]), *answer.cautions, *answer.notes]),
        *alike.spec["about"],
        *(f"Weights of {name}: {weights[name]}." for name in names_of(alike.pairs)),
        *alike.notes,
    ]


def _check_alike(answer: ResultsLike, similarities: ResultsLike) -> None:
    ends = similarities.pairs[0]
    if ends not in answer.pairs:
        raise MeasureError(
            f"The similarities beside {' -> '.join(answer.pairs[0])} must be of these networks in this order, found "
            f"{' -> '.join(ends)}: measure them with similarity(bottom, top, ...)."
        )
    mine = {(r.bottom.layer, r.top.layer) for r in answer.records if (r.bottom.name, r.top.name) == ends}
    if not mine & {(row["bottom_layer"], row["top_layer"]) for row in similarities.similarities}:
        raise MeasureError(
            "The similarities are of none of the pairs of layers that were stitched: measure them with the same layers."
        )


def _with_families(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of stitches with what is known of their families: what leaves them as good, and how they are solved."""
    from ..stitchers import family_of  # brings torch, which a page needs for nothing else

    known = {text: family_of(text)[0] for text in rows["family"].unique().to_list()}
    return rows.with_columns(
        pl.col("family").replace_strict({text: getattr(cls, name) for text, cls in known.items()}).alias(name)
        for name in ("invariance", "solved")
    )


def _solved(record: Record) -> str:
    """What the stitches of a record's comparison are solved and measured on."""
    augmented = record.fit.get("augment") and record.data.get("augment") not in (None, "none", "")
    how = f"augmented ({record.data['augment']})" if augmented else "not augmented"
    return (
        f"Stitches: solved on {record.samples or 0:,} examples of the fit split, {how}; measured on "
        f"{record.data['test']:,} examples of the test split."
    )
