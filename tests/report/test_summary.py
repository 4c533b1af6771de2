"""What a terminal and a notebook show: the same tables, names escaped."""

import re
from html import unescape

import polars as pl
from synthetic import make_records

import modelstitch as ms
from modelstitch.cli import common
from modelstitch.report.summary import as_html, metrics_summary, penalty_summaries, similarity_summaries

CONTROLS = ("pair", "self", "random")


def texts(table):
    return [table.head, *(tuple(cell.text for cell in row) for row in table.rows)]


def cells(html):
    """Every cell of every table of a page, in order."""
    return [unescape(text) for text in re.findall(r"<t[hd](?: [^>]*)?>(.*?)</t[hd]>", html)]


def test_a_table_a_pair_with_its_controls_beside_it():
    tables = penalty_summaries(make_records(("a", "b"), controls=CONTROLS))
    assert [t.caption for t in tables] == [
        f"{x} -> {y}: penalty in points (negative: better than the top itself)" for x, y in (("b", "a"), ("a", "b"))
    ]
    for table in tables:
        assert table.head[0] == "layer"
        assert len(table.head) == 1 + len(CONTROLS)
        assert all(len(row) == len(table.head) for row in table.rows)
        assert all(re.fullmatch(r"[+-][\d.]+ \[.+\]", cell.text) for row in table.rows for cell in row[1:])


def test_a_notebook_shows_what_the_terminal_prints(capsys):
    records = make_records(("a", "b"), controls=CONTROLS)
    common.penalty_tables(records)
    printed = " ".join(capsys.readouterr().out.split())
    html = ms.Results(records, {})._repr_html_()
    shown = cells(html)
    assert shown == [text for table in penalty_summaries(records) for row in texts(table) for text in row]
    assert len(shown) > 10
    for text in shown:
        assert text in printed
    assert html.count("<svg") == 1
    assert "Results(a -&gt; b, b -&gt; a:" in html


def test_names_are_text_in_a_notebook():
    records = make_records(("<script>alert(1)</script>", "\x1b[2Jb"), controls=("pair",))
    html = ms.Results(records, {})._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "\x1b" not in html


def test_results_of_nothing_say_so():
    html = ms.Results([], {})._repr_html_()
    assert "Results(: 0 stitches, 0 controls)" in html
    assert "<svg" not in html


def test_everything_that_was_measured_of_one_stitch():
    (record,) = [r for r in ms.Results(make_records(("a", "b"), controls=("pair",)), {}).records if r.top.name == "b"][
        :1
    ]
    table = metrics_summary(record, "a@x -> b@y")
    assert table.caption == "a@x -> b@y"
    assert [row[0] for row in texts(table)[1:]] == [m.name for m in record.metrics]
    penalty = record.metric("penalty")
    assert (f"{penalty.value:.4g}", f"[{penalty.low:.4g}, {penalty.high:.4g}]") == texts(table)[1][1:3]
    assert cells(as_html([table])) == [text for row in texts(table) for text in row]


def test_grids_stand_with_null_levels_and_with_what_of_the_weights_is_random():
    rows = [("x", "1", "1", 0.5, 0.25), ("x", "2", "1", None, None), ("y", "1", "2", 1.0, 0.125)]
    frame = pl.DataFrame(
        [
            {"bottom": "a", "top": "b", "measure": m, "bottom_layer": b, "top_layer": t, "value": v, "null_mean": n}
            for m, b, t, v, n in rows
        ]
    )
    first, second = similarity_summaries(frame, {"a": "random, seed 0", "b": "as given"})
    assert first.caption == "x (null level)"
    assert texts(first) == [("a (random) (down) / b (right)", "1"), ("1", "0.500 (0.250)"), ("2", "-")]
    assert texts(second)[1] == ("1", "1.000 (0.125)")
