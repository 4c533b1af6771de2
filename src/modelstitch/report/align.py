"""What a search keeps after an upgrade of embeddings: figure, tables, sentences and one inert HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from ..support.version import VERSION
from .figures.axes import canvas, drawn
from .figures.style import number, plain
from .page import Drawings, render
from .tables import Table, TableCell

if TYPE_CHECKING:
    from matplotlib.figure import Figure


GALLERY = "old gallery mapped"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def align_page(
    frame: pl.DataFrame,
    *,
    sentences: Sequence[str],
    notes: Sequence[str] = (),
    about: Sequence[tuple[str, str]] = (),
    command: str = "",
) -> str:
    """Write the page.

    Args:
        frame: of ``modelstitch.arrays.rehearse``.
        sentences: what it says, the first ones of ``summary``.
        notes: what is to be known of the fits.
        about: names of the arrays, and what they are.
        command: that made the numbers.

    Returns:
        The whole HTML document.
    """
    from markupsafe import Markup

    drawn = Drawings(Markup)
    figure = recall_figure(frame)
    lines = [("modelstitch", VERSION), *about, *(("note", note) for note in notes), ("command", command)]
    body = tuple((TableCell(plain(a)), TableCell(plain(b))) for a, b in lines if b)
    queries, gallery = frame["queries"][0], frame["gallery"][0]
    return render(
        "align.html",
        title="An upgrade of embeddings",
        summary=f"{queries:,} queries held out, {gallery:,} samples in the gallery.",
        sentences=list(map(plain, sentences)),
        figure=None if figure is None else drawn.add(figure, "Recall against pairs fitted to"),
        tables=align_tables(frame),
        provenance=Table("How these numbers were made", ("what", "value"), body),
    )


def align_tables(frame: pl.DataFrame) -> list[Table]:
    """One table: a way of searching a row, a measure a column, intervals below."""
    metrics = frame["metric"].unique(maintain_order=True).to_list()
    keys = ["way", "family", "pairs", "control"]
    rows = []
    for key, part in frame.group_by(keys, maintain_order=True):
        way, family, pairs, control = key
        name = " ".join(map(str, (way, *([family] if family else []), *(["(shuffled pairs)"] * (control != "pair")))))
        cells = [TableCell(plain(name)), TableCell(f"{pairs:,}" if pairs else "–")]
        found = {row["metric"]: row for row in part.iter_rows(named=True)}
        for metric in metrics:
            row = found[metric]
            digits = 1 if row["unit"] == "%" else 3
            low, high = (number(row[end], digits) for end in ("low", "high"))
            cells.append(TableCell(f"{number(row['value'], digits)} [{low}, {high}]"))
        rows.append(tuple(cells))
    chance = {row["metric"]: row for row in frame.iter_rows(named=True)}
    level = [number(chance[m]["chance"], 2 if chance[m]["unit"] == "%" else 4) for m in metrics]
    rows.append((TableCell("chance"), TableCell("–"), *map(TableCell, level)))
    heads = [f"{m}, %" if chance[m]["unit"] == "%" else m for m in metrics]
    caption = "Neighbours of embedding all anew that each way of searching finds"
    return [Table(caption, ("way", "pairs", *heads), tuple(rows))]


def summary(frame: pl.DataFrame) -> list[str]:
    """A sentence for each family: what its best way keeps, beside the old model alone and chance."""
    recalls = [m for m in frame["metric"].unique(maintain_order=True) if m.startswith("recall@")]
    metric = "recall@10" if "recall@10" in recalls else recalls[-1]
    own = frame.filter(metric=metric, control="pair")
    alone = own.filter(pl.col("family").is_null()).row(0, named=True)
    said = []
    for (family,), part in own.filter(pl.col("family").is_not_null()).group_by(["family"], maintain_order=True):
        most = part.filter(pairs=part["pairs"].max())
        best = most.sort("value", descending=True).row(0, named=True)
        said.append(
            f"Of the {metric.partition('@')[2]} nearest that embedding all anew finds, the {best['way']} by {family} "
            f"({best['pairs']:,} pairs) keeps {_share(best)}; the old model alone {_share(alone)}, chance "
            f"{number(best['chance'], 2)} %."
        )
    return said


def _share(row: dict[str, Any]) -> str:
    return f"{number(row['value'])} % [{number(row['low'])}, {number(row['high'])}]"


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
