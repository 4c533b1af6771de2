"""Sample by sample: which of them break at which stitch, in which class, and how hard they are for all networks.

The profile of difficulty is the idea of Kaplun, Ghosh, Garg, Barak and Nakkiran, "Deconstructing Distributions: A
Pointwise Framework of Learning", ICLR 2023: a sample is described by how often models of growing accuracy get it right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ..errors import StudyError
from ..stats import bootstrap
from ..study.answers import Answers
from ..study.examples import answers_of, unpack
from ..study.record import Record, as_records

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BREAKS: dict[str, Any] = {
    "bottom": pl.String,
    "top": pl.String,
    "sample": pl.Int64,
    "label": pl.Int64,
    "top_right": pl.Boolean,
    "stitches": pl.Int64,
    "flipped": pl.Int64,
    "first_layer": pl.String,
    "first_depth": pl.Float64,
    "answer": pl.Int64,
}
_CLASSES: dict[str, Any] = {
    **dict.fromkeys(("bottom", "bottom_layer", "top", "top_layer"), pl.String),
    "top_depth": pl.Float64,
    **dict.fromkeys(("family", "objective", "init", "normalisation"), pl.String),
    "samples": pl.Int64,
    "control": pl.String,
    **dict.fromkeys(("label", "examples", "fits"), pl.Int64),
    **dict.fromkeys(("value", "low", "high"), pl.Float64),
    "unit": pl.String,
}
_DIFFICULTY: dict[str, Any] = {
    **dict.fromkeys(("sample", "label", "networks", "networks_right"), pl.Int64),
    **dict.fromkeys(("pairs", "pairs_broken", "stitches", "broken"), pl.Int64),
    "trend": pl.Float64,
}


@dataclass(frozen=True)
class Stitch:
    """What one record keeps of every test sample."""

    record: Record
    answers: Answers

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Whether the stitched model is right, (n,)."""
        return np.asarray(self.answers.right["stitched"]) > 0

    @cached_property
    def top_right(self) -> NDArray[np.bool_]:
        """Whether the top alone is right, (n,)."""
        return np.asarray(self.answers.right["top"]) > 0


def stitches(records: Iterable[Mapping[str, Any]], control: str = "pair") -> list[Stitch]:
    """The records of a control whose samples are right or wrong, from the shallowest top on.

    Raises:
        StudyError: there is none.
        MeasureError: the answers of one cannot be read.
    """
    kept = [r for r in as_records(records) if r.control == control and r.examples is not None]
    found = [Stitch(r, answers_of(r)) for r in kept if r.examples and r.examples.get("unit") == "points"]
    if not found:
        why = "samples are right or wrong in classification alone" if kept else "no record keeps its test samples"
        raise StudyError(
            f"There is nothing to tell sample by sample of {control!r}: expected a finished stitch of a task with "
            f"classes, found none; {why}."
        )
    return sorted(found, key=lambda s: (s.record.top.depth or 0.0, s.record.top.layer))


def breaks(records: Iterable[Mapping[str, Any]], control: str = "pair") -> pl.DataFrame:
    """One row a test sample and pair of networks: see ``modelstitch.Results.breaks``."""
    parts = []
    for (bottom, top), own in _by_pair(stitches(records, control)).items():
        right, top_right = np.stack([s.right for s in own]), own[0].top_right
        flipped = right != top_right
        first = flipped.argmax(0)
        known = [s.answers.classes["stitched"] for s in own]
        answers = None if any(a is None for a in known) else np.stack([a for a in known if a is not None])
        labels = own[0].answers.labels
        layers = np.array([s.record.top.layer for s in own])
        depths = np.array([np.nan if s.record.top.depth is None else s.record.top.depth for s in own])
        any_ = flipped.any(0)
        n = right.shape[1]
        parts.append(
            pl.DataFrame(
                {
                    "bottom": [bottom] * n,
                    "top": [top] * n,
                    "sample": np.arange(n),
                    "label": [None] * n if labels is None else labels,
                    "top_right": top_right,
                    "stitches": [len(own)] * n,
                    "flipped": flipped.sum(0),
                    "first_layer": [str(layers[at]) if broke else None for at, broke in zip(first, any_)],
                    "first_depth": pl.Series(np.where(any_, depths[first], np.nan)).fill_nan(None),
                    "answer": [None] * n if answers is None else _most_given(answers, flipped),
                },
                schema=_BREAKS,
                strict=False,
            )
        )
    return pl.concat(parts)


def by_class(records: Iterable[Mapping[str, Any]], control: str = "pair") -> pl.DataFrame:
    """One row a seam, setting and class: see ``modelstitch.Results.by_class``."""
    groups: dict[tuple[Any, ...], list[Stitch]] = {}
    for stitch in stitches(records, control):
        r = stitch.record
        groups.setdefault((r.bottom.name, r.bottom.layer, r.top.name, r.top.layer, r.setting), []).append(stitch)
    rows = []
    for (bottom, bottom_layer, top, top_layer, setting), own in groups.items():
        labels = own[0].answers.labels
        if labels is None:
            raise StudyError(
                f"The stitch {bottom} -> {top} keeps no labels: expected records that keep answers, which exported "
                "galleries leave out; compare again."
            )
        deltas = [unpack(s.record).deltas for s in own]
        head = {"bottom": bottom, "bottom_layer": bottom_layer, "top": top, "top_layer": top_layer, "control": control}
        head |= {"top_depth": own[0].record.top.depth, **setting._asdict(), "fits": len(own), "unit": "points"}
        for label in np.unique(labels):
            where = labels == label
            mine = [delta[where] for delta in deltas]
            low, high = bootstrap.interval(
                bootstrap.means(mine, np.ones(int(where.sum())), ends=(-100.0, 100.0)).mean(1)
            )
            value = float(np.mean([delta.mean() for delta in mine]))
            rows.append(
                {**head, "label": int(label), "examples": int(where.sum()), "value": value, "low": low, "high": high}
            )
    return pl.DataFrame(rows, schema=_CLASSES, strict=False)


def seams(rows: pl.DataFrame) -> dict[tuple[str, str], str]:
    """What the seams of one pair are called, from the shallowest top on; {(bottom layer, top layer): name}."""
    ordered = rows.sort("top_depth").select("bottom_layer", "top_layer").unique(maintain_order=True)
    return {(b, t): t if b == t else f"{b} → {t}" for b, t in ordered.iter_rows()}


def difficulty(records: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """One row a test sample, over all networks and stitches: see ``modelstitch.Results.difficulty``."""
    own = same_samples(stitches(records))
    alone = networks_right(own)
    right = np.stack([s.right for s in own])
    lost = np.stack([s.top_right & ~s.right for s in own])
    pairs = _by_pair(own)
    broken = np.stack([np.any([s.top_right & ~s.right for s in group], 0) for group in pairs.values()])
    models = np.concatenate([right, *(hits[None] for hits in alone.values())]) if alone else right
    labels = own[0].answers.labels
    n = right.shape[1]
    return pl.DataFrame(
        {
            "sample": np.arange(n),
            "label": [None] * n if labels is None else labels,
            "networks": [len(alone)] * n,
            "networks_right": np.sum(list(alone.values()), 0) if alone else [None] * n,
            "pairs": [len(pairs)] * n,
            "pairs_broken": broken.sum(0),
            "stitches": [len(own)] * n,
            "broken": lost.sum(0),
            "trend": pl.Series(_trends(models)).fill_nan(None),
        },
        schema=_DIFFICULTY,
        strict=False,
    )


def same_samples(found: Sequence[Stitch]) -> list[Stitch]:
    """Those that were measured on the test samples of the first.

    Raises:
        StudyError: others were measured on others.
    """
    sources = {unpack(s.record).source for s in found}
    if len(sources) > 1:
        raise StudyError(
            f"The profile of a family is over one test split: expected the same samples in every stitch, found "
            f"{len(sources)} splits; open the results of each by itself."
        )
    return list(found)


def networks_right(found: Sequence[Stitch]) -> dict[str, NDArray[np.bool_]]:
    """Which samples each network gets right by itself, by its name."""
    alone: dict[str, Any] = {}
    for s in found:
        alone.setdefault(s.record.top.name, s.top_right)
        below = s.answers.right["bottom"]
        if below is not None:
            alone.setdefault(s.record.bottom.name, np.asarray(below) > 0)
    return alone


def _by_pair(found: Sequence[Stitch]) -> dict[tuple[str, str], list[Stitch]]:
    pairs: dict[tuple[str, str], list[Stitch]] = {}
    for s in found:
        pairs.setdefault((s.record.bottom.name, s.record.top.name), []).append(s)
    return pairs


def _most_given(answers: Any, where: NDArray[np.bool_]) -> list[int | None]:
    """The answer that most of the marked stitches give to each sample, the least of several; (stitches, n)."""
    found: list[int | None] = []
    for given, marked in zip(answers.T, where.T):
        found.append(int(np.bincount(given[marked]).argmax()) if marked.any() else None)
    return found


def _trends(right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The correlation over models (m, n) of being right on a sample with accuracy on others; NaN where all agree."""
    hits = right.astype(float)
    others = (hits.sum(1, keepdims=True) - hits) / max(hits.shape[1] - 1, 1)
    a, b = hits - hits.mean(0), others - others.mean(0)
    norms = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    with np.errstate(invalid="ignore", divide="ignore"):
        found: NDArray[np.float64] = np.where(norms > 1e-12, (a * b).sum(0) / norms, np.nan)
    return found
