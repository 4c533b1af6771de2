"""Matrices of every bottom layer against every top layer: penalty and measures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ...errors import StudyError
from ..frame import matched, scale_in, unit_of
from .axes import drawn, heat_map, sheet
from .style import labels, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TITLES = {
    "cka": "linear CKA",
    "r2": "R²",
    "cka_linear_biased": "linear CKA (biased)",
    "cka_linear_debiased": "linear CKA (debiased)",
    "cka_minibatch": "CKA over minibatches",
    "r2_bottom_to_top": "R² bottom → top, in sample",
    "r2_top_to_bottom": "R² top → bottom, in sample",
}
_DISTANCES = ("procrustes_distance", "procrustes_angle")


def matrix(rows: pl.DataFrame, metric: str) -> tuple[list[str], list[str], np.ndarray[Any, Any]]:
    """One metric as ``(bottom layers, top layers, values)``; values (bottoms, tops), NaN: not measured."""
    own = rows.filter(pl.col("control") == "pair")
    bottoms = _ordered(own, "bottom")
    tops = _ordered(own, "top")
    values = np.full((len(bottoms), len(tops)), np.nan)
    means = own.filter(pl.col("metric") == metric).group_by("bottom_layer", "top_layer").agg(pl.col("value").mean())
    for bottom_layer, top_layer, value in means.iter_rows():
        if value is not None:
            values[bottoms.index(bottom_layer), tops.index(top_layer)] = value
    return bottoms, tops, values


def matrix_figure(
    rows: pl.DataFrame, bottom: str, top: str, metrics: Sequence[str] = ("penalty", "cka", "r2")
) -> Figure:
    """Heat maps of the metrics that were measured, side by side; the matching layers are marked by a frame.

    Raises:
        StudyError: none of the metrics was measured for the pair.
    """
    present = [m for m in metrics if not np.isnan(matrix(rows, m)[2]).all()]
    if not present:
        raise StudyError(f"No matrix for {bottom} -> {top}: expected one of {', '.join(metrics)}, found none.")
    diagonal, unit = _diagonal(rows), unit_of(rows)
    bottoms, tops, _ = matrix(rows, present[0])
    side, gap, head = 2.75, 0.18, 0.32  # inches
    left = 0.42 + 0.065 * max(map(len, labels(bottoms)))
    foot = 0.5 + 0.05 * max(map(len, labels(tops)))
    width, height = left + len(present) * (side + gap), head + side + foot
    with drawn(**{"axes.spines.top": True, "axes.spines.right": True}):
        fig = sheet(width, height)
        for position, metric in enumerate(present):
            corner = (left + position * (side + gap)) / width, foot / height
            axes = fig.add_axes((*corner, side / width, side / height))
            heat_map(
                axes, matrix(rows, metric)[2], scale_in(rows) if metric == "penalty" else None, metric in _DISTANCES
            )
            names, step = labels(tops), -(-len(tops) // 18)
            axes.set_xticks(range(0, len(tops), step), names[::step], rotation=45, ha="right")
            names, step = labels(bottoms), -(-len(bottoms) // 18)
            shown = range(0, len(bottoms), step) if position == 0 else []
            axes.set_yticks(shown, [names[i] for i in shown])
            axes.tick_params(length=0)
            axes.set_xlabel(f"top: {short(top)}")
            if position == 0:
                axes.set_ylabel(f"bottom: {short(bottom)}")
            title = f"penalty ({unit})" if metric == "penalty" else _TITLES.get(metric, short(metric))
            axes.set_title(title, loc="left")
            _mark(axes, diagonal, bottoms, tops)
    return fig


def _mark(axes: Any, diagonal: set[tuple[str, str]], bottoms: list[str], tops: list[str]) -> None:
    from matplotlib.patches import Rectangle

    for bottom_layer, top_layer in sorted(diagonal):
        corner = (tops.index(top_layer) - 0.46, bottoms.index(bottom_layer) - 0.46)
        axes.add_patch(Rectangle(corner, 0.92, 0.92, fill=False, ec="#111111", lw=1.3))


def _diagonal(rows: pl.DataFrame) -> set[tuple[str, str]]:
    own = matched(rows.filter(pl.col("control") == "pair")).select("bottom_layer", "top_layer").unique()
    return {(bottom_layer, top_layer) for bottom_layer, top_layer in own.iter_rows()}


def _ordered(own: pl.DataFrame, side: str) -> list[str]:
    keys = [f"{side}_index", f"{side}_depth", f"{side}_layer"]
    return own.select(keys).unique().sort(keys)[f"{side}_layer"].unique(maintain_order=True).to_list()
