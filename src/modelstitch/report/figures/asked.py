"""The figure of an answer that is asked for by a word, or that suits it best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...errors import StitchError, StudyError
from ..answer import ResultsLike, family_in, names_of
from ..frame import has_matrix, measured, panel, settings
from ..pooled import settled
from ..samples import by_class, stitches
from ..similarities import placed
from .heatmaps import matrix_figure
from .pair import ladder_figure, penalty_figure, samples_figure
from .samples import breaks_figure, classes_figure, difficulty_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    from ...measures import find  # brings torch, which a figure needs for nothing else

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
