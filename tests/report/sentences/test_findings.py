"""Sentences follow the numbers: the expected picture is confirmed, every contradiction is said."""

import polars as pl
import pytest
from synthetic import LAYERS, expected, make_records

from modelstitch.report.frame import Point, frame, pairs, panel, settings
from modelstitch.report.page import page
from modelstitch.report.sentences import verdicts
from modelstitch.report.sentences.findings import answers, findings, how_to_read, said_once
from modelstitch.report.sentences.remark import Remark
from modelstitch.report.sentences.warnings import warnings
from modelstitch.support.shown import without_folders


def say(**kwargs):
    table = frame(make_records(("a", "b"), **kwargs))
    rows = panel(table, "a", "b", settings(table)[0])
    return findings(rows), warnings(rows)


def altered(control, function):
    return lambda c, depth, seed: function(depth) if c == control else expected(c, depth, seed)


def test_the_expected_picture():
    found, warned = say()
    assert {r.kind for r in found} == {"finding"}
    text = " ".join(r.text for r in found)
    assert (
        "In the middle layers (depth 0.2 to 0.8) the penalty is at most +0.7 points [−0.2, +1.6], at stage3.0." in text
    )
    assert "stays near 0 at every layer, within 3.0 points" in text
    assert "random control rises with depth, from +2.0 points [+1.1, +2.9] at stem to +45.8 points" in text
    assert "far off, so the map is needed" in text
    assert [r.text for r in warned] == [
        "Low penalty at stem (early) may not be evidence: its interval meets that of an untrained bottom."
    ]


CONTRADICTIONS = [
    (
        "pair",
        lambda d: 40 * d,
        "does not stay near 0: it is above 3.0 points at 6 layers (first stem, last fc_in).",
    ),
    (
        "pair",
        lambda d: -9.0,
        "The penalty is nowhere above 3.0 points. At 6 layers (first stem, last fc_in) the stitch is better than "
        "the top",
    ),
    ("random", lambda d: 3 * d, "rises with depth, but only from +0.5 points"),
    (
        "random",
        lambda d: 0.2 + 5 * d,
        "rises with depth, but only from +1.0 points [+0.1, +1.9] at stem to +5.2 points",
    ),
    ("random", lambda d: 1.0, "does not rise with depth"),
    ("random", lambda d: 50 * (1.01 - d), "does not rise with depth"),
    (
        "identity",
        lambda d: 2.0 if d < 0.4 else 80.0,
        "not off at stem and stage1.0: there the two networks agree in coordinates",
    ),
    ("self", lambda d: 12 * d, "The self control pays up to +12.0 points [+11.1, +12.9]"),
]


def test_a_random_control_that_ends_higher_out_of_order_is_left_open():
    found, _ = say(penalty=altered("random", lambda d: 40.0 + 10 * d if 0.3 < d < 0.6 else 30 * d))
    (remark,) = [r for r in found if "random control" in r.text]
    assert remark.kind == "open"
    assert "ends higher than it begins, though not in order of depth (from +5.0 points" in remark.text


def test_a_random_control_that_may_be_far_off_at_depth_is_left_open():
    found, _ = say(penalty=altered("random", lambda d: 10.4 * d))
    (remark,) = [r for r in found if "random control" in r.text]
    assert remark.kind == "open"
    assert remark.text.endswith("[+9.5, +11.3] at fc_in: whether the stitcher alone can do the work at depth is open.")


def test_a_random_control_far_off_everywhere_is_no_contradiction():
    found, _ = say(penalty=altered("random", lambda d: 62.0))
    (remark,) = [r for r in found if "random control" in r.text]
    assert (remark.kind, remark.text) == (
        "finding",
        "The random control is far off at every layer (from +62.0 points [+61.1, +62.9] at stem to +62.0 points "
        "[+61.1, +62.9] at fc_in): nowhere can the stitcher alone do the work.",
    )


@pytest.mark.parametrize("function", [lambda d: 5.0, lambda d: 50 * (1.2 - d)], ids=["level", "falling"])
def test_a_random_control_that_does_not_rise_but_costs_more_than_the_pair_is_left_open(function):
    found, _ = say(penalty=altered("random", function))
    (remark,) = [r for r in found if "random control" in r.text]
    assert remark.kind == "open"
    assert "but costs more than the pair wherever it was measured, beyond both intervals" in remark.text


def test_an_identity_that_is_off_but_not_far_is_left_open():
    found, _ = say(penalty=altered("identity", lambda d: 9.5 if d < 0.4 else 80.0))
    (remark,) = [r for r in found if "identity" in r.text]
    assert remark.kind == "open"
    assert remark.text.endswith("not clearly far off at stem and stage1.0.")


def test_an_untrained_bottom_that_does_as_well_is_said():
    _, warned = say(penalty=altered("random", lambda d: 0.1 if d < 0.2 else 45.0))
    assert "Low penalty at stem (early) is not evidence: an untrained bottom stitches as well." in [
        r.text for r in warned
    ]


@pytest.mark.parametrize(("control", "function", "message"), CONTRADICTIONS)
def test_a_contradiction_is_said(control, function, message):
    found, _ = say(penalty=altered(control, function))
    assert message in " ".join(r.text for r in found)
    if "better" not in message:
        assert [r for r in found if r.kind == "contrary" and message in r.text]


def test_wide_intervals_leave_it_open():
    found, _ = say(half=4.0)
    assert [r.kind for r in found][1] == "open"
    assert "is open: the interval reaches beyond 3.0 points of it at" in found[1].text


@pytest.mark.parametrize(
    ("low", "value", "high", "state"),
    [
        (-3.0, 0.0, 3.0, "near"),
        (-1.8, -1.0, -0.2, "near"),
        (-18.0, -10.0, -2.0, "better"),
        (-3.5, -3.2, -3.1, "better"),
        (-8.0, -2.0, 0.0, "open"),
        (-8.0, -3.0, 2.0, "open"),
        (-1.0, 2.0, 3.1, "open"),
        (3.0, 4.0, 5.0, "open"),
        (3.1, 4.0, 5.0, "off"),
    ],
)
def test_near_is_a_band_around_zero(low, value, high, state):
    assert verdicts.state(Point("block", 0.5, "block", value, low, high, True, "points", 1)) == state


def test_values_without_intervals_say_so():
    found, _ = say(interval=False)
    assert "(no interval)" in found[0].text
    assert "judged by values alone" in found[1].text


@pytest.mark.parametrize("control", ["random", "identity", "self"])
def test_a_missing_control_is_said(control):
    found, _ = say(controls=[c for c in ("pair", "self", "random", "identity") if c != control])
    assert next(r.text for r in found if r.kind == "gap").startswith(f"There is no {control} control")


WARNED = [
    (
        {"penalty": altered("class-noise", lambda d: 0.1)},
        "pool and fc_in (late) is not evidence: class-noise stitches",
    ),
    (
        {"penalty": altered("random", lambda d: 0.1)},
        "Low penalty at stage1.0, stage2.0 and stage3.0 is not evidence: an",
    ),
    (
        {"penalty": altered("shuffled", lambda d: 0.1)},
        "the shuffled control is as good as the pair: the penalty is at its",
    ),
    (
        {"penalty": altered("shuffled", lambda d: 1.0)},
        "meets the pair's: the penalty may be at its null level, and the fit",
    ),
    ({"errors": (3.6, 89.9)}, "The top alone errs on 89.9 % of the test examples, hardly better than chance"),
    ({"errors": (88.0, 3.1)}, "The bottom alone errs on 88.0 % of the test examples, hardly better than chance"),
    ({"ood": 2.4}, "up to 2.4 times that of genuine ones (level 2.0)"),
    (
        {"relative_mse": 1.21},
        "6 seams (the first stem) is not evidence of one representation: the stitched activations are no",
    ),
    ({"controls": ("pair", "random")}, "Low penalty at pool and fc_in (late) may be class structure alone"),
    ({"controls": ("pair", "self")}, "Low penalty at stem (early) may be had by an untrained bottom too"),
]


@pytest.mark.parametrize(("change", "message"), WARNED)
def test_a_low_penalty_that_is_no_evidence(change, message):
    _, warned = say(**change)
    assert message in " ".join(r.text for r in warned)


def test_only_a_low_penalty_is_called_low():
    """An interval that reaches far above 0 is not low, whatever the controls do."""
    found, warned = say(penalty=lambda c, d, s: {"pair": 14.0, "self": 0.0}.get(c, 24.0), half=12.0, relative_mse=1.5)
    assert [r.text for r in warned if "ow penalty" in r.text] == []
    assert "random control is far off at every layer" in " ".join(r.text for r in found)


@pytest.mark.parametrize(
    ("value", "says"),
    [(0.1, "is not evidence: an untrained"), (1.2, "may not be evidence: its interval meets"), (2.9, "")],
)
def test_as_well_is_said_where_the_control_is_no_worse(value, says):
    _, warned = say(penalty=altered("random", lambda d: value), layers=["stem"])
    told = [r.text for r in warned if "evidence" in r.text]
    assert len(told) == bool(says)
    assert says in " ".join(told)


def lost(control, *layers, **kwargs):
    """The findings of a pair whose control failed at these layers."""
    records = make_records(("a", "b"), **kwargs)
    for record in records:
        if record["config"]["control"] == control and record["config"]["top"]["layer"] in layers:
            record |= {"metrics": [], "notes": ["failed: the stitch gives NaN"]}
    return panel(frame(records), "a", "b", settings(frame(records))[0])


LOST = [
    (
        "stage3.0",
        {},
        0,
        "In the middle layers (depth 0.2 to 0.8) that were measured the penalty is at most +0.7 points",
    ),
    ("stage3.0", {}, 0, "; not measured: stage3.0."),
    (
        "stage3.0",
        {},
        1,
        "The penalty stays near 0 at every layer that was measured, within 3.0 points; not measured: stage3.0.",
    ),
    ("fc_in", {}, 0, "In the middle layers (depth 0.2 to 0.8) the penalty is at most"),
    ("fc_in", {"half": 4.0}, 1, "; not measured: fc_in."),
    ("fc_in", {"penalty": altered("pair", lambda d: -9.0)}, 1, "is nowhere above 3.0 points; not measured: fc_in. At"),
    ("fc_in", {"penalty": altered("pair", lambda d: 20.0)}, 1, "(first stem, last pool); not measured: fc_in."),
]


@pytest.mark.parametrize(("layer", "change", "which", "message"), LOST)
def test_layers_that_failed_are_named(layer, change, which, message):
    found = findings(lost("pair", layer, **change))[which]
    assert message in found.text
    assert "at every layer," not in found.text
    assert found.kind != "finding" or which == 0


def test_a_control_that_failed_somewhere_is_not_far_off_everywhere():
    told = findings(lost("random", "pool", penalty=altered("random", lambda d: 62.0)))
    (remark,) = [r for r in told if "random control" in r.text]
    assert remark.text.startswith("The random control is far off at every layer that was measured (")
    assert remark.text.endswith("there the stitcher alone cannot do the work; not measured: pool.")


def test_recalibration_without_a_fitted_map_beside_it_says_nothing_of_the_map():
    rows = lost("pair", "pool", controls=("pair", "self", "random", "recalibration"))
    alone = rows.filter((pl.col("control") != "recalibration") | (pl.col("top_layer") == "pool"))
    for table, says in (
        (rows, "more than shift statistics at 5 layers (first stem, last fc_in)."),
        (alone, "is not known."),
    ):
        (remark,) = [r for r in findings(table) if "BatchNorm" in r.text]
        assert remark.text.endswith(says)
        assert (remark.kind == "open") == (table is alone)


def test_a_late_sender_under_an_early_receiver_is_named_whether_or_not_layers_match():
    table = frame(make_records(("a", "b")))
    seam = (pl.col("control") == "pair") & (pl.col("top_layer") == "stage1.0")
    moved = table.with_columns(
        pl.when(seam).then(pl.lit("stage3.0")).otherwise(pl.col("bottom_layer")).alias("bottom_layer"),
        pl.when(seam).then(pl.col("top_depth") + 0.5).otherwise(pl.col("bottom_depth")).alias("bottom_depth"),
    )
    rows = panel(moved, "a", "b", settings(moved)[0])
    said = " ".join(r.text for r in warnings(rows))
    assert "Low penalty at stage3.0 -> stage1.0 says little of the layer it stands for: the sender lies deeper" in said
    assert "says little" not in " ".join(r.text for r in say()[1])


def test_a_high_penalty_needs_no_warning():
    _, warned = say(penalty=lambda c, d, s: 50.0, ood=9.0)
    assert warned == []


def test_many_layers_are_counted_and_levels_are_stated():
    found, _ = say(layers=[f"l{i}" for i in range(9)], penalty=altered("pair", lambda d: 30.0))
    assert "9 layers (first l0, last l8)" in found[1].text
    assert "within 3.0 points" in " ".join(how_to_read())
    assert len(LAYERS) == 6


TABLE = frame(make_records())
PANELS = [(f"{b} to {t}", panel(TABLE, b, t, settings(TABLE)[0])) for b, t in pairs(TABLE)]


def test_a_sentence_a_pair_and_no_more_than_four():
    told = answers(PANELS)
    assert len(told) == 5
    assert told[0].startswith(
        "seed0 to rotation (alone they err by 3.6 percent and 3.1 percent): near 0 (within 3.0 points, with"
    )
    assert "the largest penalty is" in told[0]
    assert told[-1] == f"{len(PANELS) - 4} more pairs are below."


def test_what_pairs_have_in_common_is_said_once():
    one, two, own = Remark("warning", "A top at chance."), Remark("warning", "Few."), Remark("warning", "Mine.")
    shared, rest = said_once([("p", [one, two]), ("q", [one]), ("r", [one, two, own])])
    assert [remark.text for remark in shared] == ["A top at chance. (Of all 3 pairs.)", "Few. (Of p, r.)"]
    assert rest == [[], [], [own]]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("modelstitch compare /home/me/a b --data parquet:/data/x/y", "modelstitch compare …/a b --data parquet:…/y"),
        ("runs/a/b ./c ~/d https://x.y/z 1/2 a -> b", "runs/a/b ./c ~/d https://x.y/z 1/2 a -> b"),
        (r"'C:\me\a.pt'", "'…/a.pt'"),
    ],
)
def test_a_page_shows_no_path_of_its_machine(text, told):
    assert without_folders(text) == told


@pytest.mark.slow
def test_the_page_opens_with_the_answer_and_lists_many_pairs():
    html = page(make_records(), title="t", command="modelstitch compare /home/me/nets/a b")
    assert html.index('class="answer"') < html.index("At a glance")
    assert html.count('href="#pair-') == len(PANELS)
    assert "/home/me" not in html
