"""What the single samples say: how many break, where, which class loses most, and which are hard for all."""

from __future__ import annotations

import polars as pl

from ..figures.style import number, plain
from .remark import Remark


def of_pair(rows: pl.DataFrame, classes: pl.DataFrame | None) -> list[Remark]:
    """Sentences on one pair.

    Args:
        rows: of ``modelstitch.report.samples.breaks``, of one pair.
        classes: of ``by_class``, of the same stitches; None where labels are not kept.
    """
    what, held = _counted(rows), rows.filter("top_right")
    lost = held.filter(pl.col("flipped") > 0)
    gained = rows.filter(~pl.col("top_right") & (pl.col("flipped") > 0))
    if not held.height:
        return []
    stitches = int(rows["stitches"][0])
    share = number(100 * lost.height / held.height)
    of = f"Of the {held.height:,} {what} that the top gets right"
    if not lost.height:
        said = [Remark("finding", f"{of}, none is lost by any of {stitches} stitches.")]
    else:
        where = lost.group_by("first_layer").len().sort("len", descending=True)
        layer, count = where.row(0)
        ever = lost.filter(pl.col("flipped") == stitches).height
        every = f", {ever:,} by every one" if stitches > 1 and ever else ""
        text = (
            f"{of}, {lost.height:,} ({share} %) are lost by some of {stitches} stitches{every}; most are first lost at "
            f"{plain(layer)} ({count:,})."
        )
        said = [Remark("finding", text)]
    if gained.height:
        wrong = rows.height - held.height
        said.append(
            Remark("finding", f"Of the {wrong:,} that the top gets wrong, some stitch gets {gained.height:,} right.")
        )
    return [*said, *([] if classes is None else _worst_class(classes))]


def _worst_class(classes: pl.DataFrame) -> list[Remark]:
    """The class that loses more than all together, beyond its interval, where one does."""
    keys = ["bottom_layer", "top_layer"]
    whole = classes.group_by(keys).agg(
        ((pl.col("value") * pl.col("examples")).sum() / pl.col("examples").sum()).alias("all")
    )
    beyond = classes.join(whole, on=keys).filter(pl.col("low") > pl.col("all"))
    if beyond.is_empty():
        return [Remark("open", "No class loses more than all together, beyond its own interval.")]
    row = beyond.sort(pl.col("low") - pl.col("all"), descending=True).row(0, named=True)
    value, low, high, every = (number(row[key], signed=True) for key in ("value", "low", "high", "all"))
    text = (
        f"Class {row['label']} loses more than the others at {plain(row['top_layer'])}: {value} points [{low}, {high}] "
        f"on {row['examples']:,} samples, against {every} over all."
    )
    return [Remark("finding", text)]


def _counted(rows: pl.DataFrame) -> str:
    """What each row is."""
    return "test samples" if rows["token"].null_count() else "tokens of the test samples"


def of_family(rows: pl.DataFrame) -> list[Remark]:
    """Sentences on all networks together, from the rows of ``modelstitch.report.samples.difficulty``."""
    networks = rows["networks"][0] or 0
    easy = rows.filter(pl.col("networks_right") == networks)
    if networks < 2 or easy.is_empty():
        return []
    lost = easy.filter(pl.col("pairs_broken") > 0)
    pairs, what = int(rows["pairs"][0]), _counted(rows)
    most = lost.filter(pl.col("pairs_broken") > pairs / 2).height
    against = rows.filter(pl.col("trend") < 0).height
    known = rows["trend"].drop_nulls().len()
    return [
        Remark(
            "finding",
            f"All {networks} networks are right on {easy.height:,} of {rows.height:,} {what}; of these "
            f"{lost.height:,} are lost in some of {pairs} pairs, {most:,} in more than half.",
        ),
        *(
            [
                Remark(
                    "finding",
                    f"On {against:,} of {known:,} {what} on which models differ, the more accurate ones do worse.",
                )
            ]
            if known
            else []
        ),
    ]
