"""The tables of a report as plain rows of text; the page escapes and lays them out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from ..engine.controls import CONTROLS
from ..records.record import End, Record, as_records
from ..stats.pooling import Pooled
from ..support.words import first_of, rough
from .figures.heatmaps import matrix
from .figures.pair import by_parameters
from .figures.style import minus, number, plain
from .frame import Point, curve, scale_in
from .samples import seams
from .sentences import verdicts


@dataclass(frozen=True)
class TableCell:
    """One cell: its text, a smaller text below it (an interval, a reason), and a mark for its look."""

    text: str
    below: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a caption; the first column names the row."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]


_EMPTY = TableCell("–", mark="none")
_MACHINE = ("modelstitch", "torch", "python", "device", "threads", "platform")
_SPLITS = ("fit", "val", "test")
_PROVENANCE: tuple[tuple[str, Callable[[Record], Any]], ...] = (  # a line, and what it says of a cell
    *((key, lambda cell, key=key: cell.provenance.get(key)) for key in _MACHINE),
    ("seeds", lambda cell: cell.seed),
    ("data", lambda cell: cell.data and f"{cell.data.get('name')} (fingerprint {cell.data.get('fingerprint')})"),
    ("examples: fit / val / test", lambda cell: cell.data and " / ".join(str(cell.data.get(s)) for s in _SPLITS)),
    ("augmentation", lambda cell: cell.data.get("augment")),
    ("normalisation policy", lambda cell: cell.setting.normalisation),
    ("families", lambda cell: cell.family),
    ("objectives", lambda cell: cell.objective),
    ("fit", lambda cell: cell.fit and _listed(cell.fit)),
)


_EXTRAS: tuple[tuple[str, str, int | None], ...] = (  # column, metric, digits: None as the unit asks
    ("R² of the labels", "label_r2", 2),
    ("R² of the top", "top_label_r2", 2),
    ("penalty in R²", "label_r2_penalty", 2),
    ("average precision", "average_precision", 3),
    ("average precision of the top", "top_average_precision", 3),
    ("penalty in average precision", "average_precision_penalty", 3),
    ("mIoU, %", "miou", 1),
    ("mIoU of the top, %", "top_miou", 1),
    ("penalty in mIoU, points", "miou_penalty", 1),
    ("recall@1, %", "recall@1", 1),
    ("recall@5, %", "recall@5", 1),
    ("recall@10, %", "recall@10", 1),
    ("penalty in recall@10, points", "recall@10_penalty", 1),
    ("MRR", "mrr", 3),
    ("MRR of the top", "top_mrr", 3),
    ("penalty in MRR", "mrr_penalty", 3),
    ("agrees with top, %", "agreement_top", 1),
    ("agrees with bottom, %", "agreement_bottom", 1),
    ("by chance, %", "agreement_chance", 1),
    ("R²", "r2", 2),
    ("Relative error", "relative_mse", 2),
    ("CKA", "cka", 2),
    ("OOD, ratio", "ood", 2),
    ("beyond the genuine 99 %, %", "ood_share", 1),
    ("nearer than the genuine 1 %, %", "collapsed_share", 1),
    ("on the second test set", "second_penalty", None),
    ("perplexity", "perplexity", 2),
    ("perplexity of the top", "top_perplexity", 2),
)


def penalty_table(
    rows: pl.DataFrame, caption: str, ratios: Mapping[tuple[str, str], tuple[Pooled | None, str]] | None = None
) -> Table:
    """Penalty of one pair and its controls at each layer, the normalised penalty, agreement, and the truth checks.

    ``ratios`` are normalised penalties with intervals, by (bottom layer, top layer), where examples were kept.
    """
    curves = {c: _by_layer(curve(rows, c)) for c in ("pair", *CONTROLS)}
    present = [c for c, points in curves.items() if points]
    shown = _extras(rows)
    layers = {p.layer: p for c in present for p in curves[c].values()}
    body = []
    for layer, place in sorted(layers.items(), key=lambda item: item[1].depth):
        here = {c: points.get(layer) for c, points in curves.items()}
        ratio = (ratios or {}).get((place.bottom_layer or layer, layer))
        more = [_value(points.get(layer), digits=digits) for _, points, digits in shown]
        body.append(_penalty_row(place, here, present, ratio, more))
    unit = next(iter(layers.values())).unit if layers else "points"
    named = (f"pair, {unit}" if c == "pair" else c for c in present)
    head = ("layer", "depth", *named, "normalised", *(name for name, *_ in shown))
    return Table(caption, head, tuple(body))


def _extras(rows: pl.DataFrame) -> list[tuple[str, dict[str, Point], int | None]]:
    """The columns beside penalties that have a value: name, points by layer, digits."""
    found = ((name, _by_layer(curve(rows, metric=metric)), digits) for name, metric, digits in _EXTRAS)
    return [extra for extra in found if extra[1]]


def _penalty_row(
    place: Point,
    here: Mapping[str, Point | None],
    present: Sequence[str],
    ratio: tuple[Pooled | None, str] | None,
    more: Sequence[TableCell],
) -> tuple[TableCell, ...]:
    """One layer: its depth, the penalties of the pair and of each control, what is normalised by them, and the rest."""
    share = _normalised(here["pair"], here["self"], here["random"]) if ratio is None else _ratio(*ratio)
    penalties = (_value(here[c], mark=c) for c in present)
    return (_layer(here["pair"] or place), TableCell(number(place.depth, 2)), *penalties, share, *more)


def _by_layer(points: Sequence[Point]) -> dict[str, Point]:
    return {point.layer: point for point in points}


def overview_table(panels: Iterable[tuple[str, str, pl.DataFrame]]) -> Table:
    """One line a pair: donors' errors, the largest penalty in the middle, random there, the verdicts."""
    names = {"near": "near 0", "better": "better than the top", "off": "off", "open": "open"}
    body = []
    for bottom, top, rows in panels:
        pair = curve(rows)
        if not pair:
            continue
        worst = max(verdicts.middle(pair) or pair, key=lambda p: p.value)
        states = [verdicts.state(p) for p in pair]
        counts = ", ".join(f"{states.count(s)} {names[s]}" for s in names if s in states)
        random = next((p for p in curve(rows, "random") if p.layer == worst.layer), None)
        errors = [_with_unit(next(iter(curve(rows, metric=f"{side}_error")), None)) for side in ("bottom", "top")]
        line = (TableCell(f"{plain(bottom)} → {plain(top)}"), *errors, _with_unit(worst, mark="pair"))
        body.append((*line, TableCell(plain(worst.layer)), _with_unit(random, mark="random"), TableCell(counts)))
    head = (
        "pair",
        "bottom error",
        "top error",
        "largest penalty in the middle",
        "at layer",
        "random there",
        "layers",
    )
    return Table("Bottom → top", head, tuple(body))


def donors_table(records: Sequence[Mapping[str, Any]]) -> Table:
    """One line a network.

    Its own errors, how it sees samples, and where its weights come from, as far as records say.
    """
    stated = {name: facts for record in as_records(records) for name, facts in (record.donors or {}).items()}
    body = []
    for name, facts in stated.items():
        unit = {"percent": "%"}.get(facts.unit, facts.unit)
        errors = [
            _EMPTY if value is None else TableCell(f"{_error(value, unit)} {unit}", below)
            for value, below in ((facts.error, ""), (facts.fit_error, f"of {facts.fit_samples:,} samples"))
        ]
        body.append(
            (TableCell(plain(name)), *errors, TableCell(plain(facts.view)), TableCell(plain(facts.weights) or "–"))
        )
    head = ("network", "test error", "error on the fit split", "view", "weights")
    return Table("The networks by themselves, before anything is fitted", head, tuple(body))


def _error(value: float, unit: str) -> str:
    known = {"%": 1, "nats/token": 3}.get(unit)
    return minus(rough(value)) if known is None else number(value, known)


def ladder_table(rows: pl.DataFrame, caption: str) -> Table:
    """Penalty of one pair at each layer (rows) under each family (columns)."""
    return _side_by_side(rows, caption, "family", by_parameters(rows.filter(pl.col("control") == "pair")))


def samples_table(rows: pl.DataFrame, caption: str) -> Table:
    """Penalty of one pair at each layer (rows) for each number of fit examples (columns)."""
    return _side_by_side(rows, caption, "samples", sorted(rows["samples"].drop_nulls().unique().to_list()))


def _side_by_side(rows: pl.DataFrame, caption: str, key: str, values: Sequence[Any]) -> Table:
    curves = [_by_layer(curve(rows.filter(pl.col(key) == value))) for value in values]
    layers = {p.layer: p.depth for points in curves for p in points.values()}
    body = [
        (TableCell(plain(layer)), *(_value(points.get(layer)) for points in curves))
        for layer, _ in sorted(layers.items(), key=lambda item: item[1])
    ]
    return Table(caption, ("layer", *(f"{v:,}" if isinstance(v, int) else plain(v) for v in values)), tuple(body))


def classes_table(rows: pl.DataFrame, caption: str) -> Table:
    """The rows of ``modelstitch.report.samples.by_class`` of one pair: classes by layers."""
    named = seams(rows)
    body = []
    for label in sorted(rows["label"].unique().to_list()):
        mine = {(row["bottom_layer"], row["top_layer"]): row for row in rows.filter(label=label).iter_rows(named=True)}
        cells = [
            TableCell(number(row["value"]), f"[{number(row['low'])}, {number(row['high'])}]") if row else _EMPTY
            for row in (mine.get(seam) for seam in named)
        ]
        body.append((TableCell(str(label)), TableCell(str(next(iter(mine.values()))["examples"])), *cells))
    return Table(caption, ("class", "samples", *map(plain, named.values())), tuple(body))


def pooled_table(table: pl.DataFrame) -> Table:
    """The rows of ``modelstitch.report.pooled.pooled`` in one setting: every seam and control over all pairs."""
    body = []
    for row in table.iter_rows(named=True):
        seam = (
            row["top_layer"]
            if row["bottom_layer"] == row["top_layer"]
            else f"{row['bottom_layer']} → {row['top_layer']}"
        )
        low, high = row["low"], row["high"]
        interval = "" if low is None else f"[{number(low)}, {number(high)}]"
        ratio = Pooled(row["normalised"] or 0.0, row["normalised_low"], row["normalised_high"], 0, 0, 0, "")
        share = _ratio(None if row["normalised"] is None else ratio, row["reason"] or "")
        q = _EMPTY if row["q"] is None else TableCell(number(row["q"], 3))
        counts = (TableCell(str(row[name])) for name in ("pairs", "seeds", "examples"))
        body.append(
            (
                TableCell(plain(seam)),
                TableCell(row["control"]),
                TableCell(number(row["value"]), interval, row["control"]),
                share,
                q,
                *counts,
            )
        )
    head = ("seam", "control", "penalty", "normalised", "q", "pairs", "fits", "examples")
    return Table(
        "Mean over pairs, with intervals over pairs, then seeds, then examples; q: of no penalty, over layers",
        head,
        tuple(body),
    )


def matrix_table(
    rows: pl.DataFrame,
    metric: str,
    caption: str,
    *,
    digits: int | None = None,
    below: Mapping[tuple[str, str], str] | None = None,
) -> Table:
    """One metric of one pair, bottom layers as rows, top layers as columns.

    ``below`` is what stands below a value, by its two layers.
    """
    bottoms, tops, values = matrix(rows, metric)
    if digits is None:
        digits = scale_in(rows).digits if metric == "penalty" else 2
    body = [
        (
            TableCell(plain(b)),
            *(
                TableCell(number(float(v), digits), (below or {}).get((b, t), "")) if v == v else _EMPTY
                for t, v in zip(tops, line, strict=True)
            ),
        )
        for b, line in zip(bottoms, values, strict=True)
    ]
    return Table(caption, ("bottom \\ top", *(plain(t) for t in tops)), tuple(body))


def provenance_table(records: Sequence[Mapping[str, Any]], command: str | None = None) -> Table:
    """How the numbers were made: versions, device, seeds, data budget, normalisation, and the command."""
    cells = as_records(records)
    dates = sorted(str(c.provenance["date"]) for c in cells if c.provenance.get("date"))
    seconds = sum(cell.seconds for cell in cells)
    lines: list[tuple[str, list[Any]]] = [
        ("cells", [len(cells)]),
        *((name, [tell(cell) for cell in cells]) for name, tell in _PROVENANCE),
        ("networks", [f"{end.name} (fingerprint {end.fingerprint})" for cell in cells for end in _ends(cell)]),
        ("dates", [" to ".join(dict.fromkeys(dates[:1] + dates[-1:]))]),
        ("time in cells", [f"{number(seconds)} s"] if seconds else []),
        ("command", [command]),
    ]
    body = [(TableCell(name), TableCell(text)) for name, values in lines if (text := _distinct(values))]
    return Table("How these numbers were made", ("what", "value"), tuple(body))


def _ends(cell: Record) -> tuple[End, ...]:
    """The two networks of a cell, where both are networks as they were given."""
    control = CONTROLS.get(cell.control)
    given = cell.control == "pair" or (control is not None and control.sends == "another seed")
    return (cell.bottom, cell.top) if given else ()


def notes_table(records: Sequence[Mapping[str, Any]], cautions: Sequence[str] = ()) -> Table:
    """What is to be known of all, then what cells noted about themselves, and how many did."""
    counts: dict[str, int] = {}
    for record in as_records(records):
        for note in record.notes:
            counts[plain(note)] = counts.get(plain(note), 0) + 1
    body = [(TableCell(plain(caution)), TableCell("all")) for caution in cautions]
    body += [
        (TableCell(note), TableCell(str(n))) for note, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    return Table("Notes of the cells", ("note", "cells"), tuple(body))


def _listed(values: Any) -> str:
    if not isinstance(values, Mapping):
        return str(values)
    return ", ".join(f"{key} {value}" for key, value in sorted(values.items()))


def _distinct(values: Iterable[Any], most: int = 12) -> str:
    found = sorted({plain(v) for v in values if v not in (None, "", {})}, key=lambda t: (len(t), t))
    return first_of(found, most, "; ")


def _layer(point: Point) -> TableCell:
    differs = point.bottom_layer is not None and point.bottom_layer != point.layer
    return TableCell(plain(point.layer), f"from {plain(point.bottom_layer)}" if differs else "")


def _with_unit(point: Point | None, *, mark: str = "") -> TableCell:
    cell = _value(point, mark=mark)
    unit = {"percent": "%"}.get(point.unit, point.unit) if point is not None else ""
    return TableCell(f"{cell.text} {unit}".strip(), cell.below, cell.mark)


def _value(point: Point | None, *, digits: int | None = None, mark: str = "") -> TableCell:
    if point is None:
        return _EMPTY
    digits = point.scale.digits if digits is None else digits
    written = number(point.value, digits) if _known(point) else minus(rough(point.value))
    below = f"[{number(point.low, digits)}, {number(point.high, digits)}]" if point.sure else ""
    if point.seeds > 1:
        below = f"{below} n={point.seeds}".strip()
    return TableCell(written, below, mark)


def _known(point: Point) -> bool:
    """Whether it is known how large values of its unit are."""
    return bool(point.scale.near) or point.unit.partition(" ")[0] in ("", "percent", "%", "ratio", "tokens")


def _ratio(ratio: Pooled | None, reason: str) -> TableCell:
    if ratio is None:
        return TableCell("–", reason, "none")
    below = "" if ratio.low is None or ratio.high is None else f"[{number(ratio.low, 2)}, {number(ratio.high, 2)}]"
    return TableCell(number(ratio.value, 2), below)


def _normalised(pair: Point | None, self_: Point | None, random: Point | None) -> TableCell:
    if pair is None or self_ is None or random is None:
        return TableCell("–", "needs self, random", "none")
    value = verdicts.normalised(pair, self_, random)
    return TableCell("–", "random ≈ self", "none") if value is None else TableCell(number(value, 2))
