"""Beyond the paper: every bottom layer into every top layer, by matching and by the task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .claims import Place, counted
from .curves import Curves
from .figure import Claim, Figure, Line, Model, Probe, Verdict

ONE, OTHER, RANDOM = Model(seed=0), Model(seed=1), Model(seed=1, change="re-initialised")
MATCH = Probe("matrix", "matched, other seed", (OTHER, ONE))
MATCH_RANDOM = Probe("matrix", "matched, random bottom", (RANDOM, ONE))
TASK = Line("fitted to the task, other seed", OTHER, ONE, layers="grid", protocols=("honest",))

Cell = dict[str, Any]
Test = Callable[[Cell, list[Cell]], tuple[bool, str, float]]


def table(curves: Curves, label: str, control: str) -> dict[str, list[Cell]]:
    """top layer -> its cells, one a bottom layer: both depths, and the penalty averaged over pairs with the widest interval."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for record in curves.select(label, control):
        config = record["config"]
        penalty = next((m for m in record["metrics"] if m["metric"] == "penalty"), None)
        if penalty is not None and config["control"] in ("pair", "matrix"):
            cell = {
                "bottom": config["bottom"]["layer"], "bottom_depth": config["bottom"]["depth"],
                "top": config["top"]["layer"], "top_depth": config["top"]["depth"], **penalty,
            }  # fmt: skip
            found.setdefault((cell["top"], cell["bottom"]), []).append(cell)
    tops: dict[str, list[Cell]] = {}
    for (top, _), cells in found.items():
        mean = sum(c["value"] for c in cells) / len(cells)
        merged = {**cells[0], "value": mean, "low": min(c["low"] for c in cells), "high": max(c["high"] for c in cells)}
        tops.setdefault(top, []).append(merged)
    return {top: sorted(cells, key=lambda c: c["bottom_depth"]) for top, cells in tops.items()}


def _each_top(curves: Curves, label: str, control: str, test: Test, what: str) -> Verdict:
    places = []
    for top, cells in table(curves, label, control).items():
        own = min(cells, key=lambda c: (abs(c["bottom_depth"] - c["top_depth"]), c["bottom"] != c["top"]))
        others = [c for c in cells if c is not own]
        if others:
            true, words, weight = test(own, others)
            places.append(Place(true, f"{words} for the top from {top} on", weight))
    return counted(places, what)


def _best_is_own(own: Cell, others: list[Cell]) -> tuple[bool, str, float]:
    best = min(others, key=lambda c: c["value"])
    return (
        own["low"] <= best["high"],
        f"{own['value']:+.1f} from {own['bottom']}, {best['value']:+.1f} from {best['bottom']}",
        own["value"] - best["value"],
    )


def _other_as_good(own: Cell, others: list[Cell]) -> tuple[bool, str, float]:
    best = min(others, key=lambda c: c["value"])
    return (
        best["low"] <= own["high"],
        f"{best['value']:+.1f} from {best['bottom']}, {own['value']:+.1f} from {own['bottom']}",
        best["value"] - own["value"],
    )


def _deeper_is_better(own: Cell, others: list[Cell]) -> tuple[bool, str, float]:
    deeper = [c["value"] for c in others if c["bottom_depth"] > own["bottom_depth"]]
    shallower = [c["value"] for c in others if c["bottom_depth"] < own["bottom_depth"]]
    if not deeper or not shallower:
        return True, "no layer on one side", float("-inf")
    below, above = sum(shallower) / len(shallower), sum(deeper) / len(deeper)
    return above < below, f"{above:+.1f} from deeper, {below:+.1f} from shallower bottoms", above - below


FIGURE = Figure(
    "matrix",
    "Every layer into every layer",
    "The paper stitches matching layers only. Hernandez et al. (2023) find that a top works with any bottom that is at least as "
    "deep; Balogh and Jelasity (2025) that stitching fitted to the task finds distant layers as alike as matching ones, and "
    "matching activations does not.",
    (
        Claim(
            "Matched to the top's own activations, each top is served best by the bottom of the same depth.",
            "a top layer served better by another one, beyond both intervals",
            lambda c: _each_top(c, MATCH.label, "matrix", _best_is_own, "The matching bottom serves best (or as well)"),
        ),
        Claim(
            "Fitted to the task, another bottom serves as well.",
            "a top layer for which the matching bottom is best, beyond both intervals",
            lambda c: _each_top(c, TASK.label, "pair", _other_as_good, "Another bottom serves as well"),
            ("honest",),
        ),
        Claim(
            "Fitted to the task, deeper bottoms serve a top better than shallower ones.",
            "a top layer served better by shallower bottoms",
            lambda c: _each_top(c, TASK.label, "pair", _deeper_is_better, "Deeper bottoms serve better"),
            ("honest",),
        ),
    ),
    (TASK,),
    (MATCH, MATCH_RANDOM),
    drawing="matrix",
)
