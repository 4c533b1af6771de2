"""The table, the sentences and the page of a rehearsal, from rows made by hand."""

import polars as pl
import pytest

from modelstitch.report.align import align_page, align_tables, recall_figure, summary


def row(way, metric, value, *, family="affine", pairs=100, control="pair", unit="%"):
    return {
        "family": family,
        "pairs": pairs,
        "control": control,
        "way": way,
        "metric": metric,
        "value": value,
        "low": value - 1,
        "high": value + 1,
        "unit": unit,
        "chance": 0.5,
        "queries": 50,
        "gallery": 2000,
    }


@pytest.fixture
def frame():
    rows = []
    for metric, unit, times in (("recall@1", "%", 1), ("recall@10", "%", 1), ("mrr", "", 0.01)):
        rows += [
            row("old model alone", metric, 40 * times, family=None, pairs=None, unit=unit),
            *(row("old gallery mapped", metric, v * times, pairs=n, unit=unit) for n, v in ((100, 60), (1000, 90))),
            row("query mapped back", metric, 95 * times, pairs=1000, unit=unit),
            row("old gallery mapped", metric, times, control="shuffled", pairs=1000, unit=unit),
        ]
    return pl.DataFrame(rows, infer_schema_length=None)


def test_a_way_is_a_row_and_a_measure_a_column(frame):
    (table,) = align_tables(frame)
    assert table.head == ("way", "pairs", "recall@1, %", "recall@10, %", "mrr")
    lines = [[cell.text for cell in line] for line in table.rows]
    assert lines[0][:3] == ["old model alone", "–", "40.0 [39.0, 41.0]"]
    assert ["old gallery mapped affine (shuffled pairs)", "1,000", "1.0 [0.0, 2.0]"] in [line[:3] for line in lines]
    assert lines[-1] == ["chance", "–", "0.50", "0.50", "0.5000"]


def test_the_sentence_names_the_best_way_of_the_most_pairs(frame):
    assert summary(frame) == [
        "Of the 10 nearest that embedding all anew finds, the query mapped back by affine (1,000 pairs) keeps "
        "95.0 % [94.0, 96.0]; the old model alone 40.0 % [39.0, 41.0], chance 0.50 %."
    ]


def test_the_page_is_inert_and_names_are_text(frame):
    page = align_page(frame, sentences=["<b>bold</b>"], notes=["note one"], about=[("old", "2 x 3")], command="cmd")
    assert "&lt;b&gt;bold" in page
    assert "<svg" in page
    assert "<script" not in page
    assert "note one" in page
    assert "50 queries held out, 2,000 samples in the gallery." in page


def curve_of(sizes):
    keys = {"metric": "recall@5", "control": "pair", "family": "affine", "way": "old gallery mapped", "unit": "%"}
    rows = [{**keys, "pairs": n, "value": 50.0 + i, "low": 49.0, "high": 60.0} for i, n in enumerate(sizes)]
    rows.append(
        {**keys, "family": None, "pairs": None, "way": "old model alone", "value": 30.0, "low": 1.0, "high": 40.0}
    )
    return pl.DataFrame(rows, infer_schema_length=None)


def test_one_number_of_pairs_makes_no_curve():
    assert recall_figure(curve_of([100])) is None


def test_a_line_shows_every_number_of_pairs_with_its_interval():
    (axes,) = recall_figure(curve_of([10, 100, 1000])).axes
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines["affine, old gallery mapped"].get_xdata()) == [10, 100, 1000]
    assert list(lines["affine, old gallery mapped"].get_ydata()) == [50, 51, 52]
    assert "old model alone" in lines
    assert sum(list(line.get_ydata()) == [49, 60] for line in axes.lines) == 3
    assert axes.get_xscale() == "log"
