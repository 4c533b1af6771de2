"""Networks at several times of a training, stitched into one top each: penalty and CKA against time and depth."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ..errors import StudyError
from ..records.record import Record
from .figures.axes import Drawable, drawn, heat_map, sheet
from .figures.style import labels, plain, short
from .frame import Point, curve, frame, leveled, measured, panel, settings
from .marks import weights_of
from .pooled import settled
from .sentences import verdicts
from .sentences.units import scale_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = ("cka_linear_debiased", "cka_linear_biased", "cka_minibatch")
_STEP = re.compile(r", step (\d+)\b")
_SCHEMA: dict[str, Any] = {
    "top": pl.String,
    "time": pl.Float64,
    **dict.fromkeys(("bottom", "bottom_layer", "top_layer"), pl.String),
    **dict.fromkeys(("top_depth", "penalty", "low", "high"), pl.Float64),
    "unit": pl.String,
    "low_enough": pl.Boolean,
    **dict.fromkeys(("bottom_error", "cka"), pl.Float64),
}


class Trajectory(Drawable):
    """Hold how the layers of a training come to serve a top.

    Attributes:
        frame: one row a top, time and layer: bottom (the network of that time), bottom_layer, top_layer, top_depth,
            penalty, low, high, unit, low_enough (near 0, or better than the top, by the whole interval), bottom_error
            (of that network alone), cka (of the two layers as they are; empty without similarities).
        measure: which CKA it is; empty without similarities.
    """

    def __init__(self, frame: pl.DataFrame, measure: str = "") -> None:
        self.frame, self.measure = frame, measure

    def __repr__(self) -> str:
        tops, times = self.frame["top"].n_unique(), self.frame["time"].n_unique()
        return f"Trajectory({times} times, {self.frame['top_layer'].n_unique()} layers, {tops} tops)"

    @property
    def settled(self) -> pl.DataFrame:
        """From when on each layer serves each top: the first time from which the penalty stays low.

        One row a top and layer: top, top_layer, top_depth, time; null where it is not low at the last time.
        """
        rows = []
        by = self.frame.sort("time").group_by("top", "top_layer", "top_depth", maintain_order=True)
        for (top, layer, depth), own in by:
            low = own["low_enough"].to_list()
            first = next((i for i in range(len(low)) if all(low[i:])), None)
            rows.append((top, layer, depth, None if first is None else own["time"][first]))
        schema = {"top": pl.String, "top_layer": pl.String, "top_depth": pl.Float64, "time": pl.Float64}
        return pl.DataFrame(rows, schema=schema, orient="row").sort("top", "top_depth", maintain_order=True)

    @property
    def sentences(self) -> list[str]:
        """What the numbers say, one sentence a top."""
        said = []
        for (top,), own in self.settled.group_by("top", maintain_order=True):
            times = self.frame.filter(top=top)["time"].unique().sort()
            from_when: dict[float, list[str]] = {}
            for layer, time in own.select("top_layer", "time").iter_rows():
                from_when.setdefault(np.inf if time is None else time, []).append(plain(layer))
            parts = [
                f"{_and(names)} {'from the first time on' if time == times[0] else f'from {time:g} on'}"
                if time < np.inf
                else f"{_and(names)} not by {times[-1]:g}"
                for time, names in sorted(from_when.items())
            ]
            order = _order(own)
            said.append(f"Into {plain(top)} the penalty stays low at {'; at '.join(parts)}{order}.")
        return said

    def figure(self) -> Figure:
        """Draw penalty, and CKA where it is known, of every layer (rows) at every time (columns), a row of maps a top.

        Returns:
            A figure of matplotlib, not shown.
        """
        tops = self.frame["top"].unique(maintain_order=True).to_list()
        what = ["penalty", *(["cka"] if self.frame["cka"].count() else [])]
        layers = self.frame.sort("top_depth")["top_layer"].unique(maintain_order=True).to_list()
        times = sorted(self.frame["time"].unique().to_list())
        left, head, foot, gap = 0.5 + 0.065 * max(map(len, labels(layers))), 0.42, 0.5, 0.25
        wide, high = max(2.2, 0.5 * len(times)), max(1.3, 0.28 * len(layers))
        width, height = left + len(what) * (wide + gap), len(tops) * (head + high) + foot
        with drawn(**{"axes.spines.top": True, "axes.spines.right": True}):
            fig = sheet(width, height)
            for row, top in enumerate(tops):
                own = self.frame.filter(top=top)
                unit = own["unit"][0]
                for column, name in enumerate(what):
                    at = (left + column * (wide + gap), foot + (len(tops) - 1 - row) * (head + high))
                    axes = fig.add_axes((at[0] / width, at[1] / height, wide / width, high / height))
                    values = np.full((len(layers), len(times)), np.nan)
                    for layer, time, value in own.select("top_layer", "time", name).iter_rows():
                        if value is not None:
                            values[layers.index(layer), times.index(time)] = value
                    heat_map(axes, values, scale_of(unit) if name == "penalty" else None)
                    last = row == len(tops) - 1
                    axes.set_xticks(range(len(times)), [f"{t:g}" for t in times] if last else [])
                    axes.set_yticks(range(len(layers)), labels(layers) if column == 0 else [])
                    axes.tick_params(length=0)
                    if last:
                        axes.set_xlabel("training time")
                    said = f"penalty ({unit})" if name == "penalty" else "CKA"
                    axes.set_title(f"{said}, into {short(top, 20)}", loc="left")
        return fig


def trajectory_of(
    records: Sequence[Record], times: Mapping[str, float] | None, similarities: pl.DataFrame | None
) -> Trajectory:
    """The trajectory of bottoms whose times are known.

    Args:
        records: of stitches.
        times: of the networks, by name; by default the steps that their weights' words tell.
        similarities: the frame of measures of the same networks.

    Raises:
        StudyError: fewer than two bottoms have a time; a name is no bottom's; there is no CKA among similarities.
    """
    table = leveled(settled(frame(records), records))
    own = table.filter(control="pair")
    found = _times_of(own["bottom"].unique(maintain_order=True).to_list(), records, times)
    measure, alike = _alike(similarities)
    lead, rows = settings(measured(table))[0], []
    pairs = dict.fromkeys(own.select("bottom", "top").iter_rows())
    for bottom, top in sorted((p for p in pairs if p[0] in found), key=lambda p: (p[1], found[p[0]])):
        part = panel(table, bottom, top, lead)
        error = next((p.value for p in curve(part, metric="bottom_error")), None)
        for point in curve(part):
            cka = alike.get((bottom, point.bottom_layer or "", top, point.layer))
            rows.append((top, found[bottom], bottom, *_told(point), error, cka))
    return Trajectory(pl.DataFrame(rows, schema=_SCHEMA, orient="row"), measure)


def _times_of(bottoms: Sequence[str], records: Sequence[Record], times: Mapping[str, float] | None) -> dict[str, float]:
    """The times of these bottoms: those given, else the steps that their weights' words tell; two at least."""
    known = {name: float(m[1]) for name, text in weights_of(records).items() if (m := _STEP.search(text))}
    found = known if times is None else {str(name): float(time) for name, time in times.items()}
    strange = [name for name in found if name not in bottoms] if times is not None else []
    if strange:
        raise StudyError(f"The network {strange[0]!r} is no bottom here: expected some of {', '.join(bottoms)}.")
    found = {name: time for name, time in found.items() if name in bottoms}
    several = len(set(found.values()))
    if several < 2:
        raise StudyError(
            f"A trajectory needs bottoms of two times at least, found {several}: compare checkpoints of a training "
            "with its end, and give times={name: step} where the networks are not of this zoo."
        )
    return found


def _told(point: Point) -> tuple[Any, ...]:
    ends = (point.low, point.high) if point.sure else (None, None)
    depth, low = point.depth, point.sure and verdicts.low(point)
    return (point.bottom_layer, point.layer, depth, point.value, *ends, point.unit, low)


def _alike(table: pl.DataFrame | None) -> tuple[str, dict[tuple[str, str, str, str], float]]:
    """Which CKA there is, and its values by networks and layers, either way round."""
    if table is None:
        return "", {}
    measure = next((name for name in MEASURES if name in table["measure"].to_list()), None)
    if measure is None:
        raise StudyError(f"The similarities hold no linear CKA: expected one of {', '.join(MEASURES)}.")
    found = {}
    columns = ("bottom", "bottom_layer", "top", "top_layer", "value")
    for b, bl, t, tl, value in table.filter(measure=measure).drop_nulls("value").select(columns).iter_rows():
        found[b, bl, t, tl] = found[t, tl, b, bl] = value
    return measure, found


def _order(own: pl.DataFrame) -> str:
    """Whether deeper layers settle later, by the rank of the times at which they do."""
    times = [np.inf if time is None else time for time in own["time"]]
    if len(set(times)) < 2 or len(times) < 3:
        return ""
    from .figures.pair import spearman

    ranks = [sorted(set(times)).index(time) for time in times]
    rank = spearman(own["top_depth"].to_list(), [float(r) for r in ranks])
    if abs(rank) < verdicts.RISING:
        return ""
    return ": deeper layers come later" if rank > 0 else ": deeper layers come first"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
