"""The frame: tidy columns, panels that hold the right controls, curves with honest intervals."""

import copy
import subprocess
import sys

import polars as pl
import pytest
from synthetic import LAYERS, make_records

from commands import run
from modelstitch.errors import StudyError
from modelstitch.report.frame import (
    curve,
    differences,
    frame,
    has_matrix,
    leveled,
    matched,
    pairs,
    panel,
    scale_in,
    settings,
)
from modelstitch.study.store import Store
from modelstitch.support.hashing import cell_hash

ROOMS = (
    "frame",
    "figures.pair",
    "figures.heatmaps",
    "figures.svg",
    "sentences.findings",
    "sentences.warnings",
    "tables",
    "page",
)


@pytest.mark.slow
def test_the_report_does_not_import_torch():
    names = ", ".join(f"modelstitch.report.{room}" for room in ROOMS)
    code = (
        f"import sys, {names}\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from synthetic import make_records\n"
        "modelstitch.report.page.page(make_records(('a', 'b')), title='t')\n"
        "print([m for m in ('torch', 'matplotlib.pyplot') if m in sys.modules])"
    )
    folder = __file__.rpartition("/")[0]
    assert subprocess.check_output([sys.executable, "-c", code, folder], text=True).strip() == "[]"


def test_one_value_a_row():
    records = make_records()
    table = frame(records)
    assert len(table) == sum(len(r["metrics"]) for r in records)
    wanted = "bottom bottom_layer bottom_depth top top_layer top_depth family objective control seed"
    assert {*wanted.split(), "metric", "value", "low", "high", "unit", "normalisation"} <= set(table.columns)
    assert list(table.to_pandas().columns) == table.columns
    assert frame([]).columns == table.columns


def test_a_record_without_a_part_is_named():
    record = make_records()[0]
    del record["config"]["top"]
    with pytest.raises(StudyError, match=f"record {record['cell']} cannot be read: expected config.top"):
        frame([record])


def test_a_panel_holds_the_pair_and_its_controls():
    table = frame(make_records())
    assert len(pairs(table)) == 6
    rows = panel(table, "seed0", "seed1", settings(table)[0])
    whose = {(b, c) for b, c in rows.select("bottom", "control").unique().iter_rows()}
    assert whose == {
        ("seed0", "pair"),
        ("seed0", "random"),
        ("seed0", "identity"),
        ("seed0", "shuffled"),
        ("seed1", "self"),
        ("class-noise", "class-noise"),
    }
    assert set(rows["top"]) == {"seed1"}


def test_settings_are_not_mixed():
    table = frame(make_records(families=("orthogonal", "affine")))
    found = settings(table)
    assert [s.family for s in found] == ["affine", "orthogonal"]
    rows = panel(table, "seed0", "seed1", found[1])
    assert set(rows.filter(rows["control"] == "pair")["family"]) == {"orthogonal"}


def test_a_curve_follows_matching_layers_and_joins_seeds():
    table = frame(make_records(("a", "b"), full_matrix=True, seeds=(0, 1)))
    rows = panel(table, "a", "b", settings(table)[0])
    points = curve(rows)
    assert [p.layer for p in points] == list(LAYERS)
    assert all(p.bottom_layer == p.layer and p.seeds == 2 for p in points)
    single = rows.filter(
        (rows["control"] == "pair")
        & (rows["metric"] == "penalty")
        & (rows["top_layer"] == "pool")
        & (rows["bottom_layer"] == "pool")
    )
    pool = points[4]
    assert (pool.value, pool.low, pool.high) == (
        single["value"].mean(),
        single["low"].min(),
        single["high"].max(),
    )
    assert has_matrix(rows)
    assert not has_matrix(panel(frame(make_records(("a", "b"))), "a", "b"))


def test_without_an_interval_a_point_says_so():
    points = curve(panel(frame(make_records(interval=False)), "seed0", "seed1"))
    assert all(not p.sure and p.low == p.value == p.high for p in points)


def test_of_layers_at_one_depth_the_one_of_the_same_name_matches():
    """A pool has no weights: it lies as deep as the block before it, in both networks."""
    layers = [("block1", 0.5, 0), ("pool", 0.5, 1), ("block2", 1.0, 2)]
    rows = [
        {
            "bottom": "a",
            "top": "b",
            "control": "pair",
            "bottom_layer": b,
            "bottom_depth": d,
            "bottom_index": i,
            "top_layer": t,
            "top_depth": e,
            "top_index": j,
        }
        for b, d, i in layers
        for t, e, j in layers
    ]
    found = matched(pl.DataFrame(rows)).select("bottom_layer", "top_layer").rows()
    assert set(found) == {(name, name) for name, _, _ in layers}


def test_what_is_near_in_another_unit_is_told_by_the_rows():
    def rows(*metrics):
        return pl.DataFrame(metrics, schema=["metric", "value", "unit"], orient="row")

    penalty, level = ("penalty", 12.0, "mm"), ("chance_error", -60.0, "mm")
    assert scale_in(rows(penalty)).near == 0
    assert scale_in(rows(penalty, level)).near == 1.8  # 3 % of its size
    assert scale_in(rows(penalty, level, ("near", 5.0, "mm"))).near == 5
    assert scale_in(rows(("penalty", 1.0, "points"), level)).near == 3
    several = leveled(rows(penalty, level, ("chance_error", -50.0, "mm")))
    assert several.filter(pl.col("metric") == "chance_error")["value"].to_list() == [-50, -50]


def test_every_place_has_a_state():
    one = make_records(("a", "b"), controls=("pair",))
    other = copy.deepcopy(one[1:])
    other[0]["metrics"][0] |= {"value": other[0]["metrics"][0]["value"] + 0.5}
    other[1]["config"]["bottom"]["fingerprint"] = "trained anew"
    other[1]["cell"] = cell_hash(other[1]["config"])
    other += make_records(("c", "d"), controls=("pair",))[:1]
    found = differences(one, other)
    counts = dict(found["state"].value_counts().iter_rows())
    assert counts == {"only one": 1, "same question": 1, "changed": 1, "only other": 1, "same": len(one) - 3}
    assert found.filter(state="same question")["difference"].to_list() == [0.5]
    assert found.filter(state="only other")["one"].to_list() == [None]


def test_the_command_says_what_differs(tmp_path, monkeypatch, capsys):
    for name, seed in (("x", 0), ("y", 1)):
        store = Store(tmp_path / name, {"seeds": [seed]})
        config = {"bottom": {"name": "a", "fingerprint": str(seed)}, "top": {"name": "b"}, "control": "pair"}
        metric = {"metric": "penalty", "value": 1.5 + seed, "unit": "points"}
        store.write({"cell": cell_hash(config), "config": config, "metrics": [metric], "provenance": {}})
    code, out, _ = run(
        monkeypatch, capsys, "diff", str(tmp_path / "x"), str(tmp_path / "y"), "--out", str(tmp_path / "d.csv")
    )
    assert not code
    assert "seeds: [0]" in out.replace("seeds.0: 0", "seeds: [0]")
    assert "1 changed" in out
    assert "+1.00" in out
    assert "changed" in (tmp_path / "d.csv").read_text()
