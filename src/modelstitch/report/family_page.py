"""One inert HTML page of a family of networks: its tree and map by every measure, and what tells its groups apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from ..errors import MeasureError
from .family import ALL, NetworkFamily
from .figures.style import number, plain
from .page import Drawings, render
from .similarity_page import provenance
from .tables import Table, TableCell

_NUMBERS = ("silhouette", "auc", "d_prime", "p", "within", "between")
_HEADS = ("silhouette", "AUC", "d'", "p", "mean distance within", "between")


def family_page(
    family: NetworkFamily, *, title: str | None = None, command: str | None = None, notes: Sequence[str] = ()
) -> str:
    """Write the page.

    Args:
        family: names, of networks and of groups, are untrusted.
        title: heading of the page.
        command: the command that made the numbers.
        notes: sentences about how they were made.

    Returns:
        The whole HTML document.
    """
    from markupsafe import Markup

    drawn = Drawings(Markup)
    pictures, left_out = [], []
    for measure in family.measures:
        try:
            pictures.append(drawn.add(family.figure(measure=measure), f"The family by {plain(measure)}"))
        except MeasureError as error:
            left_out.append(str(error))
    kin = bool(family.groups)
    return render(
        "family.html",
        title=plain(title or f"A family of {len(family.names)} networks"),
        summary=_summary(family),
        reading=_reading(family),
        sentences=[plain(text) for text in family.sentences()],
        separation=drawn.add(family.figure("separation"), "What tells the groups apart") if kin else None,
        overview=separation_table(family, whole=True) if kin else None,
        depths=separation_table(family, whole=False) if kin else None,
        pictures=pictures,
        numbers=family_tables(family),
        provenance=provenance(command, [*left_out, *notes]),
    )


def separation_table(family: NetworkFamily, *, whole: bool) -> Table:
    """How far groups stand apart: over all depths, or at each."""
    own = family.separation.filter((pl.col("layer") == ALL) if whole else (pl.col("layer") != ALL))
    if whole:
        own = own.sort("auc", "d_prime", descending=True, nulls_last=True)
    body = [
        tuple(map(TableCell, [plain(row["measure"]), *([] if whole else [plain(row["layer"])]), *_cells(row)]))
        for row in own.iter_rows(named=True)
    ]
    heads = ("measure", *(() if whole else ("layer",)), *_HEADS)
    return Table("Groups, all depths together" if whole else "Groups at each depth", heads, tuple(body))


def family_tables(family: NetworkFamily) -> list[Table]:
    """Every network with every other, the mean over depths: a table a measure."""
    found = []
    for measure, kind in family.measures.items():
        rows = family.matrix(measure).drop("group", strict=False).iter_rows()
        body = [tuple(TableCell(plain(cell) if i == 0 else _cell(cell)) for i, cell in enumerate(row)) for row in rows]
        heads = ("network", *(plain(name) for name in family.names))
        found.append(
            Table(f"{plain(measure)}, a {kind}: the mean over {len(family.layers)} depths", heads, tuple(body))
        )
    return found


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [_cell(row[name], 2 if name != "p" else 3) for name in _NUMBERS]


def _cell(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else number(value, digits)


def _summary(family: NetworkFamily) -> str:
    groups = len(set(family.groups.values()))
    told = f", {groups} groups" if groups else ""
    return f"{len(family.names)} networks{told}, {len(family.layers)} depths, measures: {', '.join(family.measures)}."


def _reading(family: NetworkFamily) -> list[str]:
    found = [
        "Every layer of a network meets the layer of each other network at the nearest depth. A value says how alike "
        "two networks represent the same examples: of a similarity 1 is equal, of a distance 0. What looks one way, "
        "such as R² or a penalty, is the mean of both ways.",
        "Tree and map are drawn from distances: what a similarity lacks to 1, or the distance itself (below 0 it "
        "counts as 0). A map with a stress above 0.2 misleads: trust the tree and the numbers.",
    ]
    if family.groups:
        found.append(
            "AUC, d' and silhouette ask whether two networks of one group are nearer than two of different groups. "
            "Pairs share networks and are not independent, so p holds the AUC against groups of shuffled names."
        )
    return found
