"""A figure finds in other figures' records what it shares with them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from modelstitch.paper.catalogue import figure
from modelstitch.paper.fig6 import LIKE_SEED
from modelstitch.paper.figure import Figure, Line, Model, Probe
from modelstitch.paper.shared import complete, completed
from modelstitch.records.parquet import records_from_parquet, records_to_parquet
from modelstitch.records.record import Record

GALLERY = Path(__file__).parents[2] / "docs" / "results" / "paper" / "smoke"

ONE, OTHER = Model(seed=0), Model(seed=1)
PAIR = Line("pair", OTHER, ONE)
LIKE = Probe("similarity", "alike", (OTHER, ONE), {"samples": 10})


def record(figure, line, control="pair", bottom="one", top="other"):
    ends = {"bottom": {"name": bottom}, "top": {"name": top}}
    return Record(line, {"control": control, **ends}, paper={"figure": figure, "line": line})


FULL = Figure("full", "", "", (), (PAIR,), (LIKE,))
MINE = Figure("mine", "", "", (), (), (Probe("similarity", "as here", (OTHER, ONE), {"samples": 10}, paper="series"),))
STORE = {
    "full": [
        record("full", "pair"),
        record("full", "alike", "similarity"),
        record("full", "one", "donor"),
        record("full", "third", "donor"),
    ]
}


def find(name):
    return STORE.get(name, [])


def test_a_probe_of_another_figure_comes_with_its_networks():
    found = completed([], MINE, [MINE, FULL], find)
    assert [(r["cell"], r["paper"]["figure"], r["paper"]["line"]) for r in found] == [
        ("alike", "mine", "as here"),
        ("one", "mine", "one"),
    ]
    assert STORE["full"][1]["paper"]["figure"] == "full"  # the other figure's stay as they are


def test_what_is_there_stays_and_what_nobody_has_is_missing():
    here = [record("mine", "as here", "similarity")]
    assert completed(here, MINE, [FULL], find) == here
    assert completed([], MINE, [FULL], lambda name: []) == []
    other = Figure("mine", "", "", (), (), (Probe("similarity", "as here", (OTHER, ONE), {"samples": 11}),))
    assert completed([], other, [FULL], find) == []


@pytest.mark.slow
def test_a_gallery_is_completed_from_its_own_files(tmp_path):
    """Figure 7 without its CKA of two seeds gets it back from figure 6."""
    for name in ("6", "7"):
        shutil.copy(GALLERY / f"{name}.parquet", tmp_path)
    whole, label = records_from_parquet(tmp_path / "7.parquet"), LIKE_SEED.label
    records_to_parquet([r for r in whole if r["paper"]["line"] != label], tmp_path / "7.parquet")
    complete(figure("7"), tmp_path)
    found = records_from_parquet(tmp_path / "7.parquet")
    assert sorted(r["cell"] for r in found) == sorted(r["cell"] for r in whole)
    assert {r["paper"]["figure"] for r in found} == {"7"}
