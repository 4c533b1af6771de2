"""The part of the page that tells sample by sample, of every pair and of all networks together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from ..errors import StudyError
from ..study.record import Record, Setting
from . import samples, tables
from .figures.samples import breaks_figure, classes_figure, difficulty_figure
from .figures.style import plain
from .sentences.samples import of_family, of_pair

# From places in the test split, and the hash of that split, to addresses of images.
Pictures = Callable[[Sequence[int], str | None], Mapping[int, str]]
_MOST_CLASSES = 40  # that are drawn side by side
_MOST_SEAMS = 24  # whose classes are told one by one: a matrix has more
_MOST_PAIRS = 12  # with figures and tables; of more there are sentences alone
_TILES = 10  # pictures in a row
_IMAGE = "data:image/png;base64,"


def sample_section(
    records: Sequence[Record], lead: Setting, draw: Callable[[Any, str], Any], shown: Pictures | None
) -> dict[str, Any] | None:
    """What the page says sample by sample; None where no samples of right and wrong answers are kept.

    Args:
        records: of the page.
        lead: the setting that it shows.
        draw: makes a drawing of a figure and its title.
        shown: gives images, where data are at hand.
    """
    own = [r for r in records if r.setting == lead and r.control == "pair" and r.examples is not None]
    try:
        every = samples.breaks(own)
    except StudyError:
        return None
    classes = samples.by_class(own) if every["label"].null_count() == 0 else None
    parts: list[dict[str, Any]] = []
    few = every.select("bottom", "top").unique().height <= _MOST_PAIRS
    for key, rows in every.group_by("bottom", "top", maintain_order=True):
        bottom, top = map(str, key)
        stitched = [r for r in own if (r.bottom.name, r.top.name) == (bottom, top)]
        mine = None if classes is None else classes.filter(bottom=bottom, top=top)
        name = f"{plain(bottom)} → {plain(top)}"
        remarks = of_pair(rows, mine)
        if not few:
            parts.append({"name": name, "remarks": remarks, "figures": [], "classes": None, "rows": []})
            continue
        figures = [(breaks_figure(samples.stitches(stitched), bottom, top), "Samples lost and gained")]
        if mine is not None and len(samples.seams(mine)) > _MOST_SEAMS:
            mine = None
        if mine is not None and mine["label"].n_unique() <= _MOST_CLASSES:
            figures.append((classes_figure(mine, bottom, top), "Penalty of each class"))
        parts.append(
            {
                "name": name,
                "remarks": remarks,
                "figures": [draw(figure, f"{title}, {name}") for figure, title in figures],
                "classes": None if mine is None else tables.classes_table(mine, f"{name}: penalty of each class"),
                "rows": [] if shown is None else _pictures(rows, stitched, shown),
            }
        )
    return {"pairs": parts, "family": _family(own, draw)}


def _family(own: Sequence[Record], draw: Callable[[Any, str], Any]) -> dict[str, Any]:
    try:
        hard = samples.difficulty(own)
    except StudyError:  # several test splits
        return {"remarks": [], "figure": None}
    figure = None
    if (hard["networks"][0] or 0) > 1:
        figure = draw(difficulty_figure(samples.stitches(own)), "Difficulty of samples over all models")
    return {"remarks": of_family(hard), "figure": figure}


def _pictures(rows: pl.DataFrame, stitched: Sequence[Record], shown: Pictures) -> list[dict[str, Any]]:
    """The samples that most stitches lose, those of the shallowest first, and some of each class that all keep."""
    held = rows.filter("top_right")
    lost = held.filter(pl.col("flipped") > 0).sort("flipped", "first_depth", descending=[True, False]).head(_TILES)
    kept = held.filter(pl.col("flipped") == 0)
    kept = kept.sort(pl.int_range(pl.len()).over("label"), "label").head(_TILES)  # one of each class, then another
    test = next((r.examples["test"] for r in stitched if r.examples and r.examples.get("test")), None)
    addresses = shown([*lost["sample"].to_list(), *kept["sample"].to_list()], test)
    found = []
    for title, part in (("Lost by the most stitches", lost), ("Kept by all stitches", kept)):
        tiles = [
            {"address": address, "words": _words(row), "sample": row["sample"]}
            for row in part.iter_rows(named=True)
            if (address := addresses.get(row["sample"], "")).startswith(_IMAGE)
        ]
        if tiles:
            found.append({"title": title, "tiles": tiles})
    return found


def _words(row: Mapping[str, Any]) -> str:
    if not row["flipped"]:
        return f"{row['label']}"
    read = "" if row["answer"] is None else f", read as {row['answer']}"
    return f"{row['label']}{read}; by {row['flipped']} of {row['stitches']}, from {plain(row['first_layer'])}"
