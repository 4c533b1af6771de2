"""Curves from records, their intervals over pairs, and the judges on curves made by hand."""

import numpy as np
import pytest

from modelstitch.paper import cka as likeness
from modelstitch.paper import claims, fig2a, fig8, fig9
from modelstitch.paper.catalogue import figure
from modelstitch.paper.curves import Curves, failed
from modelstitch.study.packed import pack


def record(
    line="a", depth=0.5, value=1.0, low=None, high=None, control="pair", repeat=0, top="t", bottom="s", family="affine",
    metric="penalty",
):  # fmt: skip
    end = {"name": top, "fingerprint": top, "layer": f"at {depth}", "depth": depth, "index": 0}
    return {
        "cell": f"{line}{depth}{control}{repeat}",
        "config": {"control": control, "bottom": {**end, "name": bottom}, "top": end, "family": family, "data": {"fingerprint": "d"}},
        "metrics": [{"metric": metric, "value": value, "low": low, "high": high, "unit": "points"}],
        "paper": {"figure": "x", "scale": "smoke", "protocol": "honest", "line": line, "repeat": repeat},
        "provenance": {},
    }  # fmt: skip


def curve(line, *points, **kwargs):
    """Points (depth, value, low, high)."""
    return [record(line, d, v, lo, hi, **kwargs) for d, v, lo, hi in points]


def lost(line, depth, **kwargs):
    """A fit that failed: the record is there, without metrics."""
    return [{**record(line, depth, **kwargs), "metrics": []}]


def test_one_pair_keeps_its_own_interval():
    (point,) = Curves([record(value=2.0, low=1.0, high=3.0)], "honest").points("a")
    assert (point.value, point.low, point.high, point.seeds, point.sure) == (2.0, 1.0, 3.0, 1, True)


def test_another_protocol_is_left_out():
    assert Curves([record()], "paper").points("a") == []


def test_several_fits_are_pooled_over_pairs_then_examples():
    generator = np.random.default_rng(0)
    rows = []
    for repeat, (bottom, top) in enumerate((("s", "t"), ("u", "v"))):
        right = generator.random(400) < 0.9
        stitched = right & (generator.random(400) < (0.95, 0.6)[repeat])
        found = record(repeat=repeat, bottom=bottom, top=top)
        found["examples"] = pack(100.0 * ~stitched, 100.0 * ~right, np.ones(400), "points")
        found["metrics"][0]["value"] = 100 * (right.mean() - stitched.mean())
        rows.append(found)
    (point,) = Curves(rows, "honest").points("a")
    values = sorted(r["metrics"][0]["value"] for r in rows)
    assert point.seeds == 2
    assert point.value == pytest.approx(sum(values) / 2)
    assert point.low < values[0] + 2  # a draw of one pair twice
    assert point.high > values[1] - 2


ONCE, BACK, ELSE = ({"bottom": b, "top": t} for b, t in (("s", "t"), ("t", "s"), ("u", "v")))


@pytest.mark.parametrize(
    ("control", "fits", "expected"),
    [
        ("pair", [(ONCE, 1.0), (ELSE, 4.0)], (2.5, 1.0, 4.0, True, 2)),
        ("freeze", [(ONCE, 1.0), (BACK, 4.0)], (2.5, 1.0, 4.0, True, 2)),
        ("path", [(ONCE, 1.0), (ELSE, 4.0)], (2.5, 1.0, 4.0, True, 2)),
        ("path", [(ONCE, 1.0), (BACK, 4.0)], (2.5, 2.5, 2.5, False, 1)),
        ("similarity", [(ONCE, 1.0), (BACK, 1.0)], (1.0, 1.0, 1.0, False, 1)),
        ("similarity", [(ONCE, 1.0), (BACK, 1.0), (ELSE, 4.0)], (2.5, 1.0, 4.0, True, 2)),
    ],
)
def test_other_metrics_get_their_range_and_one_pair_measured_twice_none(control, fits, expected):
    rows = [record(value=v, repeat=i, control=control, metric="m", **ends) for i, (ends, v) in enumerate(fits)]
    (point,) = Curves(rows, "honest").points("a", "m", control)
    assert (point.value, point.low, point.high, point.sure, point.seeds) == expected


def test_an_error_has_an_interval_where_examples_are_kept():
    row = record(value=25.0, metric="error")
    assert not Curves([row], "honest").points("a", "error")[0].sure
    wrong = np.arange(400) % 4 == 0
    row["examples"] = pack(100.0 * wrong, np.zeros(400), np.ones(400), "points")
    (point,) = Curves([row], "honest").points("a", "error")
    assert point.value == 25.0
    assert 20 < point.low < 23
    assert 27 < point.high < 30


def test_a_place_where_a_fit_failed_has_no_value():
    curves = Curves([*curve("a", *LOW), *lost("a", 0.6, repeat=1)], "honest")
    assert [(p.depth, failed(p)) for p in curves.places("a")] == [(0.3, False), (0.6, True)]
    assert [p.depth for p in curves.points("a")] == [0.3]


LOW = [(0.3, 1.0, 0.0, 2.0), (0.6, 2.0, 1.0, 3.0)]
HIGH = [(0.3, 9.0, 8.0, 10.0), (0.6, 20.0, 18.0, 22.0)]


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


LATER = [(0.7, -3.0, -4.0, -2.0)]
ALIKE = {"control": "similarity", "metric": likeness.CKA}


@pytest.mark.parametrize(
    ("judge", "rows", "word", "says"),
    [
        (
            claims.near("a", level=5.0), curve("a", *LOW) + lost("a", 0.7),
            "holds in part", "at 2 of 3 places; nearest to refuting: +2.0 [+1.0, +3.0] at at 0.6 (a). Failed: at 0.7 (a).",
        ),
        (claims.negative("a"), curve("a", *LATER) + lost("a", 1.0), "holds in part", "at 1 of 2 places"),
        (claims.negative("a"), lost("a", 1.0), "not shown", "at 0 of 1 places. Failed: at 1.0 (a)."),
        (
            claims.below("a", "b"), curve("a", *LOW) + curve("b", HIGH[0]) + lost("b", 0.6),
            "holds in part", "Failed: at 0.6 (b).",
        ),
        (
            claims.below("a", "b"), curve("a", *LOW) + curve("b", HIGH[0]),
            "holds in part", "at 1 of 1 places; nearest to refuting: +1.0 [0.0, +2.0] (a) against +9.0 [+8.0, +10.0] (b) at at 0.3. "
            "Not measured: at 0.6 (b).",
        ),
        (claims.rising("a"), curve("a", *HIGH) + lost("a", 0.9), "holds in part", "Failed: at 0.9 (a)."),
        (claims.near("a", "gone", level=5.0), curve("a", *LOW), "holds in part", "at 2 of 2 places; "),
        (claims.near("a", "gone", level=5.0), curve("a", *LOW), "holds in part", " Not measured: gone."),
        (claims.near("a", "gone", level=5.0), curve("a", *HIGH), "contrary", " Not measured: gone."),
        (claims.near("gone", "lost", level=5.0), [], "not measured", "Not measured: gone, lost."),
        (claims.below("a", "a", control="self"), curve("a", *LOW), "not measured", "Not measured: self."),
        (
            claims.all_of(claims.negative("a"), claims.negative("gone")), curve("a", *LATER),
            "holds in part", "Not measured: gone.",
        ),
        (
            fig2a.FIGURE.claims[0].judge, curve("ResNet-18", *LOW),
            "holds in part", "Not measured: ResNet-18, half width, ResNet-18, double width, deep ResNet, Myrtle CNN, ViT.",
        ),
        (claims.negative("a"), curve("a", (0.7, -3.0, None, None)), "holds in part", "at 1 of 1 places (one value, no interval);"),
        (
            claims.negative("a"), curve("a", *LATER, (1.0, -3.0, None, None)),
            "holds in part", "beyond the interval at 2 of 2 places (1 of them with one value, no interval);",
        ),
        (claims.negative("a"), curve("a", (0.7, 3.0, None, None)), "not shown", "(one value, no interval)"),
        (claims.rising("a"), curve("a", (0.3, 1.0, None, None), (0.9, 9.0, None, None)), "holds in part", "(one value, no interval)"),
        (claims.near("a", level=5.0), curve("a", (0.5, 1.0, None, None)), "holds in part", "(one value, no interval)"),
        (
            likeness.less_alike("a", "b"), [record("a", value=0.4, **ALIKE), record("b", value=0.9, **ALIKE)],
            "holds in part", "(one value, no interval)",
        ),
    ],
)  # fmt: skip
def test_what_failed_is_missing_or_has_no_interval_is_said_and_holds_in_part_at_most(judge, rows, word, says):
    found = judge(Curves(rows, "honest"))
    assert found.word == word
    assert says in found.sentence


@pytest.mark.parametrize(
    ("judge", "values", "word"),
    [
        (likeness.varies("a", by=0.2), (0.9, 0.95), "not shown"),
        (likeness.varies("a", by=0.2), (0.9, 0.6), "holds in part"),
        (likeness.varies("b", by=0.2), (0.9, 0.6), "not measured"),
        (likeness.between("a", 0.35, 0.9), (0.4, 0.8), "holds in part"),
        (likeness.between("a", 0.35, 0.9), (0.4, 0.95), "holds in part"),
        (likeness.between("a", 0.35, 0.9), (0.3, 0.95), "not shown"),
    ],
)
def test_what_cka_is_said_to_be_of_one_pair(judge, values, word):
    rows = [record("a", depth, value, **ALIKE) for depth, value in zip((0.3, 0.6), values)]
    assert judge(Curves(rows, "honest")).word == word


@pytest.mark.parametrize(
    ("judge", "values", "word"),
    [
        (likeness.varies("a", by=0.2), (0.9, 0.6), "holds"),
        (likeness.between("a", 0.35, 0.9), (0.4, 0.8), "holds"),
        (likeness.between("a", 0.35, 0.9), (0.3, 0.97), "contrary"),
    ],
)
def test_what_cka_is_said_to_be_of_two_pairs(judge, values, word):
    rows = [
        record("a", depth, value + 0.01 * repeat, repeat=repeat, top=f"t{repeat}", **ALIKE)
        for depth, value in zip((0.3, 0.6), values)
        for repeat in range(2)
    ]
    assert judge(Curves(rows, "honest")).word == word


def test_differences_are_fit_by_fit():
    """Two pairs that differ much from each other, but by the same amount between the curves."""
    rows = [
        record(line, value=value + 10 * repeat, repeat=repeat, top=f"t{repeat}", **ALIKE)
        for line, value in (("a", 1.0), ("b", 3.0))
        for repeat in range(2)
    ]
    one, other = (curves_series(line) for line in "ab")
    (found,) = Curves(rows, "honest").differences(one, other).values()
    assert (found.value, found.low, found.high, found.sure) == (-2.0, -2.0, -2.0, True)
    (half,) = Curves(rows, "honest").combined(lambda a, b: (a + b) / 2, one, other).values()
    assert (half.value, half.low, half.high) == (7.0, 2.0, 12.0)
    assert Curves(rows[1:], "honest").differences(one, other) == {}


def curves_series(line):
    return likeness.similarity(line)


def alike(name, seed):
    """A figure's records where every network is like every other one: penalties about 0, CKA about 0.9, whatever is stitched."""
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


def errors(line, control, *values, layer=0.5, **kwargs):
    return [record(line, layer, v, control=control, metric="error", repeat=i, **kwargs) for i, v in enumerate(values)]


@pytest.mark.parametrize(
    ("tuned", "word"), [((20.0,), "holds in part"), ((20.0, 22.0), "holds"), ((20.0, 60.0), "not shown")]
)
def test_fine_tuning_ends_lower_beyond_its_range_only_where_it_has_one(tuned, word):
    stitched = record(fig8.STITCHED.label, value=50.0, metric="error")
    stitched["examples"] = pack(100.0 * (np.arange(400) % 2), np.zeros(400), np.ones(400), "points")
    rows = [stitched, *errors(fig8.TUNED.label, "fine-tune", *tuned)]
    assert fig8.FIGURE.claims[0].judge(Curves(rows, "honest")).word == word


@pytest.mark.parametrize(("whole", "word"), [((28.0, 32.0), "holds"), ((28.0,), "contrary")])
def test_freeze_training_is_held_against_all_networks_on_all_data(whole, word):
    rows = errors(fig9.KEPT.label, "freeze", 32.0, 33.0)
    for seed, error in enumerate(whole):
        rows += errors(f"base, seed {seed}", "donor", error)
    rows += errors("base, little data, seed 1", "donor", 60.0) + errors("base, re-initialised, seed 1", "donor", 90.0)
    found = fig9.FIGURE.claims[0].judge(Curves(rows, "honest"))
    assert found.word == word
    assert f"against {sum(whole) / len(whole):.1f} % (all trained on all data)" in found.sentence
