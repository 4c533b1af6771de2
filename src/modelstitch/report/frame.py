"""Records as a tidy frame (one value a row), and the selections that figures, tables and sentences share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from ..engine.controls import CONTROLS
from ..records.answers import NATS, Answers
from ..records.record import Metric, Record, Setting, as_records
from ..stats.examples import answers_of, unpack
from ..support.memory import uncollected
from .sentences.units import UnitScale, scale_of

_ENDS = [
    {side: pl.String, f"{side}_layer": pl.String, f"{side}_depth": pl.Float64, f"{side}_index": pl.Int64}
    for side in ("bottom", "top")
]
_SCHEMA: dict[str, Any] = {
    **_ENDS[0],
    **_ENDS[1],
    **dict.fromkeys(("family", "objective", "init", "control"), pl.String),
    "seed": pl.Int64,
    "normalisation": pl.String,
    "samples": pl.Int64,
    "cell": pl.String,
    "metric": pl.String,
    **dict.fromkeys(("value", "low", "high"), pl.Float64),
    "unit": pl.String,
}


@dataclass(frozen=True)
class Point:
    """Hold one place of a curve: the mean over seeds with its widest interval.

    Where ``modelstitch.report.pooled.settled`` went over the frame, all of them have the hierarchical one.

    Attributes:
        layer: where the top starts.
        depth: of it, as a share of weighted operations.
        bottom_layer: where the bottom ends.
        value: the mean.
        low: the lower end of the interval; the value where there is none.
        high: the upper end; the value where there is none.
        sure: whether there is an interval.
        unit: of the three.
        seeds: how many cells stand behind it.
        own: how values of its unit are judged and rounded, where the unit alone does not say.

    Examples:
        >>> ms.report.Point.of("block2", 0.5, None, 1.0, None, None, "points", 1).sure
        False
    """

    layer: str
    depth: float
    bottom_layer: str | None
    value: float
    low: float
    high: float
    sure: bool
    unit: str
    seeds: int
    own: UnitScale | None = None

    @property
    def scale(self) -> UnitScale:
        """How its value is judged and rounded."""
        return scale_of(self.unit) if self.own is None else self.own

    @classmethod
    def of(
        cls,
        layer: str,
        depth: float | None,
        bottom_layer: str | None,
        value: float,
        low: float | None,
        high: float | None,
        unit: str,
        seeds: int,
        own: UnitScale | None = None,
    ) -> Point:
        """Make a place with its interval, or with none where an end is None.

        Args:
            layer: where the top starts.
            depth: of it; NaN where it is unknown.
            bottom_layer: where the bottom ends.
            value: the mean.
            low: the lower end of the interval.
            high: the upper end.
            unit: of all three.
            seeds: how many cells stand behind it.
            own: how values of its unit are judged and rounded.

        Returns:
            The place.

        Examples:
            >>> ms.report.Point.of("block2", 0.5, None, 1.0, 0.5, 2.0, "points", 3).sure
            True
        """
        if low is None or high is None:
            return cls(layer, float(depth or 0.0), bottom_layer, value, value, value, False, unit, seeds, own)
        return cls(layer, float(depth or 0.0), bottom_layer, value, float(low), float(high), True, unit, seeds, own)


def frame(records: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Lay records out as a tidy frame, one value a row (``.to_pandas()`` gives it to pandas).

    Columns: bottom, bottom_layer, bottom_depth, bottom_index, the same for top, family, objective, init,
    control, seed, normalisation, samples (fit examples), cell, metric, value, low, high, unit; without records too.
    A stitch that failed has one row, a penalty without a value.

    Raises:
        RecordError: what was given is no record.
    """
    cells = as_records(records)
    metrics = [record.metrics or (_FAILED,) for record in cells]
    with uncollected():
        heads, measured = (
            pl.DataFrame(rows, schema={key: _SCHEMA[key] for key in keys}, strict=False, orient="row")
            for rows, keys in (
                ([_head(record) for record in cells], list(_SCHEMA)[: -len(_MEASURED)]),
                ([metric for one in metrics for metric in one], _MEASURED),
            )
        )
    whose = [at for at, one in enumerate(metrics) for _ in one]
    return pl.concat([heads[whose], measured], how="horizontal")


_MEASURED = ("metric", "value", "low", "high", "unit")
_FAILED = Metric("penalty", None)


def _head(record: Record) -> tuple[Any, ...]:
    """What the rows of a record have in common, in the order of the columns."""
    bottom, top = record.bottom, record.top
    return (
        bottom.name,
        bottom.layer or None,
        bottom.depth,
        bottom.index,
        top.name,
        top.layer or None,
        top.depth,
        top.index,
        *record.setting[:3],
        record.control,
        record.seed,
        record.setting.normalisation,
        record.samples,
        record.cell,
    )


def examples(records: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """One row a test sample of every record that keeps them: see ``modelstitch.Results.examples``.

    Raises:
        MeasureError: if the answers of a record cannot be read.
    """
    kept = [record for record in as_records(records) if record.examples is not None]
    heads = pl.DataFrame(
        [
            (r.cell, r.bottom.name, r.bottom.layer, r.top.name, r.top.layer, r.family, r.objective, r.control, r.seed)
            for r in kept
        ],
        schema={key: _SCHEMA[key] for key in _OF_AN_EXAMPLE},
        strict=False,
        orient="row",
    )
    parts = []
    for at, record in enumerate(kept):
        both, alone, answers = unpack(record), unpack(record, alone=True), answers_of(record)
        n = len(both.deltas)
        points, own = both.unit == "points", record.metric("error")
        columns = {
            "at": np.full(n, at, np.uint32),
            "sample": np.arange(n),
            **_answered(answers),
            "loss": answers.losses if points else alone.deltas if both.unit == NATS else None,
            "stitched_error": alone.deltas,
            "top_error": alone.deltas - both.deltas,
            "weight": both.weights,
            "unit": [both.unit if own is None else own.unit] * n,
        }
        empty_columns = {name: pl.Series([None] * n, dtype=_EXAMPLE[name]) for name, v in columns.items() if v is None}
        parts.append(pl.DataFrame({**columns, **empty_columns}, schema=_EXAMPLE))
    rows = pl.concat(parts) if parts else pl.DataFrame(schema=_EXAMPLE)
    return pl.concat([heads[rows["at"]], rows.drop("at")], how="horizontal")


_OF_AN_EXAMPLE = ("cell", "bottom", "bottom_layer", "top", "top_layer", "family", "objective", "control", "seed")
_ANSWERED = [f"{side}{what}" for side in ("", "bottom_", "top_") for what in ("right", "answer")]
_EXAMPLE: dict[str, Any] = {
    "at": pl.UInt32,
    **dict.fromkeys(("sample", "label", *_ANSWERED), pl.Int64),
    **dict.fromkeys(("loss", "stitched_error", "top_error", "weight"), pl.Float64),
    "unit": pl.String,
}


def _answered(answers: Answers) -> dict[str, Any]:
    found: dict[str, Any] = {"label": answers.labels}
    for prefix, side in (("", "stitched"), ("bottom_", "bottom"), ("top_", "top")):
        found |= {f"{prefix}right": answers.right[side], f"{prefix}answer": answers.classes[side]}
    return found


SCALING = ("near", "chance_error")  # the metrics that say how a penalty is judged
_NEAR = 0.03  # of the error of one answer for all samples


def unit_of(rows: pl.DataFrame) -> str:
    """The unit of the penalties among rows; points where none is stated."""
    if "unit" not in rows.columns:
        return "points"
    return str(rows.filter(pl.col("metric") == "penalty")["unit"].drop_nulls().first() or "points")


def scale_in(rows: pl.DataFrame) -> UnitScale:
    """How the penalties among rows are judged, drawn and rounded.

    Points and nats have levels of their own. Other units, points of something too, are judged by what the task says is
    near, else by the error of one answer that is the same for all samples.
    """
    unit = unit_of(rows)
    if unit in ("points", NATS) or "metric" not in rows.columns:
        return scale_of(unit)
    values = {name: rows.filter(pl.col("metric") == name)["value"].drop_nulls() for name in SCALING}
    said, level = values["near"].max(), values["chance_error"].abs().max()
    near = float(said or 0.0) or _NEAR * float(level or 0.0)  # type: ignore[arg-type]
    return UnitScale.around(near) if near > 0 else scale_of(unit)


def leveled(table: pl.DataFrame) -> pl.DataFrame:
    """The frame with one level of chance for all rows, so that all panels of a page are judged alike."""
    level = pl.col("value").filter(pl.col("metric") == "chance_error").max()
    return table.with_columns(pl.when(pl.col("metric") == "chance_error").then(level).otherwise("value").alias("value"))


def measured(table: pl.DataFrame) -> pl.DataFrame:
    """The penalties that have a value."""
    return table.filter((pl.col("metric") == "penalty") & pl.col("value").is_not_null())


def pairs(table: pl.DataFrame) -> list[tuple[str, str]]:
    """The ``(bottom, top)`` pairs of two networks, sorted by name."""
    rows = table.filter(pl.col("control") == "pair").select("bottom", "top").unique().sort("top", "bottom")
    return [(bottom, top) for bottom, top in rows.iter_rows()]


def settings(table: pl.DataFrame) -> list[Setting]:
    """The settings in which pairs were stitched, the most telling first (task and affine lead)."""
    keys = list(Setting._fields)
    rows = table.filter(pl.col("control") == "pair").select(keys).unique()
    found = [Setting(*row) for row in rows.iter_rows()]
    order = {"task": 0, "distill": 1, "downstream": 2, "sensitivity": 3, "match": 4}
    return sorted(
        found,
        key=lambda s: (
            order.get(s.objective or "", 9),
            s.family != "affine",
            s.init != "closed",
            s.normalisation != "frozen",
            -(s.samples or 0),
            tuple(str(part) for part in s),
        ),
    )


def panel(table: pl.DataFrame, bottom: str, top: str, setting: Setting | None = None) -> pl.DataFrame:
    """The rows that belong beside one pair: its own, its bottom's controls, its top's self and class-noise.

    With a setting, only its rows; the controls that have nothing to fit stay.
    """
    of_the_top = [name for name, control in CONTROLS.items() if control.of_the_top]
    rows = table.filter((pl.col("top") == top) & ((pl.col("bottom") == bottom) | pl.col("control").is_in(of_the_top)))
    if setting is not None:
        same = pl.all_horizontal(
            *(pl.col(key).eq_missing(pl.lit(value, dtype=_SCHEMA[key])) for key, value in setting._asdict().items())
        )
        rows = rows.filter(same | pl.col("control").is_in([n for n, control in CONTROLS.items() if not control.fitted]))
    return rows


def matched(table: pl.DataFrame) -> pl.DataFrame:
    """Of every top layer only the bottom layer at the nearest depth.

    Of several as near the one of its name, else the earliest.

    Layers without weights lie as deep as what they follow, so that in one architecture depth alone would pair them
    wrongly.
    """
    keys = ["bottom", "top", "control", "top_layer"]
    gap = (pl.col("bottom_depth") - pl.col("top_depth")).abs().fill_null(0.0)
    other = (pl.col("bottom_layer") != pl.col("top_layer")).fill_null(False)
    ranked = table.with_columns(
        gap.alias("_gap"), other.alias("_other"), pl.col("bottom_index").fill_null(0).alias("_at")
    )
    nearest = (
        ranked.sort("_gap", "_other", "_at").group_by(keys, maintain_order=True).agg(pl.col("bottom_layer").first())
    )
    return table.join(nearest, on=[*keys, "bottom_layer"], how="semi", nulls_equal=True)


class SeamMeans(NamedTuple):
    """One seam of a pair, means over its fits.

    Attributes:
        bottom_layer, layer: of the bottom and of the top.
        skipped: by how much of the depth the bottom's layer lies deeper than the top's.
        penalty, low, high, unit: of the stitch; low and high equal the penalty where there is no interval.
        relative_mse: of its activations; None where it is unknown.
        own: how values of its unit are judged, where the unit alone does not say.
    """

    bottom_layer: str
    layer: str
    skipped: float
    penalty: float
    low: float
    high: float
    unit: str
    relative_mse: float | None
    own: UnitScale | None = None

    @property
    def scale(self) -> UnitScale:
        """How its penalty is judged and rounded."""
        return scale_of(self.unit) if self.own is None else self.own


def seams(rows: pl.DataFrame) -> list[SeamMeans]:
    """Every seam of a pair, matching or not, in the order of the top's layers."""
    keys = ["bottom_layer", "top_layer"]
    mean = [pl.col("value").filter(pl.col("metric") == name).mean().alias(name) for name in ("penalty", "relative_mse")]
    skipped = (pl.col("bottom_depth") - pl.col("top_depth")).first().fill_null(0.0).alias("skipped")
    penalty = pl.col("metric") == "penalty"
    unit = pl.col("unit").filter(penalty).drop_nulls().first().alias("unit")
    ends = [
        getattr(pl.coalesce(end, "value").filter(penalty), f)().alias(end)
        for end, f in (("low", "min"), ("high", "max"))
    ]
    own = rows.filter((pl.col("control") == "pair") & pl.col("bottom_layer").is_not_null())
    found = (
        own.sort("top_index", "bottom_index", nulls_last=True)
        .group_by(keys, maintain_order=True)
        .agg(*mean, skipped, unit, *ends)
    )
    known = found.drop_nulls("penalty").with_columns(pl.col("unit").fill_null(""))
    order = ("bottom_layer", "top_layer", "skipped", "penalty", "low", "high", "unit", "relative_mse")
    scale = scale_in(rows)
    return [SeamMeans(*row)._replace(own=scale) for row in known.select(order).iter_rows()]


def curve(rows: pl.DataFrame, control: str = "pair", metric: str = "penalty") -> list[Point]:
    """One curve of a panel along the depth of the top; only seams between matching layers count."""
    chosen = matched(rows).filter(
        (pl.col("control") == control) & (pl.col("metric") == metric) & pl.col("value").is_not_null()
    )
    points = []
    scale = scale_in(rows) if metric == "penalty" else None
    for _, part in chosen.sort("top_depth", "top_index", nulls_last=True).group_by("top_layer", maintain_order=True):
        first, ends = part.row(0, named=True), part.select("low", "high")
        sure = not any(ends.null_count().row(0))
        low: Any = ends["low"].min() if sure else None
        high: Any = ends["high"].max() if sure else None
        points.append(
            Point.of(
                str(first["top_layer"]),
                first["top_depth"],
                first["bottom_layer"],
                float(part["value"].mean()),  # type: ignore[arg-type]
                low,
                high,
                str(first["unit"] or ""),
                part["cell"].n_unique(),
                scale,
            )
        )
    return points


def unmeasured(rows: pl.DataFrame, control: str = "pair") -> list[tuple[str, float]]:
    """The layers, with their depth, that have no penalty of that control though it was asked for: the fit failed.

    Of a pair, also those at which a control of its bottom was fitted, but not the bottom as it is.
    """
    beside = [name for name, c in CONTROLS.items() if c.fitted and not c.of_the_top] if control == "pair" else []
    asked = [control, *beside]
    own = matched(rows).filter(pl.col("control").is_in(asked)).sort("top_depth", "top_index", nulls_last=True)
    known = {p.layer for p in curve(rows, control)}
    places = own.select("top_layer", pl.col("top_depth").fill_null(0.0)).unique(maintain_order=True)
    return [(str(layer), float(depth)) for layer, depth in places.iter_rows() if layer not in known]


def has_matrix(rows: pl.DataFrame) -> bool:
    """Whether some top layer of the pair was met by more than one bottom layer."""
    own = rows.filter(pl.col("control") == "pair")
    if own.is_empty():
        return False
    counts = own.group_by("top_layer").agg(pl.col("bottom_layer").n_unique())
    return int(counts["bottom_layer"].max()) > 1  # type: ignore[arg-type]


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
