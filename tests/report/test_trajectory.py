"""Penalty and CKA against training time and depth, from made-up records."""

from __future__ import annotations

import pytest

import modelstitch as ms
from modelstitch.errors import StitchError, StudyError
from report.synthetic import LAYERS, make_records

TIMES = {"early": 10, "middle": 20, "late": 40}


def made(penalty, tops=("end",), half=0.5):
    """Records of three checkpoints into each top; penalty(time, depth)."""
    found = []
    for top in tops:
        for bottom, time in TIMES.items():
            records = make_records(
                (bottom, top), controls=("pair",), half=half, penalty=lambda c, d, s, t=time: penalty(t, d)
            )
            found += [r for r in records if r["config"]["top"]["name"] == top]
    return ms.Results(found, {})


def falling(time, depth):
    """Low at 10 in the lower third, at 20 in the middle, at 40 above but for the last layer."""
    needed = 10 if depth < 0.34 else 20 if depth < 0.67 else 40 if depth < 0.99 else 99
    return 0.5 if time >= needed else 30.0


def test_each_layer_tells_from_when_on_it_serves():
    t = made(falling, ("end", "other")).trajectory(TIMES)
    assert t.frame.height == 2 * 3 * len(LAYERS)
    assert set(t.frame.filter(bottom="middle")["time"]) == {20}
    own = t.settled.filter(top="end")
    assert own["top_layer"].to_list() == list(LAYERS)
    depths = [(i + 1) / len(LAYERS) for i in range(len(LAYERS))]
    expected = [10 if d < 0.34 else 20 if d < 0.67 else 40 if d < 0.99 else None for d in depths]
    assert own["time"].to_list() == expected
    first, second = t.sentences
    assert first.startswith("Into end the penalty stays low at ")
    assert "from the first time on; at " in first
    assert f"; at {LAYERS[-1]} not by 40: deeper layers come later." in first
    assert second == first.replace("end", "other")


def test_what_comes_and_goes_is_not_there():
    t = made(lambda time, depth: {10: 0.2, 20: 30.0, 40: 0.2}[time]).trajectory(TIMES)
    assert set(t.settled["time"]) == {40}
    assert "deeper" not in t.sentences[0]


def test_an_interval_that_reaches_too_far_is_not_low():
    assert set(made(lambda *_: 0.5, half=9.0).trajectory(TIMES).settled["time"]) == {None}


def test_the_figure_has_a_map_a_top():
    figure = made(falling, ("end", "other")).trajectory(TIMES).figure()
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "penalty (points), into end",
        "penalty (points), into other",
    ]
    assert [t.get_text() for t in figure.axes[-1].get_xticklabels()] == ["10", "20", "40"]


def test_cka_stands_beside_the_penalty(pair, digits, tmp_path):
    nets = [pair[0].named("early"), pair[0].named("late"), pair[1]]
    pairs = [(name, pair[1].name) for name in ("early", "late")]
    r = ms.compare(nets, data=digits, pairs=pairs, layers="block2", objective="match", controls=())
    m = ms.similarity(nets, data=digits, measures=["cka_linear_debiased"], layers=["block2"], samples=200)
    t = r.trajectory({"early": 1, "late": 2}, similarities=m)
    alike = {frozenset((row["bottom"], row["top"])): row["value"] for row in m.frame.iter_rows(named=True)}
    assert t.frame["cka"].to_list() == [alike[frozenset((b, pair[1].name))] for b in t.frame["bottom"]]
    assert t.measure == "cka_linear_debiased"
    assert t.draw(tmp_path / "t.svg").is_file()
    other = ms.similarity(nets, data=digits, measures=["rsa"], layers=["block2"], samples=200)
    with pytest.raises(StudyError, match="hold no linear CKA"):
        r.trajectory({"early": 1, "late": 2}, similarities=other)
    with pytest.raises(StitchError, match="no known ending"):
        t.draw(tmp_path / "t.txt")


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (None, "two times at least, found 0: compare checkpoints"),
        ({"early": 10}, "two times at least, found 1"),
        ({"early": 10, "late": 10}, "two times at least, found 1"),
        ({"early": 10, "never": 20}, "'never' is no bottom here: expected some of early, middle, late"),
    ],
)
def test_times_that_are_not_known_are_asked_for(times, words):
    with pytest.raises(StudyError, match=words):
        made(falling).trajectory(times)
