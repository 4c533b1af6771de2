"""Recall of an upgrade against the pairs that its maps were fitted to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from .axes import canvas, drawn
from .style import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def recall_figure(frame: pl.DataFrame) -> Figure | None:
    """Draw one line a family and way, with intervals; nothing where one number of pairs was tried.

    Args:
        frame: of ``modelstitch.arrays.rehearse``.

    Returns:
        The figure, or None.
    """
    sizes = sorted(frame["pairs"].drop_nulls().unique().to_list())
    if len(sizes) < 2:
        return None
    recalls = [m for m in frame["metric"].unique(maintain_order=True) if m.startswith("recall@")]
    metric = "recall@10" if "recall@10" in recalls else recalls[-1]
    own = frame.filter(metric=metric, control="pair")
    with drawn():
        fig, axes = canvas(5.6, 3.5)
        fig.subplots_adjust(left=0.1, right=0.62, top=0.9, bottom=0.15)
        lines = own.filter(pl.col("pairs").is_not_null()).group_by(["family"], maintain_order=True)
        for colour, ((family,), part) in zip(_COLOURS * len(sizes), lines):
            for (way,), points in part.sort("pairs").group_by(["way"], maintain_order=True):
                style = "-" if "gallery" in str(way) else "--"
                _line(axes, points, colour, style, f"{plain(family)}, {plain(way)}")
        for (way,), points in own.filter(pl.col("pairs").is_null()).group_by(["way"], maintain_order=True):
            axes.axhline(
                points["value"][0], color="#7F7F7F", ls=":" if "as it is" in str(way) else "-.", lw=1, label=way
            )
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{n:,}" for n in sizes], rotation=30 if len(sizes) > 5 else 0)
        axes.minorticks_off()
        axes.set_ylim(0, 102)
        axes.set_xlabel("pairs fitted to")
        axes.set_title(f"{metric}, % of embedding all anew", loc="left")
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=7)
    return fig


def _line(axes: Any, points: pl.DataFrame, colour: str, style: str, label: str) -> None:
    x, y = points["pairs"].to_list(), points["value"].to_list()
    axes.plot(x, y, color=colour, ls=style, marker="o", ms=3, lw=1.3, label=label)
    for at, low, high in zip(x, points["low"], points["high"]):
        axes.plot([at, at], [low, high], color=colour, lw=0.9, alpha=0.75)
