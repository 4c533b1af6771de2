"""Several processes at one job make what one makes; what goes wrong in one of them is told."""

from functools import partial
from types import SimpleNamespace

import pytest
from tiny import TINY, killed_job, lost_job, tiny_job

from modelstitch.errors import DataError, StudyError
from modelstitch.paper.catalogue import figure
from modelstitch.paper.pieces import pieces
from modelstitch.paper.run import run_figure
from modelstitch.paper.scheduler import _next, together
from modelstitch.records.parquet import records_from_parquet
from others import quick_workers

PLAN = SimpleNamespace(scale=TINY, protocols=("honest", "paper"))


def test_curves_over_one_top_wait_for_each_other():
    first, second, *_ = (p for p in pieces([figure("2c")], PLAN) if p.alone)
    todo, ready = [first, second], first.needs | second.needs
    assert _next(todo, set(), set()) is None
    assert _next(todo, ready, set()) is first
    assert _next(todo, ready, {first.alone}) is (None if second.alone == first.alone else second)
    same = [p for p in pieces([figure("2c")], PLAN) if p.alone == first.alone]
    assert len(same) == 3
    assert _next(same, set().union(*(p.needs for p in same)), {first.alone}) is None


@pytest.mark.slow
def test_two_processes_make_what_one_makes(tmp_path, monkeypatch):
    quick_workers(monkeypatch)
    shown, told = figure("4"), []
    one, two = tmp_path / "one", tmp_path / "two"
    expected = run_figure(shown, tiny_job(one, protocols=("honest",)))
    job = tiny_job(two, protocols=("honest",), tell=lambda *what: told.append(what))
    (lines,) = together([shown], job, partial(tiny_job, two, protocols=("honest",)), two / "pages", 2)
    found = records_from_parquet(two / "pages" / "4.parquet")
    assert [(r["cell"], r["metrics"]) for r in found] == [(r["cell"], r["metrics"]) for r in expected]
    assert lines[0] == "Figure 4: Kernel size of the stitcher"
    assert lines[-1].strip() == str(two / "pages" / "4.md")
    assert told == [("pieces, by 2 processes", done, 4) for done in range(1, 5)]
    assert not (two / "unfinished").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("opens", "kind", "words"),
    [
        (lost_job, DataError, "^The data are gone.$"),
        (
            killed_job,
            StudyError,
            r"^A process that worked on figure 4 ended without a word \(signal 9, .* use fewer --workers; what is "
            r"finished is kept.$",
        ),
    ],
)
def test_what_goes_wrong_in_one_of_them_is_told(tmp_path, monkeypatch, opens, kind, words):
    quick_workers(monkeypatch)
    with pytest.raises(kind, match=words):
        list(together([figure("4")], tiny_job(tmp_path), opens, tmp_path / "pages", 1))
