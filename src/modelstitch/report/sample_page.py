"""The part of the page that tells sample by sample, of every pair and of all networks together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ..errors import StudyError
from ..records.record import Record, Setting
from ..stats.examples import unpack
from . import samples, tables
from .figures.samples import breaks_figure, classes_figure, difficulty_figure
from .figures.style import number, plain
from .sentences.samples import of_family, of_pair

if TYPE_CHECKING:
    from ..data.shown import Shown

_MOST_CLASSES = 40  # that are drawn side by side
_MOST_SEAMS = 24  # whose classes are told one by one: a matrix has more
_MOST_PAIRS = 12  # with figures and tables; of more there are sentences alone
_TILES = 10  # pictures in a row
_TEXTS = 6
_IMAGE = "data:image/png;base64,"


def sample_section(
    records: Sequence[Record], lead: Setting, draw: Callable[[Any, str], Any], shown: Shown | None
) -> dict[str, Any] | None:
    """What the page says sample by sample; None where no samples of right and wrong answers are kept.

    Args:
        records: of the page.
        lead: the setting that it shows.
        draw: makes a drawing of a figure and its title.
        shown: gives images or texts, where data are at hand.
    """
    own = [r for r in records if r.setting == lead and r.control == "pair" and r.examples is not None]
    try:
        pairs = samples.by_pair(samples.stitches(own))
    except StudyError:
        return None
    few = len(pairs) <= _MOST_PAIRS
    parts = [_pair_part(*ends, stitched, draw, shown, whole=few) for ends, stitched in pairs.items()]
    texts = shown is not None and any(row["texts"] for part in parts for row in part["rows"])
    of_tokens = any(stitched[0].of_tokens for stitched in pairs.values())
    about = shown.about_texts if shown is not None and texts else ""
    return {"pairs": parts, "family": _family(own, draw), "of_tokens": of_tokens, "about": about}


def _pair_part(
    bottom: str,
    top: str,
    stitched: list[samples.Stitch],
    draw: Callable[[Any, str], Any],
    shown: Shown | None,
    *,
    whole: bool,
) -> dict[str, Any]:
    """What the page says of one pair; its sentences alone where not the ``whole`` is asked for."""
    rows = samples.breaks_of(stitched)
    mine = samples.by_class([s.record for s in stitched]) if rows["label"].null_count() == 0 else None
    name = f"{plain(bottom)} → {plain(top)}"
    said: dict[str, Any] = {"name": name, "remarks": of_pair(rows, mine), "figures": [], "classes": None, "rows": []}
    if not whole:
        return said
    what = "Tokens" if stitched[0].of_tokens else "Samples"
    figures = [(breaks_figure(stitched, bottom, top), f"{what} lost and gained")]
    if mine is not None and len(samples.seams(mine)) <= _MOST_SEAMS:
        if mine["label"].n_unique() <= _MOST_CLASSES:
            figures.append((classes_figure(mine, bottom, top), "Penalty of each class"))
        said["classes"] = tables.classes_table(mine, f"{name}: penalty of each class")
    said["figures"] = [draw(figure, f"{title}, {name}") for figure, title in figures]
    if shown is not None:
        said["rows"] = _examples(rows, stitched, shown)
    return said


def _family(own: Sequence[Record], draw: Callable[[Any, str], Any]) -> dict[str, Any]:
    try:
        hard = samples.difficulty(own)
    except StudyError:  # several test splits
        return {"remarks": [], "figure": None}
    figure = None
    if (hard["networks"][0] or 0) > 1:
        figure = draw(difficulty_figure(samples.stitches(own)), "Difficulty of samples over all models")
    return {"remarks": of_family(hard), "figure": figure}


def _examples(rows: pl.DataFrame, stitched: Sequence[samples.Stitch], shown: Shown) -> list[dict[str, Any]]:
    """What most stitches lose, that of the shallowest first, and what all keep: images, or texts."""
    if stitched[0].of_tokens:
        return _tokens(rows, stitched, shown)
    held = rows.filter("top_right")
    lost = held.filter(pl.col("flipped") > 0).sort("flipped", "first_depth", descending=[True, False]).head(_TILES)
    kept = held.filter(pl.col("flipped") == 0)
    kept = kept.sort(pl.int_range(pl.len()).over("label"), "label").head(_TILES)  # one of each class, then another
    addresses = shown.pictures([*lost["sample"].to_list(), *kept["sample"].to_list()])
    found = []
    for title, part in (("Lost by the most stitches", lost), ("Kept by all stitches", kept)):
        texts = [] if addresses else samples.shown_texts(part, shown)
        shows = [(row, addresses.get(row["sample"], "")) for row in part.iter_rows(named=True)]
        tiles = [
            {"address": address, "words": _words(row, shown), "sample": row["sample"]}
            for row, address in shows
            if address.startswith(_IMAGE)
        ]
        lines = [{"text": text, "words": _words(row, shown)} for (row, _), text in zip(shows, texts)]
        if tiles or lines:
            found.append({"title": title, "tiles": tiles, "texts": lines[:_TEXTS]})
    return found


def _tokens(rows: pl.DataFrame, stitched: Sequence[samples.Stitch], shown: Shown) -> list[dict[str, Any]]:
    """Of each text the token that most stitches lose, the texts that cost most first; and texts that all keep."""
    cost = np.mean([unpack(s.record).deltas for s in stitched], 0)
    held = rows.filter("top_right").with_columns(pl.Series("cost", cost).gather(rows.filter("top_right")["sample"]))
    worst = held.filter(pl.col("flipped") > 0).sort("flipped", "cost", "first_depth", descending=[True, True, False])
    lost = worst.unique("sample", keep="first", maintain_order=True).head(_TEXTS)
    whole = held.group_by("sample", maintain_order=True).agg(
        pl.len().alias("tokens"), pl.col("flipped").max(), pl.lit(None, pl.Int64).alias("token"), pl.col("cost").first()
    )
    whole = whole.with_columns(pl.lit(None, pl.Int64).alias("answer"))
    kept = whole.filter(pl.col("flipped") == 0).sort("tokens", descending=True, maintain_order=True).head(_TEXTS)
    found = []
    for title, part in (("Lost by the most stitches", lost), ("Kept by all stitches", kept)):
        lines = [
            {"text": text, "words": _cost(row)}
            for row, text in zip(part.iter_rows(named=True), samples.shown_texts(part, shown))
        ]
        if lines:
            found.append({"title": title, "tiles": [], "texts": lines})
    return found


def _cost(row: Mapping[str, Any]) -> str:
    cost = f"{number(row['cost'], 2, signed=True)} nats a token over the text"
    if not row["flipped"]:
        return f"all {row['tokens']} that the top predicts; {cost}"
    return f"by {row['flipped']} of {row['stitches']}, from {plain(row['first_layer'])}; {cost}"


def _words(row: Mapping[str, Any], shown: Shown) -> str:
    label = "" if row["label"] is None else plain(shown.word(row["label"]))
    if not row["flipped"]:
        return label
    read = "" if row["answer"] is None else f", read as {plain(shown.word(row['answer']))}"
    named = f"{label}{read}; " if label else ""
    return f"{named}by {row['flipped']} of {row['stitches']}, from {plain(row['first_layer'])}"
