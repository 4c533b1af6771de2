"""Sample by sample: which of them break at which stitch, in which class, and how hard they are for all networks.

Of texts it is told token by token, since each is answered by itself.

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
from ..records.answers import NATS, Answers
from ..records.record import Record, as_records
from ..stats import bootstrap
from ..stats.examples import answers_of, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..data.shown import Passage, Shown

_BREAKS: dict[str, Any] = {
    "bottom": pl.String,
    "top": pl.String,
    "sample": pl.Int64,
    "token": pl.Int64,
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
    **dict.fromkeys(("sample", "token", "label", "networks", "networks_right"), pl.Int64),
    **dict.fromkeys(("pairs", "pairs_broken", "stitches", "broken"), pl.Int64),
    "trend": pl.Float64,
}


@dataclass(frozen=True)
class Stitch:
    """What one record keeps of every test sample, or of every token of texts: each is right or wrong."""

    record: Record
    answers: Answers

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Whether the stitched model is right, (n,)."""
        return self._errors == 0 if (found := self._right("stitched")) is None else found

    @cached_property
    def top_right(self) -> NDArray[np.bool_]:
        """Whether the top alone is right, (n,)."""
        return self._errors == unpack(self.record).deltas if (found := self._right("top")) is None else found

    @cached_property
    def below_right(self) -> NDArray[np.bool_] | None:
        """Whether the bottom alone is right, (n,); None where that is not kept."""
        return self._right("bottom")

    @property
    def of_tokens(self) -> bool:
        """Whether it is told token by token."""
        return self.answers.hits is not None

    @cached_property
    def places(self) -> dict[str, NDArray[np.int64] | list[None]]:
        """Which sample each row is, and of texts which of its tokens that count, from 0 on."""
        n = len(self.right)
        if not self.of_tokens:
            return {"sample": np.arange(n), "token": [None] * n}
        sizes = unpack(self.record).weights.astype(np.int64)
        ends = np.cumsum(sizes)
        return {
            "sample": np.repeat(np.arange(len(sizes)), sizes),
            "token": np.arange(n) - np.repeat(ends - sizes, sizes),
        }

    @property
    def said(self) -> NDArray[np.int64] | None:
        """What the stitched model answered, (n,), -1 where that is not kept."""
        return self.answers.said if self.of_tokens else self.answers.classes["stitched"]

    @cached_property
    def _errors(self) -> NDArray[np.float64]:
        return unpack(self.record, alone=True).deltas

    def _right(self, side: str) -> NDArray[np.bool_] | None:
        found = self.answers.right[side] if self.answers.hits is None else self.answers.hits.get(side)
        return None if found is None else np.asarray(found, dtype=np.bool_)


def stitches(records: Iterable[Mapping[str, Any]], control: str = "pair") -> list[Stitch]:
    """The records of a control whose samples or tokens are right or wrong, from the shallowest top on.

    Raises:
        StudyError: there is none.
        MeasureError: the answers of one cannot be read.
    """
    kept = [r for r in as_records(records) if r.control == control and r.examples is not None]
    found = [Stitch(r, answers_of(r)) for r in kept if _right_or_wrong(r.examples or {})]
    if not found:
        raise StudyError(
            f"There is nothing to tell sample by sample of {control!r}: expected a finished stitch whose answers are "
            f"right or wrong, found none; {_why_none(kept)}."
        )
    return sorted(found, key=lambda s: (s.record.top.depth or 0.0, s.record.top.layer))


def _right_or_wrong(kept: Mapping[str, Any]) -> bool:
    return bootstrap.right_or_wrong(str(kept.get("unit"))) or "tokens" in kept.get("answers", {})


def _why_none(kept: Sequence[Record]) -> str:
    if not kept:
        return "no record keeps its test samples"
    unit = str((kept[0].examples or {}).get("unit"))
    if unit == NATS:
        return "its records do not keep which tokens are right, as those of before: compare again"
    return f"nothing says it of errors in {unit}: see the error of each sample in .examples"


def breaks(records: Iterable[Mapping[str, Any]], control: str = "pair") -> pl.DataFrame:
    """One row a test sample, or token of texts, and pair of networks: see ``modelstitch.Results.breaks``."""
    return pl.concat([breaks_of(own) for own in by_pair(stitches(records, control)).values()])


def breaks_of(own: Sequence[Stitch]) -> pl.DataFrame:
    """The rows of ``breaks`` of one pair, from its stitches, the shallowest first."""
    right, top_right = np.stack([s.right for s in own]), own[0].top_right
    flipped = right != top_right
    any_, first = flipped.any(0), flipped.argmax(0)
    said = [s.said for s in own]
    known = None if any(a is None for a in said) else np.stack([a for a in said if a is not None])
    layers = [s.record.top.layer for s in own]
    depths = np.array([np.nan if s.record.top.depth is None else s.record.top.depth for s in own])
    labels, n = own[0].answers.labels, right.shape[1]
    return pl.DataFrame(
        {
            "bottom": [own[0].record.bottom.name] * n,
            "top": [own[0].record.top.name] * n,
            **own[0].places,
            "label": [None] * n if labels is None else labels,
            "top_right": top_right,
            "stitches": [len(own)] * n,
            "flipped": flipped.sum(0),
            "first_layer": [layers[at] if broke else None for at, broke in zip(first, any_)],
            "first_depth": pl.Series(np.where(any_, depths[first], np.nan)).fill_nan(None),
            "answer": [None] * n if known is None else _most_given(known, flipped & (known >= 0)),
        },
        schema=_BREAKS,
        strict=False,
    )


def with_texts(rows: pl.DataFrame, shown: Shown) -> pl.DataFrame:
    """Rows of ``breaks`` with a column ``text``: of those that a stitch flips, the sample with the place marked.

    Raises:
        StudyError: the samples are no texts.
    """
    own = rows.filter(pl.col("flipped") > 0)
    found = [str(passage) for passage in shown_texts(own, shown)]
    if own.height and not found:
        raise StudyError(
            "The test samples are no texts: expected tokens or words to show, found none; leave the data out, or see "
            "images on the page of report(data=...)."
        )
    texts = pl.Series("text", np.full(rows.height, None, dtype=object).tolist(), dtype=pl.String)
    return rows.with_columns(texts.scatter((rows["flipped"] > 0).arg_true(), found) if found else texts)


def shown_texts(rows: pl.DataFrame, shown: Shown) -> list[Passage]:
    """The passage of each row of ``breaks``; none where samples are no texts."""
    places = list(rows.select("sample", "token").iter_rows())
    answers = [None if token is None else answer for (_, token), answer in zip(places, rows["answer"])]
    return shown.passages(places, answers)


def by_class(records: Iterable[Mapping[str, Any]], control: str = "pair") -> pl.DataFrame:
    """One row a seam, setting and class: see ``modelstitch.Results.by_class``."""
    groups: dict[tuple[Any, ...], list[Stitch]] = {}
    for stitch in stitches(records, control):
        r = stitch.record
        groups.setdefault((r.bottom.name, r.bottom.layer, r.top.name, r.top.layer, r.setting), []).append(stitch)
    rows = []
    for (bottom, bottom_layer, top, top_layer, setting), own in groups.items():
        labels = own[0].answers.labels
        if own[0].of_tokens or unpack(own[0].record).unit != "points":
            what = "tokens" if own[0].of_tokens else unpack(own[0].record).unit
            raise StudyError(
                f"The stitch {bottom} -> {top} has no classes: expected one for each sample, found errors in {what}; "
                "breaks() tells which are right."
            )
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
    """One row a test sample, or token of texts, over all networks and stitches: see ``Results.difficulty``."""
    own = same_samples(stitches(records))
    alone = networks_right(own)
    right = np.stack([s.right for s in own])
    lost = np.stack([s.top_right & ~s.right for s in own])
    pairs = by_pair(own)
    broken = np.stack([np.any([s.top_right & ~s.right for s in group], 0) for group in pairs.values()])
    models = np.concatenate([right, *(hits[None] for hits in alone.values())]) if alone else right
    labels = own[0].answers.labels
    n = right.shape[1]
    return pl.DataFrame(
        {
            **own[0].places,
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
        if s.below_right is not None:
            alone.setdefault(s.record.bottom.name, s.below_right)
    return alone


def by_pair(found: Sequence[Stitch]) -> dict[tuple[str, str], list[Stitch]]:
    """The stitches of each (bottom, top), in their order."""
    pairs: dict[tuple[str, str], list[Stitch]] = {}
    for s in found:
        pairs.setdefault((s.record.bottom.name, s.record.top.name), []).append(s)
    return pairs


def _most_given(answers: Any, where: NDArray[np.bool_]) -> list[int | None]:
    """The answer that most of the marked stitches give to each sample, the least of several; (stitches, n)."""
    found: list[int | None] = [None] * where.shape[1]
    for at in np.flatnonzero(where.any(0)):
        values, counts = np.unique(answers[where[:, at], at], return_counts=True)
        found[at] = int(values[counts.argmax()])
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
