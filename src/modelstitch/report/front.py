"""Error beside cost: every stitch and every whole network, and those that no other one beats in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from ..errors import StitchError, StudyError
from ..records.record import End, Metric, Record
from ..support.words import among
from .figures.axes import Drawable, canvas, drawn
from .figures.style import FAINT, number, short
from .tables import Table, TableCell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COSTS = {
    "multiplications": "multiplications a sample",
    "parameters": "parameters",
    "milliseconds": "milliseconds a batch",
    "exported_milliseconds": "milliseconds a batch, exported",
}
_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(("bottom", "bottom_layer", "top", "top_layer", "family", "objective"), pl.String),
    **dict.fromkeys(("error", "penalty", "low", "high"), pl.Float64),
    "unit": pl.String,
    "multiplications": pl.Float64,
    "parameters": pl.Int64,
    **dict.fromkeys(("milliseconds", "exported_milliseconds"), pl.Float64),
    "front": pl.Boolean,
}


class Cost(NamedTuple):
    """What one model costs.

    Attributes:
        multiplications: of one sample, in convolutions, matrix products and attention.
        parameters: numbers that are learned, each once.
        milliseconds: of one batch, the median of several.
        exported_milliseconds: the same of the model as a file, in the engine that runs it; None where there is none.
    """

    multiplications: float
    parameters: int
    milliseconds: float
    exported_milliseconds: float | None = None


Way = tuple[End, End, str, str]  # bottom, top, family, objective; a whole network has layers, family, objective empty


class Front(Drawable):
    """Hold what stitches and whole networks err and cost.

    Attributes:
        frame: one row a stitch (the mean over its seeds) or whole network, whose layers are empty: bottom,
            bottom_layer, top, top_layer, family, objective, error, penalty, low and high (the widest interval of any
            seed), unit, multiplications (of one sample), parameters, milliseconds and exported_milliseconds (of one
            batch), front (whether no other row has both less error and less cost, one of them at least).
        by: the cost that ``front`` is about.
        about: how the costs were measured, in one sentence.

    Examples:
        >>> front = r.front(bottom, top)
        >>> front.by
        'multiplications'
    """

    def __init__(self, frame: pl.DataFrame, by: str, about: str) -> None:
        self.frame, self.by, self.about = frame, by, about

    def __repr__(self) -> str:
        rows = self.frame.filter("front").sort(self.by)
        return f"Front({len(rows)} of {len(self.frame)}, by {self.by}: {', '.join(map(_named, rows.to_dicts()))})"

    @property
    def table(self) -> Table:
        """The rows as texts, from cheap to dear, those of the front marked."""
        times = [name for name in ("milliseconds", "exported_milliseconds") if self.frame[name].null_count() == 0]
        rows = [
            (
                TableCell(_named(row)),
                TableCell("on the front" if row["front"] else ""),
                TableCell(number(row["error"], 2)),
                _penalty(row),
                TableCell(f"{row['multiplications']:,.0f}"),
                TableCell(f"{row['parameters']:,}"),
                *(TableCell(number(row[name], 2)) for name in times),
            )
            for row in self.frame.sort(self.by, "error").iter_rows(named=True)
        ]
        unit = self.frame["unit"][0]
        head = (
            "model",
            "",
            f"error, {unit}",
            "penalty",
            *(COSTS[name] for name in ("multiplications", "parameters", *times)),
        )
        return Table(self.about, head, tuple(rows))

    def figure(self) -> Figure:
        """Draw error against cost, the front as a line.

        Returns:
            A figure of matplotlib, not shown.

        Examples:
            >>> front = r.front(bottom, top)
            >>> front.figure().axes[0].get_xlabel() != ""
            True
        """
        rows = self.frame.sort(self.by, "error")
        whole, best = pl.col("bottom_layer").is_null(), rows.filter("front")
        with drawn():
            fig, axes = canvas(5.2, 3.7)
            fig.subplots_adjust(left=0.12, right=0.97, top=0.9, bottom=0.14)
            axes.plot(best[self.by], best["error"], drawstyle="steps-post", color="#8A8A8A", lw=1.0, zorder=1)
            for part, look in (
                (rows.filter(~whole & ~pl.col("front")), {"color": "#9CC9E3", "marker": "o", "s": 22}),
                (rows.filter(~whole & pl.col("front")), {"color": "#0072B2", "marker": "o", "s": 30}),
                (rows.filter(whole), {"color": "#D55E00", "marker": "s", "s": 30}),
            ):
                axes.scatter(part[self.by], part["error"], lw=0.4, edgecolors="white", zorder=2, **look)
            for row in rows.filter(whole | pl.col("front")).iter_rows(named=True):
                axes.annotate(
                    short(_named(row), 34),
                    (row[self.by], row["error"]),
                    xytext=(4, 3),
                    textcoords="offset points",
                    fontsize=6.5,
                )
            axes.set_xlabel(COSTS[self.by])
            axes.set_ylabel(f"error ({rows['unit'][0]})")
            axes.grid(color=FAINT, lw=0.45)
            axes.set_axisbelow(True)
            axes.margins(x=0.12, y=0.12)
            axes.set_title("squares: whole networks; dots: stitches; line: the front", loc="left")
        return fig


def with_front(found: Front) -> Front:
    """Leave out the stitches that are not on the front."""
    kept = found.frame.filter(pl.col("front") | pl.col("bottom_layer").is_null())
    return Front(kept, found.by, found.about)


def front_of(records: Sequence[Record], costs: Mapping[Way, Cost], by: str, about: str) -> Front:
    """Lay errors beside costs.

    Args:
        records: of stitches; controls among them are left out.
        costs: as ``modelstitch.stitched.cost.costs_of`` gives them.
        by: the cost that the front is about: "multiplications", "parameters", "milliseconds" or
            "exported_milliseconds".
        about: how the costs were measured.

    Returns:
        The front.

    Raises:
        StitchError: there is no such cost, or it was not measured.
        StudyError: the errors have several units, or there are none.
    """
    check_cost(by, exported=all(cost.exported_milliseconds is not None for cost in costs.values()))
    found = [_row(way, cost, records) for way, cost in costs.items()]
    rows = [row for row in found if row["error"] is not None]
    units = dict.fromkeys(row["unit"] for row in rows)
    if len(units) != 1:
        raise StudyError(
            f"Errors of one unit are laid beside costs: expected one, found {', '.join(units) or 'no measured stitch'}."
        )
    for row in rows:
        row["front"] = not any(_beats(other, row, by) for other in rows)
    return Front(pl.DataFrame(rows, schema=_SCHEMA), by, about)


def check_cost(by: str, *, exported: bool) -> None:
    """Refuse a cost that is unknown, or that nobody measures.

    Raises:
        StitchError: naming what there is.
    """
    if by not in COSTS:
        raise StitchError(f"The cost {by!r} is unknown: {among(str(by), COSTS, lead='expected ', quoted=True)}")
    if by == "exported_milliseconds" and not exported:
        raise StitchError(
            f"The cost {by!r} needs files that are timed: give exported='onnx' or 'pt2' (--exported in a shell)."
        )


def way_of(record: Record) -> Way | None:
    """What a record is a stitch of; None where it is a control."""
    if record.control != "pair":
        return None
    return record.bottom, record.top, record.family or "", record.objective or ""


def _beats(one: Mapping[str, Any], other: Mapping[str, Any], by: str) -> bool:
    """Whether the first has no more of either, and less of one."""
    here, there = (one["error"], one[by]), (other["error"], other[by])
    return all(a <= b for a, b in zip(here, there)) and here != there


def _row(way: Way, cost: Cost, records: Sequence[Record]) -> dict[str, Any]:
    """The row of one stitch, or of a whole network; its error is None where none was measured."""
    bottom, top, family, objective = way
    if not bottom.layer:
        return {**_whole(bottom.name, records), **cost._asdict()}
    mine = [record for record in records if way_of(record) == way]
    errors, penalties = (_known(mine, name) for name in ("error", "penalty"))
    lows, highs = ([getattr(m, end) for m in penalties if getattr(m, end) is not None] for end in ("low", "high"))
    return {
        "bottom": bottom.name,
        "bottom_layer": bottom.layer,
        "top": top.name,
        "top_layer": top.layer,
        "family": family,
        "objective": objective,
        "error": fmean(m.known for m in errors) if errors else None,
        "penalty": fmean(m.known for m in penalties) if penalties else None,
        "low": min(lows, default=None),
        "high": max(highs, default=None),
        "unit": errors[0].unit if errors else None,
        **cost._asdict(),
    }


def _whole(name: str, records: Sequence[Record]) -> dict[str, Any]:
    """What a network errs by itself, as a top or else as a bottom."""
    tops = _known([r for r in records if r.top.name == name], "top_error")
    found = tops or _known([r for r in records if r.bottom.name == name], "bottom_error")
    error, unit = (found[0].known, found[0].unit) if found else (None, None)
    return {"bottom": name, "top": name, "error": error, "unit": unit}


def _known(records: Sequence[Record], name: str) -> list[Metric]:
    """The values of a metric that there are."""
    found = (record.metric(name) for record in records)
    return [metric for metric in found if metric is not None and metric.value is not None]


def _named(row: Mapping[str, Any]) -> str:
    """A seam in its notation, with its family; or a network."""
    if row["bottom_layer"] is None:
        return str(row["bottom"])
    return f"{row['bottom']}@{row['bottom_layer']} -> {row['top']}@{row['top_layer']} ({row['family']})"


def _penalty(row: Mapping[str, Any]) -> TableCell:
    if row["penalty"] is None:
        return TableCell("–", mark="none")
    low, high = row["low"], row["high"]
    interval = "" if low is None else f" [{number(low, signed=True)}, {number(high, signed=True)}]"
    return TableCell(number(row["penalty"], signed=True) + interval)
