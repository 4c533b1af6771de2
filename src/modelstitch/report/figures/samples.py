"""Figures of single samples: where they break, which classes lose, and how hard they are for a family of networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ...errors import StudyError
from ..samples import Stitch, networks_right, same_samples, seams
from ..sentences.units import scale_of
from .axes import canvas, drawn, heat_map, sheet
from .style import FAINT, labels, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOST, GAINED, SO_FAR = "#D55E00", "#009E73", "#8A8A8A"


def breaks_figure(own: Sequence[Stitch], bottom: str, top: str) -> Figure:
    """The share of samples, of texts of tokens, that a stitch loses and gains at each layer, and of those lost so far.

    Args:
        own: the stitches of one pair, from the shallowest top on.
        bottom: its name.
        top: its name.
    """
    layers = list(dict.fromkeys(s.record.top.layer for s in own))
    lost, gained, so_far = [], [], []
    broken = np.zeros(len(own[0].right), dtype=bool)
    for layer in layers:
        here = [s for s in own if s.record.top.layer == layer]
        lost.append(100 * np.mean([(s.top_right & ~s.right).mean() for s in here]))
        gained.append(100 * np.mean([(~s.top_right & s.right).mean() for s in here]))
        broken |= np.any([s.top_right & ~s.right for s in here], 0)
        so_far.append(100 * broken.mean())
    with drawn():
        fig, axes = canvas(4.9, 3.2)
        fig.subplots_adjust(left=0.125, right=0.74, top=0.9, bottom=0.235)
        at = np.arange(len(layers))
        for values, name, colour, style in (
            (so_far, "lost here or before", SO_FAR, "--"),
            (lost, "lost", LOST, "-"),
            (gained, "gained", GAINED, "-"),
        ):
            axes.plot(at, values, style, color=colour, marker="o", ms=4, lw=1.6)
            axes.annotate(
                name, (at[-1], values[-1]), xytext=(7, 0), textcoords="offset points", color=colour, va="center"
            )
        _spread(axes)
        axes.set_xticks(at, labels(layers), rotation=35, ha="right")
        axes.set_ylim(0, max(1.0, 1.12 * max(so_far + gained)))
        axes.grid(axis="y", color=FAINT, lw=0.45)
        axes.set_ylabel("tokens (%)" if own[0].of_tokens else "test samples (%)")
        axes.set_xlabel("where the top starts")
        axes.set_title(f"{short(bottom, 26)} → {short(top, 26)}", loc="left")
    return fig


def _spread(axes: object) -> None:
    """Move names at the right that would stand upon each other."""
    texts = sorted(axes.texts, key=lambda t: t.xy[1])  # type: ignore[attr-defined]
    low, high = axes.get_ylim()  # type: ignore[attr-defined]
    least, before = (high - low) * 0.075, -np.inf
    scale = 3.2 * 0.665 * 72 / (high - low)  # points a unit of the axis
    for text in texts:
        place = max(text.xy[1], before + least)
        text.xyann = (7, (place - text.xy[1]) * scale)
        before = place


def classes_figure(rows: pl.DataFrame, bottom: str, top: str) -> Figure:
    """The penalty of each class (rows) at each layer (columns) of one pair.

    Args:
        rows: of ``modelstitch.report.samples.by_class``, of the pair in one setting.
        bottom: its name.
        top: its name.
    """
    named = seams(rows)
    at, layers = list(named), list(named.values())
    classes = sorted(rows["label"].unique().to_list())
    values = np.full((len(classes), len(layers)), np.nan)
    means = rows.group_by("bottom_layer", "top_layer", "label").agg(pl.col("value").mean())
    for bottom_layer, top_layer, label, value in means.iter_rows():
        values[classes.index(label), at.index((bottom_layer, top_layer))] = value
    width, height = 1.1 + 0.62 * max(len(layers), 4), 0.95 + min(0.26 * len(classes), 7.0)
    with drawn(**{"axes.spines.top": True, "axes.spines.right": True}):
        fig = sheet(width, height)
        axes = fig.add_axes((0.75 / width, 0.6 / height, 1 - 0.85 / width, 1 - 0.9 / height))
        heat_map(axes, values, scale_of("points"))
        axes.set_xticks(range(len(layers)), labels(layers), rotation=35, ha="right")
        step = -(-len(classes) // 30)
        axes.set_yticks(range(0, len(classes), step), [str(c) for c in classes[::step]])
        axes.tick_params(length=0)
        axes.set_ylabel("class")
        axes.set_title(f"penalty (points), {short(bottom, 18)} → {short(top, 18)}", loc="left")
    return fig


def difficulty_figure(found: Sequence[Stitch]) -> Figure:
    """How often models of growing accuracy are right on hard and on easy samples, one line a group of samples.

    Samples are grouped by how many of the networks are right on them by themselves.

    Raises:
        StudyError: fewer than two networks' own answers are kept.
    """
    own = same_samples(found)
    alone = networks_right(own)
    if len(alone) < 2:
        raise StudyError(
            f"A profile of difficulty needs two networks at least, found {len(alone)}: compare several at once."
        )
    what = "tokens" if own[0].of_tokens else "samples"
    count = np.sum(list(alone.values()), 0)
    groups = _groups(count, len(alone))
    models = np.stack([*(s.right for s in own), *alone.values()])
    accuracy = 100 * models.mean(1)
    with drawn():
        fig, axes = canvas(4.9, 3.5)
        fig.subplots_adjust(left=0.125, right=0.72, top=0.91, bottom=0.15)
        import matplotlib

        colours = matplotlib.colormaps["viridis"](np.linspace(0.05, 0.85, len(groups)))
        ends = (float(accuracy.min()), float(accuracy.max()))
        axes.plot(ends, ends, color=FAINT, lw=1)
        for (name, where), colour in zip(groups, colours):
            share = 100 * models[:, where].mean(1)
            axes.scatter(accuracy[: len(own)], share[: len(own)], s=13, color=colour, alpha=0.75, lw=0)
            axes.scatter(accuracy[len(own) :], share[len(own) :], s=42, marker="*", color=colour, lw=0)
            axes.annotate(
                f"{name}\n({int(where.sum()):,} {what})",
                (ends[1], float(share[np.argmax(accuracy)])),
                xytext=(8, 0),
                textcoords="offset points",
                color=colour,
                va="center",
                fontsize=7.5,
            )
        axes.set_ylim(-3, 103)
        axes.set_xlabel(f"accuracy on all test {what} (%)")
        axes.set_ylabel("right in the group (%)")
        axes.set_title(f"{what.capitalize()} by how many networks are right on them", loc="left")
    return fig


def _groups(count: np.ndarray, networks: int) -> list[tuple[str, np.ndarray]]:
    """Names and masks of groups of samples: right for none, for few, for many, for all networks."""
    half = networks // 2
    levels = [(0, 0), (1, half), (half + 1, networks - 1), (networks, networks)]
    names = [_counted(low, high, networks) for low, high in levels]
    found = [(name, (count >= low) & (count <= high)) for name, (low, high) in zip(names, levels)]
    return [(name, where) for name, where in found if where.any()]


def _counted(low: int, high: int, networks: int) -> str:
    if low == high:
        return {0: "no network", 1: "one network", networks: "all networks"}.get(low, f"{low} networks")
    return f"{low} to {high} networks"
