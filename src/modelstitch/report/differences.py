"""Two runs side by side: the cells of one place, whatever networks, data or version made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from ..records.record import Record, as_records

_KEYS = (
    "bottom",
    "bottom_layer",
    "top",
    "top_layer",
    "control",
    "family",
    "objective",
    "init",
    "normalisation",
    "samples",
    "seed",
)


def differences(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """One row a place that either run has: the penalties of both, and their difference.

    Columns: networks, layers, control, setting and seed; one, other (penalties; null where there is none), difference
    (other minus one), unit, and state: "same" (the same cell with the same numbers), "same question" (the same cell,
    other numbers), "changed" (networks, data or options differ), "only one", "only other".
    """
    first, second = ({_place(r): r for r in as_records(records)} for records in (one, other))
    rows = [(*place, *_row(first.get(place), second.get(place))) for place in dict.fromkeys([*first, *second])]
    text = dict.fromkeys(_KEYS, pl.String) | {"samples": pl.Int64, "seed": pl.Int64}
    numbers = dict.fromkeys(("one", "other", "difference"), pl.Float64)
    return pl.DataFrame(rows, schema={**text, **numbers, "unit": pl.String, "state": pl.String}, orient="row")


def _place(record: Record) -> tuple[Any, ...]:
    bottom, top, setting = record.bottom, record.top, record.setting
    return (bottom.name, bottom.layer, top.name, top.layer, record.control, *setting, record.seed)


def _row(one: Record | None, other: Record | None) -> tuple[Any, ...]:
    found = [None if record is None else record.metric("penalty") for record in (one, other)]
    first, second = (None if metric is None else metric.value for metric in found)
    unit = next((metric.unit for metric in found if metric is not None), "")
    difference = None if first is None or second is None else second - first
    return first, second, difference, unit, _state(one, other)


def _state(one: Record | None, other: Record | None) -> str:
    if one is None or other is None:
        return "only other" if one is None else "only one"
    if one.cell != other.cell:
        return "changed"
    return "same" if one.metrics == other.metrics else "same question"
