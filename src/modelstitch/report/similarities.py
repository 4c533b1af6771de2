"""Similarities of layers as plain rows: their table, what to note of them, and the file that keeps them. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from ..errors import StudyError
from ..support import tables
from ..support.hashing import canonical_json
from ..support.reading import json_of

CHANCE = ("p", "q", "score", "p_grid", "score_grid")  # beside shuffled pairings, see ``measures.calibrate.Chance``
SCHEMA: dict[str, Any] = {
    f"{side}{what}": kind
    for side in ("bottom", "top")
    for what, kind in (("", pl.String), ("_layer", pl.String), ("_index", pl.Int64), ("_depth", pl.Float64))
} | {
    "measure": pl.String,
    "kind": pl.String,
    **dict.fromkeys(("value", "null_mean", "null_low", "null_high", *CHANCE), pl.Float64),
    "n": pl.Int64,
    "note": pl.String,
}
_SPEC = "spec"  # the column of what was asked, in each row
_LEVEL = 0.05
_NOTES = 2  # of one measure, in words; a hundred pairs of layers may lack a value for one reason


def frame(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """One value a row, with the columns of ``SCHEMA``; what shuffled pairings say is null where none was asked for."""
    return pl.DataFrame(list(rows), SCHEMA)


def placed(table: pl.DataFrame) -> pl.DataFrame:
    """The frame as figures read it: the measure as ``metric``, control "pair"."""
    return table.with_columns(pl.lit("pair").alias("control"), pl.col("measure").alias("metric"))


def notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why values are missing: a few notes of each measure, and how many more there are."""
    by_measure: dict[str, dict[str, None]] = {}
    for row in rows:
        if row["note"]:
            by_measure.setdefault(row["measure"], {})[row["note"]] = None
    found = []
    for name, said in by_measure.items():
        found += list(said)[:_NOTES]
        if len(said) > _NOTES:
            found.append(
                f"{name}: {len(said) - _NOTES} more notes like these stand in the column 'note' of the values."
            )
    return list(dict.fromkeys(found))


def best_pairs(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say of each measure which layers are most alike, and whether the best of shuffled grids are less so.

    The grid is that of two networks; of more networks nothing is said of chance, since each pair has a grid of its own.
    """
    found = []
    for name in dict.fromkeys(row["measure"] for row in rows):
        mine = [row for row in rows if row["measure"] == name and row.get("p_grid") is not None]
        if not mine:
            continue
        order = max if mine[0]["kind"] == "similarity" else min
        best = order(mine, key=lambda row: row["value"])
        said = (
            f"{name}: of {len(mine):,} pairs, {best['bottom_layer']} of {best['bottom']} and {best['top_layer']} of "
            f"{best['top']} are most alike ({best['value']:.3g})"
        )
        if len({(row["bottom"], row["top"]) for row in mine}) == 1:
            beyond = "more" if best["p_grid"] <= _LEVEL else "no more"
            said += (
                f", {beyond} than the best pairs of shuffled examples (p = {best['p_grid']:.2g}; "
                f"{best['score_grid']:.2f} where 0 is chance and 1 is equal)"
            )
        found.append(f"{said}.")
    return found


def write_parquet(rows: Sequence[Mapping[str, Any]], spec: Mapping[str, Any], path: Path) -> None:
    """Write the table with what was asked.

    Raises:
        StudyError: the file cannot be written.
    """
    table = frame(rows).with_columns(pl.lit(canonical_json(dict(spec), what=_SPEC)).alias(_SPEC))
    tables.write(table, path)


def is_similarities(table: pl.DataFrame) -> bool:
    """Whether a table is one that ``write_parquet`` wrote."""
    return table.columns == [*SCHEMA, _SPEC, tables.DIGEST]


def from_table(table: pl.DataFrame, path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of such a table, and what was asked.

    Raises:
        StudyError: there is no row, or one changed since it was written.
    """
    held = table.drop(tables.DIGEST)
    try:
        if not len(held) or table[tables.DIGEST].to_list() != [tables.digest(held)] * len(held):
            raise ValueError("its rows are not those of its digest")
        return held.drop(_SPEC).to_dicts(), dict(json_of(held[_SPEC][0]))
    except (TypeError, ValueError) as error:
        raise StudyError(f"{path} holds no whole similarities ({error}): save them again.") from error
