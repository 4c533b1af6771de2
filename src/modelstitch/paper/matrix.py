"""Beyond the paper: every bottom layer into every top layer, by matching and by the task."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..report import number
from ..study import Metric
from .claims import Finding, Judge, counted, gap, less
from .curves import Curves
from .figure import Claim, Figure, Line, Model, Probe, Verdict

ONE, OTHER, RANDOM = Model(seed=0), Model(seed=1), Model(seed=1, change="re-initialised")
MATCH = Probe("matrix", "matched, other seed", (OTHER, ONE))
MATCH_RANDOM = Probe("matrix", "matched, random bottom", (RANDOM, ONE))
TASK = Line("fitted to the task, other seed", OTHER, ONE, layers="grid", protocols=("honest",))

SeamPenalty = dict[str, Any]
Test = Callable[[SeamPenalty, list[SeamPenalty]], Finding | None]


def table(curves: Curves, label: str, control: str) -> dict[str, list[SeamPenalty]]:
    """top layer -> its cells, one a bottom layer.

    Both depths, and the penalty averaged over pairs with the widest interval.

    Where a fit failed the penalty and its interval are not a number.
    """
    found: dict[tuple[str, str], list[SeamPenalty]] = {}
    for record in curves.select(label, control):
        bottom, top, penalty = record.bottom, record.top, record.metric("penalty") or Metric("penalty", None)
        cell: SeamPenalty = {
            "bottom": bottom.layer,
            "bottom_depth": bottom.depth,
            "top": top.layer,
            "top_depth": top.depth,
            "value": penalty.known,
            "low": penalty.known if penalty.low is None else penalty.low,
            "high": penalty.known if penalty.high is None else penalty.high,
        }
        found.setdefault((cell["top"], cell["bottom"]), []).append(cell)
    tops: dict[str, list[SeamPenalty]] = {}
    for (layer, _), cells in found.items():
        tops.setdefault(layer, []).append(_merged(cells))
    return {top: sorted(cells, key=lambda c: c["bottom_depth"]) for top, cells in tops.items()}


def bottoms(tops: Mapping[str, list[SeamPenalty]]) -> list[str]:
    """All bottom layers of a table, by depth."""
    depths = {c["bottom"]: c["bottom_depth"] for cells in tops.values() for c in cells}
    return sorted(depths, key=lambda name: depths[name])


def _merged(cells: list[SeamPenalty]) -> SeamPenalty:
    value = sum(c["value"] for c in cells) / len(cells)
    if math.isnan(value):
        return {**cells[0], "value": value, "low": value, "high": value}
    return {**cells[0], "value": value, "low": min(c["low"] for c in cells), "high": max(c["high"] for c in cells)}


def _each_top(curves: Curves, label: str, control: str, test: Test, what: str, beyond: str = "") -> Verdict:
    """Counted over the tops."""
    tops = table(curves, label, control)
    found = [_at(top, cells, test) for top, cells in tops.items()] if tops else [gap("not measured", label)]
    return counted([place for place in found if place is not None], what, beyond)


def _at(top: str, cells: list[SeamPenalty], test: Test) -> Finding | None:
    """A test of one top; None where it is met by one bottom only, or the test finds nothing to compare."""
    lost = [c["bottom"] for c in cells if math.isnan(c["value"])]
    if lost:
        return gap("failed", f"{' and '.join(lost)} under the top from {top} on")
    own = min(cells, key=lambda c: (abs(c["bottom_depth"] - c["top_depth"]), c["bottom"] != c["top"]))
    others = [c for c in cells if c is not own]
    place = test(own, others) if others else None
    if place is None:
        return None
    return replace(place, words=f"{place.words} for the top from {top} on")


def _best_is_own(own: SeamPenalty, others: list[SeamPenalty]) -> Finding:
    """No other one serves as well, beyond both intervals."""
    best = min(others, key=lambda c: c["value"])
    words = f"{_from(own)}, {_from(best)}"
    return less(own["low"], own["high"], best["low"], best["high"], words, own["value"] - best["value"])


def _other_as_good(own: SeamPenalty, others: list[SeamPenalty]) -> Finding:
    """Another one serves as well, by the means; not where the matching one is better beyond both intervals."""
    best = min(others, key=lambda c: c["value"])
    words = f"{_from(best)}, {_from(own)}"
    for_it, against = best["high"] < own["low"], own["high"] < best["low"]  # by both intervals
    true = best["value"] <= own["value"]
    return Finding(true, words, best["value"] - own["value"], against=against, sure=for_it or against)


def _deeper_is_better(own: SeamPenalty, others: list[SeamPenalty]) -> Finding | None:
    deeper = [c["value"] for c in others if c["bottom_depth"] > own["bottom_depth"]]
    shallower = [c["value"] for c in others if c["bottom_depth"] < own["bottom_depth"]]
    if not deeper or not shallower:
        return None
    below, above = sum(shallower) / len(shallower), sum(deeper) / len(deeper)
    words = f"{number(above, signed=True)} from deeper, {number(below, signed=True)} from shallower bottoms"
    return Finding(above < below, words, above - below, sure=False)  # means over bottoms: nothing says how sure


def _from(cell: SeamPenalty) -> str:
    return f"{number(cell['value'], signed=True)} from {cell['bottom']}"


def each_to_each(match: Probe, random: Probe, task: Line, notes: tuple[str, ...] = ()) -> Figure:
    """The figure of these: all layers matched to another network's, to a random one's, and fitted to the task."""

    def each(asked: Line | Probe, control: str, test: Test, what: str, beyond: str = "") -> Judge:
        return lambda curves: _each_top(curves, asked.label, control, test, what, beyond)

    return Figure(
        "matrix",
        "Every layer into every layer",
        "The paper stitches matching layers only. Hernandez et al. (2023) find that a top works with any bottom that "
        "is at least as deep; Balogh and Jelasity (2025) that stitching fitted to the task finds distant layers as "
        "alike as matching ones, and matching activations does not.",
        (
            Claim(
                "Matched to the top's own activations, each top is served best by the bottom of the same depth.",
                "a top layer that another one serves as well",
                each(match, "matrix", _best_is_own, "The matching bottom serves best", "both intervals"),
            ),
            Claim(
                "Fitted to the task, another bottom serves as well.",
                "a top layer for which the matching bottom is best",
                each(task, "pair", _other_as_good, "Another bottom serves as well, by the means,"),
                ("honest",),
            ),
            Claim(
                "Fitted to the task, deeper bottoms serve a top better than shallower ones.",
                "a top layer served better by shallower bottoms",
                each(task, "pair", _deeper_is_better, "Deeper bottoms serve better, by the means,"),
                ("honest",),
            ),
        ),
        (task,),
        (match, random),
        drawing="matrix",
        notes=notes,
    )


FIGURE = each_to_each(MATCH, MATCH_RANDOM, TASK)
