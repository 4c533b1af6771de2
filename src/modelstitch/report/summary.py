"""The tables that a terminal and a notebook show of what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from ..engine.controls import CONTROLS
from ..records.record import Record, as_records
from ..stats.pooling import pool
from .marks import mark, marked
from .sentences.units import shown
from .tables import Table, TableCell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_COLUMNS = 10  # of penalties side by side


def penalty_summaries(records: Sequence[Mapping[str, Any]]) -> list[Table]:
    """The penalties of every pair by layer, the controls beside them: a table a pair."""
    found = marked(as_records(records))
    unit = next((m.unit for r in found if (m := r.metric("penalty")) is not None), "points")
    caption = f"penalty in {unit} (negative: better than the top itself)"
    return [_pair_table(f"{bottom} -> {top}: {caption}", seams) for (bottom, top), seams in _by_pair(found).items()]


_Seams = dict[tuple[int, str, str], dict[str, list[Record]]]  # (index, bottom layer, top layer): column: records


def _by_pair(records: Sequence[Record]) -> dict[tuple[str, str], _Seams]:
    """The records of each pair; those of controls of the top alone stand beside every pair with that top."""
    found: dict[tuple[str, str], _Seams] = {}
    several = len({record.fit["samples"] for record in records}) > 1
    of_the_top = [record for record in records if _of_the_top(record)]
    for record in records:
        if not _of_the_top(record):
            place = (record.top.index or 0, record.bottom.layer, record.top.layer)
            pair = found.setdefault((record.bottom.name, record.top.name), {})
            pair.setdefault(place, {}).setdefault(_column(record, several), []).append(record)
    for (_, top), seams in found.items():
        for (_, _, layer), cells in seams.items():
            for record in of_the_top:
                if (top, layer) == (record.top.name, record.top.layer):
                    cells.setdefault(_column(record, several), []).append(record)
    return found


def _pair_table(caption: str, seams: _Seams) -> Table:
    columns = list(dict.fromkeys(name for cells in seams.values() for name in cells))
    body = []
    for (_, below, above), cells in sorted(seams.items()):
        seam = above if below == above else f"{below} -> {above}"
        body.append([seam, *(_penalty(cells.get(name, [])) for name in columns)])
    heads = ["layer", *columns]
    if len(columns) > _MOST_COLUMNS:  # turned: many narrow columns cannot be read
        heads, *body = map(list, zip(heads, *body))
        heads[0] = "stitch"
    return _table(caption, heads, body)


def metrics_summary(record: Record, title: str) -> Table:
    """All that was measured of one stitch."""
    rows = [
        [m.name, f"{m.known:.4g}", "" if m.low is None else f"[{m.low:.4g}, {m.high:.4g}]", m.unit]
        for m in record.metrics
    ]
    return _table(title, ["metric", "value", "95 % interval", "unit"], rows)


def grid_summaries(frame: pl.DataFrame, by: str, title: Callable[[str], str], digits: int = 3) -> list[Table]:
    """Values of a pair's layers, the bottom's down, the top's to the right, null levels in brackets: a table a group.

    Args:
        frame: rows of one pair with bottom_layer, top_layer, value, and null_mean where there is one.
        by: the column of the groups, such as "measure".
        title: of a group's name.
        digits: after the point.
    """
    found = []
    for name in frame[by].unique(maintain_order=True).to_list():
        part = frame.filter(pl.col(by) == name)
        columns = part["top_layer"].unique(maintain_order=True).to_list()
        body = []
        for below in part["bottom_layer"].unique(maintain_order=True).to_list():
            row = {r["top_layer"]: r for r in part.filter(bottom_layer=below).iter_rows(named=True)}
            body.append([below, *(_grid_cell(row.get(column), digits) for column in columns)])
        bottom, top = part["bottom"][0], part["top"][0]
        found.append(_table(title(name), [f"{bottom} (down) / {top} (right)", *columns], body))
    return found


def similarity_summaries(frame: pl.DataFrame, weights: Mapping[str, str]) -> list[Table]:
    """The similarities of two networks, layer by layer, a table a measure; of more networks, network by network."""
    names = list(dict.fromkeys(name for pair in frame.select("bottom", "top").iter_rows() for name in pair))
    if len(names) > 2:
        from .family import family_of, renamed
        from .family_page import family_tables

        marks = {name: mark(name, weights.get(name, "")) for name in names}
        return family_tables(family_of([renamed(frame, marks)], list(marks.values())))
    told = " (null level)" if frame["null_mean"].is_not_null().any() else ""
    found: list[Table] = []
    for bottom, top in frame.select("bottom", "top").unique(maintain_order=True).iter_rows():
        part = frame.filter(bottom=bottom, top=top)
        marks = {"bottom": mark(bottom, weights.get(bottom, "")), "top": mark(top, weights.get(top, ""))}
        part = part.with_columns(**{side: pl.lit(text) for side, text in marks.items()})
        found += grid_summaries(part, "measure", lambda name: f"{name}{told}")
    return found


def _grid_cell(row: Mapping[str, Any] | None, digits: int) -> str:
    """A value, its null level in brackets where it has one."""
    if row is None or row["value"] is None:
        return "-"
    null = row.get("null_mean")
    return f"{row['value']:.{digits}f}" + ("" if null is None else f" ({null:.{digits}f})")


def as_html(tables: Sequence[Table], figures: Sequence[Figure] = (), text: str = "") -> str:
    """What a notebook shows: tables, figures below them, and a line of text; all names are escaped."""
    from markupsafe import Markup

    from .figures.svg import to_svg
    from .page import render

    return render("notebook.html", tables=tables, drawings=[Markup(to_svg(figure)) for figure in figures], text=text)


def _table(caption: str, head: Sequence[str], body: Sequence[Sequence[str]]) -> Table:
    return Table(caption, tuple(head), tuple(tuple(map(TableCell, row)) for row in body))


def _of_the_top(record: Record) -> bool:
    return record.control in CONTROLS and CONTROLS[record.control].of_the_top


def _column(record: Record, several: bool) -> str:
    control = record.control
    if control in CONTROLS and not CONTROLS[control].fitted:
        return str(control)
    setting = f"{record.family} {record.objective}"
    if several:
        setting += f", {record.fit['samples'] or record.data['fit']} examples"
    return setting if control == "pair" else f"{control} ({setting})"


def _penalty(records: Sequence[Record]) -> str:
    """The penalty of one fit, or the mean of several with the interval over seeds and examples."""
    records = [record for record in records if record.metrics]
    metric = records[0].metric("penalty") if records else None
    if metric is None:
        return "-"
    if len(records) > 1:
        found = pool(records)
        return f"{shown(found.value, found.low, found.high, unit=metric.unit)} n={found.seeds}"
    return shown(metric.known, metric.low, metric.high, unit=metric.unit)
