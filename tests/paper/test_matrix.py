"""The matrix of every layer into every layer: its claims on tables made by hand, and its table on the page."""

import math

import numpy as np
import pytest

from modelstitch.paper import gallery
from modelstitch.paper.curves import Curves
from modelstitch.paper.drawings import draw
from modelstitch.paper.matrix import FIGURE, MATCH, TASK

DEPTHS = {"stem": 0.1, "mid": 0.5, "late": 0.9}
LOST = (None, None, None)


def records(cells, line=TASK.label, control="pair"):
    """cells[top, bottom] = (low, value, high), LOST where the fit failed."""
    found = []
    for (top, bottom), (low, value, high) in cells.items():
        ends = {
            side: {"name": side, "layer": name, "depth": DEPTHS[name]}
            for side, name in (("bottom", bottom), ("top", top))
        }
        metrics = (
            [] if value is None else [{"metric": "penalty", "value": value, "low": low, "high": high, "unit": "points"}]
        )
        config = {"control": control, "family": "affine", **ends}
        paper = {"protocol": "honest" if control == "pair" else "", "line": line, "repeat": 0}
        found.append(
            {"cell": f"{top} {bottom}", "config": config, "metrics": metrics, "paper": paper, "provenance": {}}
        )
    return found


def verdict(claim, cells):
    line, control = (MATCH.label, "matrix") if claim == 0 else (TASK.label, "pair")
    return FIGURE.claims[claim].judge(Curves(records(cells, line, control), "honest"))


BEST, AS_GOOD, DEEPER = 0, 1, 2
OWN = {("mid", "mid"): (5, 8, 11)}


@pytest.mark.parametrize(
    ("claim", "others", "word"),
    [
        (BEST, {"stem": (12, 13, 14)}, "holds"),
        (BEST, {"stem": (10, 13, 16)}, "not shown"),  # intervals meet
        (BEST, {"stem": (12, 13, 14), "late": (1, 7, 13)}, "not shown"),
        (BEST, {"stem": (1, 2, 3)}, "contrary"),
        (AS_GOOD, {"stem": (12, 13, 14)}, "contrary"),
        (AS_GOOD, {"stem": (10, 13, 16)}, "not shown"),
        (AS_GOOD, {"stem": (12, 13, 14), "late": (1, 7, 13)}, "holds in part"),  # by the means
        (AS_GOOD, {"stem": (1, 2, 3)}, "holds"),
        (DEEPER, {"stem": (9, 10, 11), "late": (1, 2, 3)}, "holds in part"),
        (DEEPER, {"stem": (1, 2, 3), "late": (9, 10, 11)}, "not shown"),
        (DEEPER, {"stem": (1, 2, 3)}, "not measured"),
        (DEEPER, {"late": (9, 10, 11)}, "not measured"),
    ],
)
def test_every_other_bottom_is_looked_at_and_an_end_is_no_place(claim, others, word):
    assert verdict(claim, {**OWN, **{("mid", name): cell for name, cell in others.items()}}).word == word


def test_what_two_intervals_say_is_not_called_one_value():
    assert "no interval" not in verdict(AS_GOOD, {**OWN, ("mid", "stem"): (12, 13, 14)}).sentence
    assert "(one value, no interval)" in verdict(AS_GOOD, {**OWN, ("mid", "stem"): (10, 13, 16)}).sentence


@pytest.mark.parametrize("seed", range(5))
def test_the_best_is_one_or_another(seed):
    """Of one table the two claims never both hold."""
    drawn = np.random.default_rng(seed).normal(size=(3, 3))
    cells = {
        (t, b): (drawn[i, j], drawn[i, j], drawn[i, j]) for i, t in enumerate(DEPTHS) for j, b in enumerate(DEPTHS)
    }
    counts = [
        int(verdict(claim, cells).sentence.partition(" at ")[2].partition(" of ")[0]) for claim in (BEST, AS_GOOD)
    ]
    assert sum(counts) == 3


@pytest.mark.parametrize("claim", [BEST, AS_GOOD, DEEPER])
def test_a_top_with_a_failed_fit_is_no_place_where_a_claim_is_true(claim):
    found = verdict(claim, {**OWN, ("mid", "stem"): (9, 10, 11), ("mid", "late"): LOST})
    assert found.word == "not shown"
    assert "at 0 of 1 places. Failed: late under the top from mid on." in found.sentence


def whole(**changed):
    cells = {(t, b): (0.0, 10.0 * i + j, 99.0) for i, t in enumerate(DEPTHS) for j, b in enumerate(DEPTHS)}
    return {**cells, **{tuple(key.split("_")): cell for key, cell in changed.items()}}


@pytest.mark.parametrize(
    ("changed", "row", "cells"),
    [
        ({}, "mid", ["+1.0", "+11.0", "+21.0"]),
        ({"stem_mid": LOST}, "mid", ["failed", "+11.0", "+21.0"]),
        ({"stem_mid": LOST}, "late", ["+2.0", "+12.0", "+22.0"]),
        ({"late_late": LOST}, "late", ["+2.0", "+12.0", "failed"]),
    ],
)
def test_every_value_stands_where_it_belongs(changed, row, cells):
    lines = gallery._matrix_tables(FIGURE, Curves(records(whole(**changed)), "honest"))
    found = next(line for line in lines if line.startswith(f"| {row} |"))
    assert [cell.split()[0] for cell in found.split("|")[2:-1]] == cells


def test_what_was_never_measured_is_a_dash_and_what_failed_an_empty_square():
    cells = whole(stem_stem=LOST)
    del cells["stem", "mid"]
    lines = gallery._matrix_tables(FIGURE, Curves(records(cells), "honest"))
    assert [line.split("|")[2].strip() for line in lines if line.startswith(("| stem", "| mid"))] == ["failed", "-"]
    (mesh,) = draw(FIGURE, records(cells)).axes[0].collections
    assert [math.isnan(mesh.get_array().filled(math.nan)[i, 0]) for i in range(3)] == [True, True, False]
