"""Sentences on single samples follow from their rows."""

import polars as pl
import pytest

from modelstitch.report.sentences.samples import of_family, of_pair

ROWS = pl.DataFrame(
    {
        "top_right": [True, True, True, True, False, False],
        "flipped": [0, 1, 2, 2, 1, 0],
        "stitches": [2] * 6,
        "first_layer": [None, "late", "early", "early", "late", None],
        "token": pl.Series([None] * 6, dtype=pl.Int64),
    }
)
SURE = {"bottom_layer": "x", "top_layer": ["x", "x"], "label": [0, 1], "examples": [50, 50], "value": [2.0, 30.0]}


@pytest.mark.parametrize(
    ("rows", "classes", "words"),
    [
        (
            ROWS,
            None,
            [
                "Of the 4 test samples that the top gets right, 3 (75.0 %) are lost by some of 2 stitches, 2 by every "
                "one; most are first lost at early (2).",
                "Of the 2 that the top gets wrong, some stitch gets 1 right.",
            ],
        ),
        (ROWS.head(1), None, ["Of the 1 test samples that the top gets right, none is lost by any of 2 stitches."]),
        (
            ROWS.head(1).with_columns(token=pl.lit(3)),
            None,
            ["Of the 1 tokens of the test samples that the top gets right, none is lost by any of 2 stitches."],
        ),
        (ROWS.filter(~pl.col("top_right")), None, []),
        (
            ROWS.head(1),
            pl.DataFrame({**SURE, "low": [0.0, 20.0], "high": [5.0, 40.0]}),
            [None, "Class 1 loses more than the others at x: +30.0 points [+20.0, +40.0] on 50 samples, against +16.0"],
        ),
        (ROWS.head(1), pl.DataFrame({**SURE, "low": [0.0, 10.0], "high": [5.0, 50.0]}), [None, "No class loses more"]),
    ],
)
def test_one_pair(rows, classes, words):
    said = [remark.text for remark in of_pair(rows, classes)]
    assert len(said) == len(words)
    assert all(expected is None or text.startswith(expected) for text, expected in zip(said, words))


def test_a_family():
    rows = pl.DataFrame(
        {"networks": [3] * 4, "networks_right": [3, 3, 3, 1], "pairs": [6] * 4, "pairs_broken": [0, 1, 4, 2]}
    ).with_columns(trend=pl.Series([None, 0.5, -0.2, 0.1]), token=pl.lit(None))
    assert [remark.text for remark in of_family(rows)] == [
        "All 3 networks are right on 3 of 4 test samples; of these 2 are lost in some of 6 pairs, 1 in more than half.",
        "On 1 of 3 test samples on which models differ, the more accurate ones do worse.",
    ]
    assert of_family(rows.with_columns(networks=pl.lit(1))) == []
