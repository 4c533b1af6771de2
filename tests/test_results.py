"""Results are opened from what a study left, without networks and without torch."""

import json
import subprocess
import sys

import polars as pl
import pytest

import modelstitch as ms
from commands import run
from modelstitch.study.store import Store
from modelstitch.support.hashing import unsealed
from report.synthetic import make_records

SPEC = {"name": "s", "pairs": "all"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study of two donors: finished, but for one cell, with one that is stale and one that is damaged."""
    place = tmp_path_factory.mktemp("study")
    store = Store(place, SPEC)
    records = agreeing(make_records(("a", "b"), controls=("pair", "self", "random"), examples=200))
    store.plan([r["cell"] for r in records[1:]])
    for record in records[:-1]:
        store.write(record)
    (place / "cells" / f"{records[1]['cell']}.json").write_text("{}")
    return place, records


def agreeing(records):
    """Records whose metrics are those of their answers."""
    for record in records:
        found = ms.stats.paired_test(record, record).difference  # reads the examples
        assert found.value == 0
        answers = ms.Results([record], {}).examples
        error, top = float(answers["stitched_error"].mean()), float(answers["top_error"].mean())
        values = {"penalty": error - top, "error": error, "top_error": top}
        for metric in record["metrics"]:
            if metric["metric"] in values:
                metric["value"] = values[metric["metric"]]
                metric["low"] = metric["high"] = None
        record["correct"] = record["examples"]["stitched"]
    return records


def test_a_folder_opens_as_results(folder):
    place, records = folder
    r = ms.open(place)
    assert len(r.records) == len(records) - 3
    assert sorted(r.missing) == sorted([records[1]["cell"], records[-1]["cell"]])
    assert r.pairs == [("a", "b"), ("b", "a")]
    assert "expected a digest at its end, found none" in r.cautions[0]
    assert "1 cell is left out: the plan does not name them" in r.cautions[1]
    assert r.frame["cell"].n_unique() == len(r.records)
    kept = {record.cell for record in r.records}
    assert [record.cell for record in r.records] == [made["cell"] for made in records if made["cell"] in kept]
    assert r.notes == ["stopped: no gain in 5 looks"]
    assert r.failed == []
    assert repr(r).startswith("Results(a -> b, b -> a: ")
    assert not r.pooled.is_empty()
    assert r.figure("penalty", pair=("b", "a")) is not None


def test_examples_are_the_answers_one_a_row(folder):
    r = ms.open(folder[0])
    rows = r.examples
    assert len(rows) == 200 * len(r.records)
    means = rows.group_by("cell").agg(pl.col("stitched_error").mean() - pl.col("top_error").mean()).sort("cell")
    penalties = [x.metric("penalty").value for x in sorted(r.records, key=lambda x: x.cell)]
    assert means["stitched_error"].to_list() == pytest.approx(penalties, abs=1e-9)
    assert rows["unit"].unique().to_list() == ["percent"]
    assert ms.Results([], {}).examples.columns == rows.columns


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".json"])
def test_results_are_saved_whole(folder, tmp_path, ending):
    r = ms.open(folder[0])
    path = r.save(tmp_path / f"new/r{ending}")
    if ending == ".parquet":
        again = ms.open(path)
        assert again.records == r.records
        assert again.pairs == r.pairs
        assert again.pooled.equals(r.pooled)
    elif ending == ".csv":
        assert len(pl.read_csv(path, infer_schema_length=None)) == len(r.frame)
    else:
        assert unsealed(json.loads(path.read_text()))["records"] == [x.plain() for x in r.records]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p, r: ms.open(p / "nothing"), "expected a folder with study.json, or a .parquet file"),
        (lambda p, r: ms.open(p / "cells"), "is not a study"),
        (lambda p, r: r.save(p / "x.txt"), "neither .parquet, .csv nor .json"),
        (lambda p, r: ms.Results([], {}).save(p / "x.csv"), "nothing to export"),
        (lambda p, r: r.figure("pie"), "The figure 'pie' is unknown: expected one of 'penalty'"),
        (lambda p, r: r.draw(p / "x.gif"), "no known ending: expected .pdf, .svg, .png"),
    ],
)
def test_mistakes_get_one_sentence(folder, call, words):
    with pytest.raises(ms.StitchError) as error:
        call(folder[0], ms.open(folder[0]))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "head"), [(".pdf", b"%PDF"), (".svg", b"<?xml"), (".png", b"\x89PNG")])
def test_a_figure_from_the_command_line(folder, tmp_path, monkeypatch, capsys, ending, head):
    code, _, err = run(
        monkeypatch, capsys, "figure", str(folder[0]), "--pair", "b", "a", "-o", str(tmp_path / f"f{ending}")
    )
    assert not code
    assert "caution: " in err
    assert (tmp_path / f"f{ending}").read_bytes().startswith(head)


@pytest.mark.slow
def test_opening_needs_no_torch(folder):
    code = (
        "import sys, modelstitch as ms\n"
        f"r = ms.open({str(folder[0])!r})\n"
        "r.frame, r.pooled, r.examples, r.figure(), r.notes\n"
        "print('torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
