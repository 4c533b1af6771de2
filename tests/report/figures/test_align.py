"""Recall against pairs."""

import polars as pl

from modelstitch.report.figures.align import recall_figure


def frame(sizes):
    keys = {"metric": "recall@5", "control": "pair", "family": "affine", "way": "old gallery mapped", "unit": "%"}
    rows = [{**keys, "pairs": n, "value": 50.0 + i, "low": 49.0, "high": 60.0} for i, n in enumerate(sizes)]
    rows.append(
        {**keys, "family": None, "pairs": None, "way": "old model alone", "value": 30.0, "low": 1.0, "high": 40.0}
    )
    return pl.DataFrame(rows, infer_schema_length=None)


def test_one_number_of_pairs_makes_no_curve():
    assert recall_figure(frame([100])) is None


def test_a_line_shows_every_number_of_pairs_with_its_interval():
    (axes,) = recall_figure(frame([10, 100, 1000])).axes
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines["affine, old gallery mapped"].get_xdata()) == [10, 100, 1000]
    assert list(lines["affine, old gallery mapped"].get_ydata()) == [50, 51, 52]
    assert "old model alone" in lines
    assert sum(list(line.get_ydata()) == [49, 60] for line in axes.lines) == 3
    assert axes.get_xscale() == "log"
