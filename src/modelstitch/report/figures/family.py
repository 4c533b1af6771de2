"""A family of networks as pictures: a heat map in the order of its tree, a map, and what tells groups apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ...stats.bootstrap import Floats
from .axes import canvas, drawn, heat_map, sheet
from .style import INK, labels, number, plain, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GROUPS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195", "#7F7F7F")
_MARKERS = "osD^vP*X"
_MOST_NAMES = 40  # that are written beside a heat map
_ALL = "all layers"


def family_figure(
    values: Floats,
    tree: Floats,
    places: pl.DataFrame,
    stress: float,
    *,
    title: str,
    distance: bool,
) -> Figure:
    """Draw the values between networks in the order of their tree, the tree above, and beside them a map.

    Args:
        values: (N, N), as measured.
        tree: a linkage, (N - 1, 4).
        places: network, group, x, y.
        stress: of the map.
        title: of the heat map.
        distance: small values are more alike.
    """
    from scipy.cluster.hierarchy import leaves_list

    names, groups = places["network"].to_list(), places["group"].to_list()
    order = leaves_list(tree)
    texts = [short(name, 20) for name in names]
    left = 0.35 + 0.068 * max(map(len, texts))
    side, top, gap, across = 3.3, 0.7, 0.55, 3.3
    foot = 0.2 + 0.06 * max(map(len, texts))
    width, height = left + side + gap + across + 0.25, foot + side + top + 0.35
    with drawn():
        fig = sheet(width, height)
        grown = fig.add_axes((left / width, (foot + side + 0.03) / height, side / width, top / height))
        _draw_tree(grown, tree, len(names))
        grown.set_title(plain(title), loc="left")
        axes = fig.add_axes((left / width, foot / height, side / width, side / height))
        shown = (values + values.T) / 2
        heat_map(axes, shown[np.ix_(order, order)], None, distance)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        at = range(0, len(names), -(-len(names) // _MOST_NAMES))
        axes.set_xticks(at, [texts[order[i]] for i in at], rotation=90)
        axes.set_yticks(at, [texts[order[i]] for i in at])
        colours = _colours(groups)
        for i, ticks in enumerate(zip(axes.get_xticklabels(), axes.get_yticklabels())):
            for text in ticks:
                text.set_color(colours.get(groups[order[at[i]]], INK))
        beside = fig.add_axes(((left + side + gap) / width, foot / height, across / width, side / height))
        _draw_map(beside, places, colours)
        beside.set_title(f"map of the distances, stress {number(stress, 2)}", loc="left")
    return fig


def _colours(groups: Sequence[str | None]) -> dict[str | None, str]:
    return {group: _GROUPS[at % len(_GROUPS)] for at, group in enumerate(dict.fromkeys(groups)) if group is not None}


def _draw_tree(axes: Any, tree: Floats, n: int) -> None:
    from scipy.cluster.hierarchy import dendrogram

    found = dendrogram(tree, no_plot=True)
    for x, y in zip(found["icoord"], found["dcoord"]):
        axes.plot([(place - 5) / 10 for place in x], y, color="#555555", lw=0.9)
    axes.set_xlim(-0.5, n - 0.5)
    axes.set_ylim(0, 1.05 * float(tree[:, 2].max()) or 1.0)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(length=2, labelsize=6.5)
    axes.locator_params(axis="y", nbins=3)


def _draw_map(axes: Any, places: pl.DataFrame, colours: dict[str | None, str]) -> None:
    groups = list(colours) or [None]
    for at, group in enumerate(groups):
        own = places.filter(pl.col("group").eq_missing(pl.lit(group, dtype=pl.String)))
        look = {"color": colours.get(group, _GROUPS[0]), "marker": _MARKERS[at % len(_MARKERS)]}
        label = short(group, 24) if group is not None else None
        axes.scatter(own["x"], own["y"], s=34, lw=0.5, edgecolors="white", label=label, zorder=3, **look)
    if len(places) <= _MOST_NAMES:
        texts = labels(places["network"].to_list(), 18)
        for text, x, y in zip(texts, places["x"], places["y"]):
            axes.annotate(text, (x, y), xytext=(4, 3), textcoords="offset points", fontsize=6.5, color="#555555")
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.15)
    axes.tick_params(length=2, labelsize=6.5)
    if colours:
        axes.legend(frameon=False, fontsize=7.5, loc="best", handletextpad=0.2)


def separation_figure(separation: pl.DataFrame, layers: Sequence[str]) -> Figure:
    """Draw how well each measure tells groups apart at each depth, one line a measure.

    Args:
        separation: as ``NetworkFamily.separation``.
        layers: early ones first.
    """
    measures = separation["measure"].unique(maintain_order=True).to_list()
    with drawn():
        fig, axes = canvas(6.2, 3.3)
        fig.subplots_adjust(left=0.09, right=0.68, top=0.9, bottom=0.2)
        axes.axhline(0.5, color="#9A9A9A", lw=0.8)
        for at, measure in enumerate(measures):
            own = separation.filter((pl.col("measure") == measure) & (pl.col("layer") != _ALL))
            look = {"color": _GROUPS[at % len(_GROUPS)], "marker": _MARKERS[at % len(_MARKERS)]}
            x = [layers.index(layer) for layer in own["layer"]]
            axes.plot(x, own["auc"], lw=1.4, ms=4.2, label=short(measure, 28), **look)
        step = -(-len(layers) // 9)
        axes.set_xticks(range(0, len(layers), step), labels(layers)[::step], rotation=25, ha="right")
        axes.set_ylim(min(0.4, float(separation["auc"].min()) - 0.03), 1.03)  # type: ignore[arg-type]
        axes.set_ylabel("nearer within a group (AUC)")
        axes.set_title("How well each measure tells the groups apart", loc="left")
        axes.legend(frameon=False, fontsize=7.5, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return fig
