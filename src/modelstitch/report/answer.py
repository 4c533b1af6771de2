"""An answer as its figures and its page see it: what ``modelstitch.Results`` holds, and which of them shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from ..errors import MeasureError, StitchError, StudyError
from .family import family_of, marked_family, stitched
from .family_page import family_page
from .figures.heatmaps import matrix_figure
from .figures.pair import ladder_figure, penalty_figure, samples_figure
from .figures.samples import breaks_figure, classes_figure, difficulty_figure
from .frame import has_matrix, measured, panel, settings
from .marks import mark, marked_frame
from .page import page
from .pooled import settled
from .samples import by_class, stitches
from .similarities import placed
from .similarity_page import similarity_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..data.shown import Shown
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


def figure_of(
    answer: ResultsLike,
    what: str | None,
    pair: tuple[str, str] | None,
    metrics: Sequence[str] | None = None,
    family: str | None = None,
) -> Figure:
    """Draw it; the arguments are those of ``Results.figure``."""
    several = bool(answer.similarities) and len(names_of(answer.pairs)) > 2 and pair is None
    if what in ("family", "separation") or (what is None and several):
        measure = None if not metrics else metrics[0] if metrics[0] == "penalty" else _full_name(metrics[0])
        return family_in(answer).figure(what or "family", measure=measure)
    bottom, top = _drawn(answer, pair)
    if answer.similarities:
        return _heat_maps(answer, bottom, top, what or "matrix", metrics)
    if what in ("breaks", "classes", "difficulty"):
        return _of_samples(answer, what, bottom, top)
    return _of_pair(answer, what, bottom, top, metrics, family)


def _drawn(answer: ResultsLike, pair: tuple[str, str] | None) -> tuple[str, str]:
    """The pair that is asked for, the first by default."""
    if not answer.pairs:
        raise StudyError("There is nothing to draw: expected at least one finished cell of a pair, found none.")
    bottom, top = pair or answer.pairs[0]
    if (bottom, top) not in answer.pairs:
        known = ", ".join(f"{b} -> {t}" for b, t in answer.pairs)
        raise StitchError(f"The pair {bottom} -> {top} was not stitched: expected one of {known}.")
    return bottom, top


def _heat_maps(answer: ResultsLike, bottom: str, top: str, what: str, measures: Sequence[str] | None) -> Figure:
    if what != "matrix":
        raise StitchError(f"Similarities have no figure {what!r}: expected 'matrix', since nothing was stitched.")
    table = placed(answer.frame.filter(bottom=bottom, top=top))
    known = table.drop_nulls("value")["metric"].unique(maintain_order=True).to_list()
    asked = [name if name in known else _full_name(name) for name in measures or known]
    return matrix_figure(table, bottom, top, asked)


def _full_name(measure: str) -> str:
    """What a measure that is written short, or not known, is called."""
    from ..measures import find  # brings torch, which a figure needs for nothing else

    return find(measure).name


def _of_samples(answer: ResultsLike, what: str, bottom: str, top: str) -> Figure:
    if what == "difficulty":
        return difficulty_figure(stitches(answer.records))
    own = [r for r in answer.records if (r.bottom.name, r.top.name) == (bottom, top)]
    if what == "classes":
        return classes_figure(by_class(own), bottom, top)
    return breaks_figure(stitches(own), bottom, top)


def _of_pair(
    answer: ResultsLike, what: str | None, bottom: str, top: str, metrics: Sequence[str] | None, family: str | None
) -> Figure:
    table = settled(answer.frame, answer.records)
    rows = panel(table, bottom, top)
    if measured(rows).is_empty():
        raise StudyError(
            f"There is nothing to draw of {bottom} -> {top}: expected a finished cell with a penalty, found none."
        )
    what = what or ("matrix" if has_matrix(rows) else "penalty")
    if what == "penalty":
        return penalty_figure(panel(table, bottom, top, settings(table)[0]), bottom, top)
    if what == "matrix":
        rows = rows if family is None else rows.filter(family=family)
        return matrix_figure(rows, bottom, top, metrics or ["penalty", "cka", "r2"])
    return (ladder_figure if what == "ladder" else samples_figure)(rows, bottom, top)
