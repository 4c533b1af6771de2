"""Judges on curves made by hand: what holds, what is contrary, and what is missing."""

import numpy as np
import pytest
from rows import ALIKE, HIGH, LATER, LOW, curve, lost, record

from modelstitch.paper import cka as likeness
from modelstitch.paper import claims, fig2a
from modelstitch.paper.catalogue import figure
from modelstitch.paper.curves import Curves


@pytest.mark.parametrize(
    ("judge", "rows", "word"),
    [
        (claims.near("a", level=5.0), curve("a", *LOW), "holds"),
        (claims.near("a", level=2.5), curve("a", *LOW), "holds in part"),
        (
            claims.near("a", level=5.0),
            curve("a", *LOW, (0.02, 9.0, 8.0, 10.0)),
            "holds in part",
        ),  # an early layer counts
        (claims.no_dearer("a", "b", by=1.0), curve("a", *LOW) + curve("b", *LOW), "holds in part"),
        (claims.no_dearer("a", "b", by=1.0), curve("a", *HIGH) + curve("b", *LOW), "not shown"),
        (claims.no_worse("a", "b", by=4.0), curve("a", *LOW) + curve("b", *LOW), "holds"),
        (claims.no_worse("a", "b", by=1.5), curve("a", *LOW) + curve("b", *LOW), "not shown"),
        (claims.no_worse("b", "a", by=5.0), curve("a", *LOW) + curve("b", *HIGH), "contrary"),
        (claims.near("a", level=5.0), curve("a", *HIGH), "contrary"),
        (claims.near("a", level=9.0), curve("a", HIGH[0]), "not shown"),
        (claims.near("a", level=5.0), curve("a", LOW[0], HIGH[1]), "holds in part"),
        (claims.near("b", level=5.0), curve("a", *LOW), "not measured"),
        (claims.rising("a"), curve("a", *HIGH), "holds"),
        (claims.rising("a"), curve("a", (0.3, 5.0, 4.0, 6.0), (0.6, 5.1, 4.0, 6.0)), "not shown"),
        (claims.rising("a"), curve("a", (0.3, 9.0, 8.0, 10.0), (0.6, 5.0, 4.0, 6.0)), "contrary"),
        (claims.below("a", "b"), curve("a", *LOW) + curve("b", *HIGH), "holds"),
        (claims.below("b", "a"), curve("a", *LOW) + curve("b", *HIGH), "contrary"),
        (claims.below("b", "a"), curve("a", *LOW) + curve("b", *LOW), "not shown"),
        (claims.below("a", "a", control="self"), curve("a", *LOW) + curve("a", *HIGH, control="self"), "holds"),
        (claims.negative("a"), curve("a", (0.9, -2.0, -3.0, -1.0)), "holds"),
        (claims.negative("a"), curve("a", (0.9, -2.0, -3.0, 1.0)), "not shown"),
        (claims.negative("a"), curve("a", (0.9, 2.0, 1.0, 3.0)), "contrary"),
        (claims.positive("a"), curve("a", *HIGH), "holds"),
        (claims.all_of(claims.positive("a"), claims.near("a", level=5.0)), curve("a", *HIGH), "holds in part"),
        (claims.all_of(claims.negative("a", where=list), claims.near("a", level=5.0)), curve("a", *HIGH), "contrary"),
    ],
)
def test_judges(judge, rows, word):
    assert judge(Curves(rows, "honest")).word == word


def test_a_verdict_names_the_place_nearest_to_refuting():
    sentence = claims.near("a", level=5.0)(Curves(curve("a", *LOW), "honest")).sentence
    assert sentence == (
        "At most 5.0 points, interval included, at 2 of 2 places; nearest to refuting: +2.0 [+1.0, +3.0] at at 0.6 (a)."
    )


def test_a_sentence_begins_as_one_where_a_curve_has_a_small_letter():
    rows = curve("twice the time", *LOW) + curve("half the time", *LOW)
    sentence = claims.below("twice the time", "half the time")(Curves(rows, "honest")).sentence
    assert sentence.startswith("Twice the time below half the time beyond both intervals at 0 of")


def test_a_place_that_refutes_is_named_before_one_that_is_only_near_it():
    rows = curve("a", (0.3, 5.0, 3.0, 8.0), (0.6, 5.6, 5.1, 6.3), *((0.7 + at / 100, 1.0, 0.0, 2.0) for at in range(3)))
    sentence = claims.near("a", level=5.0)(Curves(rows, "honest")).sentence
    assert "the opposite at 1; nearest to refuting: +5.6 [+5.1, +6.3] at at 0.6 (a)." in sentence


@pytest.mark.parametrize(
    ("judge", "rows", "word", "says"),
    [
        (
            claims.near("a", level=5.0),
            curve("a", *LOW) + lost("a", 0.7),
            "holds in part",
            "at 2 of 3 places; nearest to refuting: +2.0 [+1.0, +3.0] at at 0.6 (a). Failed: at 0.7 (a).",
        ),
        (claims.negative("a"), curve("a", *LATER) + lost("a", 1.0), "holds in part", "at 1 of 2 places"),
        (claims.negative("a"), lost("a", 1.0), "not shown", "at 0 of 1 places. Failed: at 1.0 (a)."),
        (
            claims.below("a", "b"),
            curve("a", *LOW) + curve("b", HIGH[0]) + lost("b", 0.6),
            "holds in part",
            "Failed: at 0.6 (b).",
        ),
        (
            claims.below("a", "b"),
            curve("a", *LOW) + curve("b", HIGH[0]),
            "holds in part",
            "at 1 of 1 places; nearest to refuting: +1.0 [0.0, +2.0] (a) against +9.0 [+8.0, +10.0] (b) at at 0.3. "
            "Not measured: at 0.6 (b).",
        ),
        (claims.rising("a"), curve("a", *HIGH) + lost("a", 0.9), "holds in part", "Failed: at 0.9 (a)."),
        (claims.near("a", "gone", level=5.0), curve("a", *LOW), "holds in part", "at 2 of 2 places; "),
        (claims.near("a", "gone", level=5.0), curve("a", *LOW), "holds in part", " Not measured: gone."),
        (claims.near("a", "gone", level=5.0), curve("a", *HIGH), "contrary", " Not measured: gone."),
        (claims.near("gone", "lost", level=5.0), [], "not measured", "Not measured: gone, lost."),
        (claims.below("a", "a", control="self"), curve("a", *LOW), "not measured", "Not measured: self."),
        (
            claims.all_of(claims.negative("a"), claims.negative("gone")),
            curve("a", *LATER),
            "holds in part",
            "Not measured: gone.",
        ),
        (
            fig2a.FIGURE.claims[0].judge,
            curve("ResNet-18", *LOW),
            "holds in part",
            "Not measured: ResNet-18, half width, ResNet-18, double width, deep ResNet, Myrtle CNN, ViT.",
        ),
        (
            claims.negative("a"),
            curve("a", (0.7, -3.0, None, None)),
            "holds in part",
            "at 1 of 1 places (one value, no interval);",
        ),
        (
            claims.negative("a"),
            curve("a", *LATER, (1.0, -3.0, None, None)),
            "holds in part",
            "beyond the interval at 2 of 2 places (1 of them with one value, no interval);",
        ),
        (claims.negative("a"), curve("a", (0.7, 3.0, None, None)), "not shown", "(one value, no interval)"),
        (
            claims.rising("a"),
            curve("a", (0.3, 1.0, None, None), (0.9, 9.0, None, None)),
            "holds in part",
            "(one value, no interval)",
        ),
        (claims.near("a", level=5.0), curve("a", (0.5, 1.0, None, None)), "holds in part", "(one value, no interval)"),
        (
            likeness.less_alike("a", "b"),
            [record("a", value=0.4, **ALIKE), record("b", value=0.9, **ALIKE)],
            "holds in part",
            "(one value, no interval)",
        ),
    ],
)
def test_what_failed_is_missing_or_has_no_interval_is_said_and_holds_in_part_at_most(judge, rows, word, says):
    found = judge(Curves(rows, "honest"))
    assert found.word == word
    assert says in found.sentence


def alike(name, seed):
    """A figure's records where every network is like every other one.

    Penalties about 0, CKA about 0.9, whatever is stitched.
    """
    generator = np.random.default_rng(seed)

    def around(middle, spread):
        value = middle + spread * generator.normal()
        return value, value - 4 * spread, value + 4 * spread  # wide enough that chance refutes nothing

    shown, rows = figure(name), []
    for line in shown.lines:
        for control in ("pair", "self", "class-noise"):
            rows += curve(
                line.label, *((depth, *around(0.0, 0.5)) for depth in (0.1, 0.35, 0.6, 0.95)), control=control
            )
    for probe in shown.probes:
        for repeat in range(2):
            for depth in (0.1, 0.35, 0.6, 0.95):
                value = float(np.clip(0.9 + 0.01 * generator.normal(), 0, 1))
                rows.append(record(probe.label, depth, value, repeat=repeat, top=f"t{repeat}", **ALIKE))
    return [{**row, "paper": {**row["paper"], "protocol": ""}} for row in rows]


CLOSE = (
    "near",
    "close",
    "compatible",
    "stitch in both",
    "stitch into",
    "stitch well",
    "halves",
    "insensitive",
    "connected",
)


@pytest.mark.parametrize("name", ["2a", "2b", "2c", "3a", "3b", "3c", "5", "6", "7", "table1"])
def test_where_all_networks_are_alike_nothing_holds_but_that_they_are_close(name):
    for seed in range(3):
        curves = Curves(alike(name, seed), "honest")
        held = [claim.text for claim in figure(name).claims if claim.judge(curves).word == "holds"]
        assert [text for text in held if not any(word in text for word in CLOSE)] == []
