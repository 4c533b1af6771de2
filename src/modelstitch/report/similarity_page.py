"""One inert HTML page of two networks' layers side by side: penalty of stitches, measures, or both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from ..errors import StudyError
from ..support.version import VERSION
from . import tables
from .figures.heatmaps import matrix_figure
from .figures.pair import ladder_figure, scatter_figure
from .figures.style import number, plain
from .frame import _SCHEMA
from .page import Drawings, render
from .similarities import best_pairs, placed
from .tables import Table, TableCell

_SIDE_BY_SIDE = 3
_FEWEST_DOTS = 5


def similarity_page(
    bottom: str,
    top: str,
    measured: pl.DataFrame | None,
    stitched: pl.DataFrame | None,
    *,
    title: str | None = None,
    command: str | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Write the page.

    Args:
        bottom, top: the networks' names; untrusted, as layer names are.
        measured: rows of ``modelstitch.report.similarities.frame``, or None.
        stitched: rows of ``modelstitch.Results.frame``, with what families are, or None.
        title: heading of the page.
        command: the command that made the numbers.
        notes: sentences about how they were made.

    Returns:
        The whole HTML document.

    Raises:
        StudyError: neither has a value.
    """
    from markupsafe import Markup

    measured = None if measured is None else placed(measured)
    parts = [_complete(rows) for rows in (stitched, measured) if rows is not None]
    table = pl.concat(parts) if parts else _complete(pl.DataFrame())
    _refuse_empty(table, measured, bottom, top)
    families = table["family"].drop_nulls().unique(maintain_order=True).to_list()
    lead = families[0] if families else None
    shown = table.filter(pl.col("family").is_null() | (pl.col("family") == pl.lit(lead, dtype=pl.String)))
    measures, empty = _measured(measured, shown)
    notes = [*(f"{m} has no value for any pair of layers: its heat map is left out." for m in empty), *notes]
    drawn, name = Drawings(Markup), f"{plain(bottom)} → {plain(top)}"
    return render(
        "similarity.html",
        title=plain(title or f"{bottom} and {top}"),
        summary=_summary(shown, families, measures),
        reading=[*_reading(bottom, top, families, measures), *_best(measured)],
        maps=_maps(shown, bottom, top, measures, drawn),
        scatters=_scatters(shown, measures, drawn),
        **_ladder(table, bottom, top, drawn if families[1:] else None),
        families=_families(stitched) if families else None,
        numbers=[
            *(_numbers(shown, metric, name, measured) for metric in _stitched(shown) + measures),
            *_others(table, families[1:], name),
        ],
        provenance=provenance(command, notes),
    )


def _measured(measured: pl.DataFrame | None, shown: pl.DataFrame) -> tuple[list[str], list[str]]:
    """The measures that have a value somewhere, and those that have none."""
    asked = measured["metric"].unique(maintain_order=True).to_list() if measured is not None else []
    known = _known(shown)
    return [m for m in asked if m in known], [m for m in asked if m not in known]


def _best(measured: pl.DataFrame | None) -> list[str]:
    return [] if measured is None else list(map(plain, best_pairs(measured.to_dicts())))


def _refuse_empty(table: pl.DataFrame, measured: pl.DataFrame | None, bottom: str, top: str) -> None:
    if table["value"].is_null().all():
        reasons = measured["note"].to_list() if measured is not None and "note" in measured.columns else []
        why = next((f" ({reason.rstrip('.')})" for reason in reasons if reason), "")
        raise StudyError(f"There is nothing to show of {bottom} and {top}: expected a measured value, found none{why}.")


def _complete(rows: pl.DataFrame) -> pl.DataFrame:
    """The columns that figures and tables know, absent ones empty; a cell of its own for each pair and family."""
    known = [
        pl.col(name).cast(kind) if name in rows.columns else pl.lit(None, dtype=kind).alias(name)
        for name, kind in _SCHEMA.items()
        if name != "cell"
    ]
    cell = pl.concat_str(
        [pl.col(c).fill_null("") if c in rows.columns else pl.lit("") for c in ("bottom_layer", "top_layer", "family")],
        separator="\n",
    )
    return rows.select(*known, cell.alias("cell")) if rows.width else pl.DataFrame(schema=_SCHEMA)


def _stitched(rows: pl.DataFrame) -> list[str]:
    return [m for m in ("penalty", "r2", "agreement_top") if m in _known(rows)]


def _known(rows: pl.DataFrame) -> list[str]:
    """The metrics that have a value somewhere."""
    return rows.filter(pl.col("value").is_not_null())["metric"].unique(maintain_order=True).to_list()


def _maps(rows: pl.DataFrame, bottom: str, top: str, measures: Sequence[str], drawn: Drawings) -> list[Any]:
    """Penalty, the first measure and R² side by side; the other measures below."""
    own = _stitched(rows)
    first = [m for m in ("penalty", *measures[:1], "r2") if m in [*own, *measures]]
    order = list(dict.fromkeys([*first, *measures]))
    rest = [order[i : i + _SIDE_BY_SIDE] for i in range(0, len(order), _SIDE_BY_SIDE)]
    return [
        drawn.add(matrix_figure(rows, bottom, top, some), f"{plain(bottom)} by {plain(top)}: {', '.join(some)}")
        for some in rest
    ]


def _scatters(rows: pl.DataFrame, measures: Sequence[str], drawn: Drawings) -> list[Any]:
    if "penalty" not in rows["metric"].to_list():
        return []
    known = [m for m in [*measures, "r2"] if len(rows.filter(pl.col("metric") == m)) >= _FEWEST_DOTS]
    return [drawn.add(scatter_figure(rows, m), f"Penalty against {m}") for m in known]


def _numbers(rows: pl.DataFrame, metric: str, name: str, measured: pl.DataFrame | None) -> Table:
    """One metric, bottom layers as rows; below a value its interval or the null level."""
    below: dict[tuple[str, str], str] = {}
    digits = 1 if metric in ("penalty", "agreement_top") else 3
    own = rows.filter((pl.col("metric") == metric) & pl.col("low").is_not_null())
    for row in own.iter_rows(named=True):
        below[row["bottom_layer"], row["top_layer"]] = f"[{number(row['low'], digits)}, {number(row['high'], digits)}]"
    caption = f"{name}: {metric}"
    if measured is not None and metric in measured["metric"].to_list():
        part = measured.filter((pl.col("metric") == metric) & pl.col("null_mean").is_not_null())
        for row in part.iter_rows(named=True):
            below[row["bottom_layer"], row["top_layer"]] = f"null {number(row['null_mean'], digits)}"
        caption += f", a {measured.filter(pl.col('metric') == metric)['kind'][0]}"
    return tables.matrix_table(rows, metric, caption, digits=digits, below=below)


def _others(rows: pl.DataFrame, families: Sequence[str], name: str) -> list[Table]:
    """Penalty and R² of every family but the first."""
    found = []
    for family in families:
        own = rows.filter(pl.col("family") == family)
        found += [
            _numbers(own, metric, f"{name}, {plain(family)}", None)
            for metric in _stitched(own)
            if metric in ("penalty", "r2")
        ]
    return found


def _ladder(table: pl.DataFrame, bottom: str, top: str, drawn: Drawings | None) -> dict[str, Any]:
    """The penalties of several families side by side; nothing where there is no sheet to draw on."""
    if drawn is None:
        return {"ladder": None, "ladder_table": None}
    name = f"{plain(bottom)} → {plain(top)}"
    return {
        "ladder": drawn.add(ladder_figure(table, bottom, top), f"Penalty by family, {name}"),
        "ladder_table": tables.ladder_table(table, f"{name}: penalty by family"),
    }


def _families(rows: pl.DataFrame | None) -> Table | None:
    """What each family is: its parameters over all pairs, what leaves it as good as it was, how it is solved."""
    if rows is None or "solved" not in rows.columns:
        return None
    body = []
    for (family, invariance, solved), part in rows.group_by("family", "invariance", "solved", maintain_order=True):
        sizes = part.filter(pl.col("metric") == "parameters")["value"]
        least, most = (f"{int(n):,}" for n in (sizes.min(), sizes.max()))  # type: ignore[arg-type]
        size = least if least == most else f"{least} to {most}"
        body.append(tuple(TableCell(plain(str(text))) for text in (family, size, invariance, solved)))
    return Table("The families of stitchers", ("family", "parameters", "invariant to", "solved by"), tuple(body))


def _summary(rows: pl.DataFrame, families: Sequence[str], measures: Sequence[str]) -> str:
    layers = f"{rows['bottom_layer'].n_unique()} bottom layers by {rows['top_layer'].n_unique()} top layers"
    stitches = f", stitched by {', '.join(plain(f) for f in families)} in closed form" if families else ""
    return f"{layers}{stitches}{'; measures: ' + ', '.join(map(plain, measures)) if measures else ''}."


def _reading(bottom: str, top: str, families: Sequence[str], measures: Sequence[str]) -> list[str]:
    found = []
    if families:
        found.append(
            f"The penalty is the error of {plain(top)} with its lower layers replaced by those of {plain(bottom)} and "
            f"one map ({plain(families[0])}), minus its own error, on held-out data; the map matches activations in "
            "closed form. R² is how much of the top's activations that map explains on held-out data."
        )
    if measures:
        found.append(
            "A measure compares two clouds of points, of the same examples; it says nothing of whether a stitched "
            "model works. Its null level is its value under shuffled pairing: what width and the number of examples "
            "alone bring about."
        )
    if families and measures:
        found.append(
            "A scatter whose dots lie on a falling curve says that the measure orders layers as stitching does (a "
            "distance: a rising one); a dot high at the right (of a distance: at the left) is a pair that looks alike "
            "and does not work."
        )
    return found


def provenance(command: str | None, notes: Sequence[str]) -> Table:
    """How the numbers were made."""
    lines = [("modelstitch", VERSION), *(("note", note) for note in notes), ("command", command or "")]
    body = [(TableCell(name), TableCell(plain(text))) for name, text in lines if text]
    return Table("How these numbers were made", ("what", "value"), tuple(body))
