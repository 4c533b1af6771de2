"""Curves from records, their intervals over pairs, and the judges on curves made by hand."""

import numpy as np
import pytest

from modelstitch.paper import claims
from modelstitch.paper.curves import Curves
from modelstitch.study.examples import pack


def record(
    line="a", depth=0.5, value=1.0, low=None, high=None, control="pair", repeat=0, top="t", bottom="s", family="affine"
):
    end = {"name": top, "fingerprint": top, "layer": f"at {depth}", "depth": depth, "index": 0}
    return {
        "cell": f"{line}{depth}{control}{repeat}",
        "config": {"control": control, "bottom": {**end, "name": bottom}, "top": end, "family": family, "data": {"fingerprint": "d"}},
        "metrics": [{"metric": "penalty", "value": value, "low": low, "high": high, "unit": "points"}],
        "paper": {"figure": "x", "scale": "smoke", "protocol": "honest", "line": line, "repeat": repeat},
        "provenance": {},
    }  # fmt: skip


def curve(line, *points, **kwargs):
    """Points (depth, value, low, high)."""
    return [record(line, d, v, lo, hi, **kwargs) for d, v, lo, hi in points]


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


def test_other_metrics_get_their_range():
    rows = [record(value=v, repeat=i, top=f"t{i}") for i, v in enumerate((1.0, 4.0))]
    for row in rows:
        row["metrics"][0]["metric"] = "barrier"
    (point,) = Curves(rows, "honest").points("a", "barrier")
    assert (point.value, point.low, point.high) == (2.5, 1.0, 4.0)


LOW = [(0.3, 1.0, 0.0, 2.0), (0.6, 2.0, 1.0, 3.0)]
HIGH = [(0.3, 9.0, 8.0, 10.0), (0.6, 20.0, 18.0, 22.0)]


@pytest.mark.parametrize(
    ("judge", "rows", "word"),
    [
        (claims.near("a", level=5.0), curve("a", *LOW), "holds"),
        (claims.near("a", level=1.5), curve("a", *LOW), "holds in part"),
        (claims.near("a", level=5.0), curve("a", *HIGH), "not at this scale"),
        (claims.near("b", level=5.0), curve("a", *LOW), "not measured"),
        (claims.rising("a"), curve("a", *HIGH), "holds"),
        (claims.rising("a"), curve("a", (0.3, 5.0, 4.0, 6.0), (0.6, 5.1, 4.0, 6.0)), "not at this scale"),
        (claims.below("a", "b"), curve("a", *LOW) + curve("b", *HIGH), "holds"),
        (claims.below("b", "a"), curve("a", *LOW) + curve("b", *HIGH), "not at this scale"),
        (claims.below("a", "a", control="self"), curve("a", *LOW) + curve("a", *HIGH, control="self"), "holds"),
        (claims.negative("a"), curve("a", (0.9, -2.0, -3.0, -1.0)), "holds"),
        (claims.negative("a"), curve("a", (0.9, -2.0, -3.0, 1.0)), "not at this scale"),
        (claims.positive("a"), curve("a", *HIGH), "holds"),
        (claims.all_of(claims.positive("a"), claims.near("a", level=5.0)), curve("a", *HIGH), "holds in part"),
    ],
)
def test_judges(judge, rows, word):
    assert judge(Curves(rows, "honest")).word == word


def test_a_verdict_names_the_place_nearest_to_refuting():
    sentence = claims.near("a", level=5.0)(Curves(curve("a", *LOW), "honest")).sentence
    assert sentence == "At most 5.0 points at 2 of 2 places; nearest to refuting: +2.0 [+1.0, +3.0] at at 0.6 (a)."
