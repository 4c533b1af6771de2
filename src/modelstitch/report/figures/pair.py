"""Curves and scatters: penalty against depth, penalty against a measure, the ladder of families.

Every function takes rows of the tidy frame and returns a matplotlib ``Figure``; no global state is touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ...errors import StudyError
from ..frame import SCALING, Point, curve, matched, scale_in, unit_of
from .axes import canvas, drawn, penalty_axis
from .style import labels, looks, number, plain, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_DOTS = 4000
_GAP = 0.062  # between names at the right, of the height of the axes


def penalty_figure(
    rows: pl.DataFrame,
    bottom: str,
    top: str,
    *,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Penalty of one pair against the depth of the top, with intervals, beside its controls.

    Args:
        rows: the pair's panel (``modelstitch.report.frame.panel``).
        bottom, top: names, for the title.
        limits: of the penalty axis, where figures are to share it.

    Raises:
        StudyError: the panel holds no penalty.
    """
    curves = {control: points for control in looks() if (points := curve(rows, control))}
    if not curves:
        raise StudyError(f"There is nothing to draw for {bottom} -> {top}: expected penalties, found none.")
    with drawn():
        fig, axes = canvas(4.9, 3.5)
        fig.subplots_adjust(left=0.125, right=0.785, top=0.91, bottom=0.215)
        low, high = limits or penalty_limits(rows)
        first = next(iter(curves.values()))[0]
        penalty_axis(axes, low, high, first.unit, first.scale)
        axes.axhspan(-first.scale.near, first.scale.near, color="#F1F1F1", lw=0, zorder=0)
        axes.axhline(0, color="#9A9A9A", lw=0.8, zorder=1)
        at = side_by_side({p.layer: p.depth for points in curves.values() for p in points})
        for control in reversed(list(curves)):
            _draw(axes, curves[control], control, at)
        _layer_axis(axes, next(iter(curves.values())), top, at)
        axes.set_title(f"{short(bottom, 26)} → {short(top, 26)}", loc="left")
        _direct_legend(axes, curves)
    return fig


def penalty_limits(rows: pl.DataFrame) -> tuple[float, float]:
    """Limits of a penalty axis that hold every value and interval of ``rows``, and 0."""
    kept = rows.filter(pl.col("metric") == "penalty")
    ends = [float(v) for name in ("value", "low", "high") for v in kept[name].drop_nulls().to_list()]
    linear = scale_in(rows).linear
    return min([-0.6 * linear, *ends]) * 1.15, max([2 * linear, *ends]) * 1.3


def ladder_figure(rows: pl.DataFrame, bottom: str, top: str) -> Figure:
    """Penalty of one pair under each family, families ordered by their parameters, one line a layer.

    Raises:
        StudyError: fewer than two families were stitched.
    """
    own = rows.filter((pl.col("control") == "pair") & (pl.col("metric").is_in(["penalty", "parameters", *SCALING])))
    families = by_parameters(own)
    if len(families) < 2:
        raise StudyError(f"No ladder for {bottom} -> {top}: expected two families at least, found {len(families)}.")
    curves = {at: curve(own.filter(pl.col("family") == family)) for at, family in enumerate(families)}
    with drawn():
        fig, axes, ends = _line_a_layer(curves, own, f"{short(bottom, 26)} → {short(top, 26)}", foot=0.215)
        axes.set_xticks(range(len(families)), [short(f, 18) for f in families], rotation=25, ha="right")
        axes.set_xlim(-0.2, len(families) - 0.8)
        axes.set_xlabel("family, from few parameters to many")
        _labels_at_right(axes, ends)
    return fig


def samples_figure(rows: pl.DataFrame, bottom: str, top: str) -> Figure:
    """Penalty of one pair against the fit examples its stitcher saw, one line a layer.

    Raises:
        StudyError: fewer than two numbers of examples were tried.
    """
    own = rows.filter((pl.col("control") == "pair") & (pl.col("metric").is_in(["penalty", *SCALING])))
    sizes = sorted(own["samples"].drop_nulls().unique().to_list())
    if len(sizes) < 2:
        raise StudyError(
            f"No curve over fit examples for {bottom} -> {top}: expected two numbers of examples at least, found "
            f"{len(sizes)}; compare with samples=[100, 1000]."
        )
    curves = {size: curve(own.filter(pl.col("samples") == size)) for size in sizes}
    with drawn():
        fig, axes, ends = _line_a_layer(curves, own, f"{short(bottom, 26)} → {short(top, 26)}", foot=0.16, bars=True)
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
        axes.minorticks_off()
        axes.set_xlabel("fit examples of the stitcher")
        _labels_at_right(axes, ends)
    return fig


def _line_a_layer(
    curves: Mapping[int, Sequence[Point]], rows: pl.DataFrame, title: str, *, foot: float, bars: bool = False
) -> tuple[Figure, Any, list[tuple[float, str, Any]]]:
    """The penalties of each layer over the keys of ``curves``, coloured by its depth.

    And what stands at the end of each line.
    """
    layers = {p.layer: p.depth for points in curves.values() for p in points}
    fig, axes = canvas(4.9, 3.5)
    fig.subplots_adjust(left=0.125, right=0.785, top=0.91, bottom=foot)
    penalty_axis(axes, *penalty_limits(rows), unit_of(rows), scale_in(rows))
    axes.axhline(0, color="#9A9A9A", lw=0.8)
    axes.set_title(title, loc="left")
    ends = []
    order = sorted(layers.items(), key=lambda item: item[1])
    for (layer, depth), text in zip(order, labels([name for name, _ in order]), strict=True):
        colour = _depth_colour(depth)
        at = [(x, p) for x, points in curves.items() for p in points if p.layer == layer]
        axes.plot([x for x, _ in at], [p.value for _, p in at], color=colour, marker="o", ms=3.5, lw=1.4)
        for x, p in at if bars else ():
            if p.sure:
                axes.plot([x, x], [p.low, p.high], color=colour, lw=0.9, alpha=0.75)
        ends.append((at[-1][1].value, text, colour))
    return fig, axes, ends


def scatter_figure(rows: pl.DataFrame, measure: str) -> Figure:
    """Penalty against a similarity measure, one dot a seam, coloured by the depth of the top.

    Raises:
        StudyError: fewer than two seams have both, or more than 4,000.
    """
    own = rows.filter(pl.col("control") == "pair")
    keys = ["bottom", "bottom_layer", "top", "top_layer"]
    wide = own.filter(pl.col("metric") == "penalty").group_by([*keys, "top_depth"]).agg(pl.col("value").mean())
    other = own.filter(pl.col("metric") == measure).group_by(keys).agg(pl.col("value").mean().alias("measure"))
    both = wide.join(other, on=keys).drop_nulls(["value", "measure"]).sort(keys)
    if not 2 <= len(both) <= _MOST_DOTS:
        raise StudyError(
            f"No scatter of penalty against {measure}: expected 2 to {_MOST_DOTS} seams that have both, found "
            f"{len(both)}."
        )
    x, y = both["measure"].to_numpy(), both["value"].to_numpy()
    with drawn():
        fig, axes = canvas(4.6, 3.7)
        fig.subplots_adjust(left=0.135, right=0.97, top=0.90, bottom=0.14)
        penalty_axis(axes, *penalty_limits(own), unit=unit_of(own), scale=scale_in(own))
        axes.axhline(0, color="#9A9A9A", lw=0.8)
        colours = [_depth_colour(d if d is not None else 0.0) for d in both["top_depth"].to_list()]
        axes.scatter(x, y, c=colours, s=22, lw=0.4, edgecolors="white")
        axes.set_xlabel(f"{short(measure)} (dots: dark early in the top, light late)")
        axes.set_title(f"Spearman correlation {number(spearman(x, y), 2)}, {len(both)} seams", loc="left")
    return fig


def spearman(x: Sequence[float] | np.ndarray[Any, Any], y: Sequence[float] | np.ndarray[Any, Any]) -> float:
    """Rank correlation with mean ranks for ties; 0 where one side is constant."""
    from scipy.stats import spearmanr

    return float(spearmanr(x, y).statistic) if np.ptp(x) > 0 and np.ptp(y) > 0 else 0.0


def side_by_side(depths: Mapping[str, float]) -> dict[str, float]:
    """Where layers stand on an axis.

    Each at its depth, those of one depth next to each other, short of the next one.
    """
    found: dict[str, float] = {}
    levels = sorted(set(depths.values()))
    span = max(levels[-1] - levels[0], 0.1)
    for level, after in zip_longest(levels, levels[1:]):
        layers = [name for name, depth in depths.items() if depth == level]
        room = 0.09 * span * (len(layers) - 1)
        room = room if after is None else min(room, 0.6 * (after - level))
        found |= {name: level + room * i / max(1, len(layers) - 1) for i, name in enumerate(layers)}
    return found


def _draw(axes: Any, points: Sequence[Point], control: str, at: Mapping[str, float]) -> None:
    look = looks()[control]
    x = [at[p.layer] for p in points]
    y = [p.value for p in points]
    front = 5 if control == "pair" else 3
    # A point without an interval gets no bar, rather than one of length 0.
    if control == "pair" and all(p.sure for p in points) and len(points) > 1:
        axes.fill_between(x, [p.low for p in points], [p.high for p in points], color=look.colour, alpha=0.16, lw=0)
    axes.plot(x, y, color=look.colour, ls=look.dash, lw=look.width, zorder=front)
    axes.plot(
        x,
        y,
        color=look.colour,
        ls="none",
        marker=look.marker,
        ms=4.5 if control == "pair" else 3.6,
        mec="white" if look.marker != "x" else look.colour,
        mew=0.5 if look.marker != "x" else 1.2,
        zorder=front + 0.1,
    )
    for p in points:
        if p.sure:
            axes.plot([at[p.layer]] * 2, [p.low, p.high], color=look.colour, lw=0.9, alpha=0.75, zorder=front - 0.1)


def _layer_axis(axes: Any, points: Sequence[Point], top: str, at: Mapping[str, float]) -> None:
    step = max(1, -(-len(points) // 8))
    texts = labels([p.layer for p in points])
    x = [at[p.layer] for p in points]
    axes.set_xticks(x[::step], texts[::step], rotation=25, ha="right")
    room = 0.04 * max(x[-1] - x[0], 0.1)
    axes.set_xlim(x[0] - room, x[-1] + room)
    axes.set_xlabel(f"layer of {short(top, 30)}, placed by depth")
    reach = 0.0125 * len(texts[0]) - 0.004  # of the first slanted label to the left of the axes, in widths of the sheet
    axes.figure.subplots_adjust(left=max(axes.get_position().x0, reach))


def _direct_legend(axes: Any, curves: dict[str, list[Point]]) -> None:
    _labels_at_right(axes, [(c[-1].value, looks()[k].label, looks()[k].colour) for k, c in curves.items()])


def _labels_at_right(axes: Any, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write names beside the ends of lines, moved apart where they would overlap, each tied to its line."""
    place = axes.transData.transform
    to_axes = axes.transAxes.inverted().transform
    right = axes.get_xlim()[1]
    wanted = sorted((float(to_axes(place((right, v)))[1]), name, colour) for v, name, colour in ends)
    spots: list[float] = []
    for y, _, _ in wanted:
        spots.append(max(y, spots[-1] + _GAP) if spots else y)
    excess = max(0.0, spots[-1] - 1.0) if spots else 0.0
    for i in range(len(spots) - 1, -1, -1):  # push down from the top where they ran out of the axes
        ceiling = spots[i + 1] - _GAP if i + 1 < len(spots) else 1.0
        spots[i] = min(spots[i], ceiling) if excess else spots[i]
    for spot, (y, name, colour) in zip(spots, wanted, strict=True):
        axes.plot([1.0, 1.035], [y, spot], transform=axes.transAxes, color=colour, lw=0.7, clip_on=False)
        axes.text(1.045, spot, plain(name), transform=axes.transAxes, color=colour, va="center", fontsize=8.5)


def by_parameters(own: pl.DataFrame) -> list[str]:
    """The families of rows, those of the fewest parameters first."""
    sizes = own.filter(pl.col("metric") == "parameters").group_by("family").agg(pl.col("value").median())
    size = dict(sizes.iter_rows())
    names = matched(own).filter(pl.col("metric") == "penalty")["family"].drop_nulls().unique().to_list()
    return sorted(names, key=lambda name: (size.get(name, float("inf")), name))


def _depth_colour(depth: float) -> str:
    import matplotlib
    from matplotlib.colors import to_hex

    # The upper end of viridis is too light to be read on white.
    return str(to_hex(matplotlib.colormaps["viridis"](0.05 + 0.8 * min(max(depth, 0.0), 1.0))))
