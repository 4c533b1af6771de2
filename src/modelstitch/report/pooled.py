"""Several seeds and several pairs as one number: hierarchical intervals in the frame, and one row over all pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from ..errors import MeasureError
from ..records.record import Record, Setting, as_records
from ..stats.bootstrap import controlled
from ..stats.pooling import Pooled, normalised, p_of_none, pool

Ratio = tuple[Pooled | None, str]


class _Pool(NamedTuple):
    """What records must share to be pooled over seeds; without the names, over pairs too."""

    bottom_layer: str
    top_layer: str
    setting: Setting
    control: str
    bottom: str = ""
    top: str = ""


def settled(table: pl.DataFrame, records: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """The frame with, where several seeds fitted one seam, the interval over seeds and examples on each of their rows.

    Records that keep no examples are left with the intervals of their own.
    """
    rows = []
    for group in _groups(as_records(records), _named).values():
        found = _try(group) if len(group) > 1 else None
        if found is not None:
            rows += [{"cell": r.cell, "metric": "penalty", "_low": found.low, "_high": found.high} for r in group]
    schema = {"cell": pl.String, "metric": pl.String, "_low": pl.Float64, "_high": pl.Float64}
    joined = table.join(pl.DataFrame(rows, schema=schema), on=["cell", "metric"], how="left", maintain_order="left")
    ends = [pl.coalesce(f"_{end}", end).alias(end) for end in ("low", "high")]
    return joined.with_columns(*ends).drop("_low", "_high")


def pooled(records: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """One row a seam, setting and control, over all pairs and seeds; records that keep no examples are left out.

    Columns: bottom_layer, top_layer, top_depth, the setting, control, value, low, high, unit, and how many pairs, seeds
    (fits) and examples stand behind it; on rows of pairs the normalised penalty (normalised, normalised_low,
    normalised_high), or the reason why there is none; and p, how often a penalty as far from 0 would be seen if there
    were none, beside q, p with the false discovery rate over the layers of one setting controlled (Benjamini and
    Hochberg 1995).
    """
    groups = _groups(as_records(records), _unnamed)
    rows = []
    for place, group in groups.items():
        found = _try(group)
        if found is None:
            continue
        row = {**place.setting._asdict(), "bottom_layer": place.bottom_layer, "top_layer": place.top_layer}
        row |= {"control": place.control, "top_depth": group[0].top.depth, **vars(found)}
        if place.control == "pair":
            ratio, row["reason"] = _ratio(place, group, groups)
            if ratio is not None:
                row |= {"normalised": ratio.value, "normalised_low": ratio.low, "normalised_high": ratio.high}
            row["p"] = p_of_none(group)
        rows.append(row)
    for setting in {place.setting for place in groups}:
        asked = setting._asdict().items()
        mine = [row for row in rows if "p" in row and all(row[key] == value for key, value in asked)]
        for row, q in zip(mine, controlled([row["p"] for row in mine])):
            row["q"] = q
    table = pl.DataFrame(rows, schema=_SCHEMA, strict=False)
    return table.sort("top_depth", maintain_order=True)


def ratios(
    records: Sequence[Mapping[str, Any]], bottom: str, top: str, setting: Setting
) -> dict[tuple[str, str], Ratio]:
    """The normalised penalty of one pair, {(bottom layer, top layer): (estimate or None, the reason)}."""
    mine = [
        r
        for r in as_records(records)
        if r.top.name == top and (r.control == "self" or r.bottom.name == bottom) and r.setting == setting
    ]
    groups = _groups(mine, _unnamed)
    return {
        (place.bottom_layer, place.top_layer): _ratio(place, group, groups)
        for place, group in groups.items()
        if place.control == "pair" and _try(group) is not None
    }


def _ratio(place: _Pool, group: Sequence[Record], groups: Mapping[_Pool, Sequence[Record]]) -> Ratio:
    own = place._replace(control="self", bottom_layer=place.top_layer)
    return normalised(group, groups.get(own, ()), groups.get(place._replace(control="random"), ()))


def _groups(records: Iterable[Record], key: Callable[[Record], _Pool]) -> dict[_Pool, list[Record]]:
    found: dict[_Pool, list[Record]] = {}
    for record in records:
        found.setdefault(key(record), []).append(record)
    return found


def _unnamed(record: Record) -> _Pool:
    return _Pool(record.bottom.layer, record.top.layer, record.setting, record.control)


def _named(record: Record) -> _Pool:
    return _unnamed(record)._replace(bottom=record.bottom.name, top=record.top.name)


def _try(group: Sequence[Record]) -> Pooled | None:
    try:
        return pool(group)
    except MeasureError:
        return None


_SCHEMA: dict[str, Any] = {
    "bottom_layer": pl.String,
    "top_layer": pl.String,
    "top_depth": pl.Float64,
    **dict.fromkeys(("family", "objective", "init", "normalisation"), pl.String),
    "samples": pl.Int64,
    "control": pl.String,
    **dict.fromkeys(("value", "low", "high"), pl.Float64),
    "unit": pl.String,
    **dict.fromkeys(("pairs", "seeds", "examples"), pl.Int64),
    **dict.fromkeys(("normalised", "normalised_low", "normalised_high"), pl.Float64),
    "reason": pl.String,
    **dict.fromkeys(("p", "q"), pl.Float64),
}
