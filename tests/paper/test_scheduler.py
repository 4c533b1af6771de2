"""Several processes at one job make what one makes; what goes wrong in one of them is told."""

import contextlib
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from tiny import TINY, killed_job, lost_job, tiny_job

from modelstitch.errors import DataError, StudyError
from modelstitch.paper.catalogue import FIGURES, figure
from modelstitch.paper.pieces import pieces
from modelstitch.paper.run import run_figure
from modelstitch.paper.scales import FULL
from modelstitch.paper.scheduler import _next, together
from modelstitch.study.parquet import records_from_parquet

PLAN = SimpleNamespace(scale=TINY, protocols=("honest", "paper"))


def test_every_piece_stands_once_and_behind_what_it_needs():
    found = pieces([figure(name) for name in FIGURES], PLAN)
    seen = set()
    for piece in found:
        assert piece.key not in seen
        assert piece.needs <= seen
        seen.add(piece.key)
    assert [p.figure for p in found if p.what is None] == list(FIGURES)


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        (("4",), {"network": 2, "curve or probe": 2, "page": 1}),  # a pair under two protocols
        (("5",), {"network": 4, "curve or probe": 6, "page": 1}),  # two of the networks are drawn anew
        (("4", "5"), {"network": 4, "curve or probe": 8, "page": 2}),
        (("5", "6"), {"network": 5, "curve or probe": 11, "page": 2}),  # the two seeds of figure 6 are those of 5
        (("2b-imagenet",), {"network": 0, "curve or probe": 6, "page": 1}),  # the user's own are not trained
    ],
)
def test_what_figures_share_is_one_piece(names, kinds):
    found = pieces([figure(name) for name in names], PLAN)
    networks, page = [p for p in found if p.key.startswith("network")], [p for p in found if p.what is None]
    assert kinds == {
        "network": len(networks),
        "curve or probe": len(found) - len(networks) - len(page),
        "page": len(page),
    }


def test_a_run_is_trained_before_its_checkpoints_and_its_changes():
    found = {p.key: p for p in pieces([figure("3b"), figure("5")], PLAN)}
    assert not any(" at " in key for key in found if key.startswith("network"))
    assert found["network base, re-initialised, seed 1"].needs == {"network base, seed 1"}
    later = next(p for p in found.values() if "at 1 x time" in p.key)
    assert "network base, 2 x time, seed 0" in later.needs


def test_networks_on_the_same_share_are_one():
    plan = SimpleNamespace(scale=FULL, protocols=("honest",))
    found = {p.key for p in pieces([figure(name) for name in FIGURES], plan) if p.key.startswith("network")}
    assert "network base, 50 % of the data, seed 0" in found  # of figure 2A, and "much data" of 2C
    assert not [key for key in found if "much" in key]


def test_curves_over_one_top_wait_for_each_other():
    first, second, *_ = (p for p in pieces([figure("2c")], PLAN) if p.alone)
    todo, ready = [first, second], first.needs | second.needs
    assert _next(todo, set(), set()) is None
    assert _next(todo, ready, set()) is first
    assert _next(todo, ready, {first.alone}) is (None if second.alone == first.alone else second)
    same = [p for p in pieces([figure("2c")], PLAN) if p.alone == first.alone]
    assert len(same) == 3
    assert _next(same, set().union(*(p.needs for p in same)), {first.alone}) is None


def test_two_processes_make_what_one_makes(tmp_path):
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


@pytest.mark.parametrize(
    ("opens", "kind", "words"),
    [
        (lost_job, DataError, "^The data are gone.$"),
        (
            killed_job,
            StudyError,
            r"^A process that worked on figure 4 ended without a word \(signal 9, .* use fewer --workers; what is finished is kept.$",
        ),
    ],
)
def test_what_goes_wrong_in_one_of_them_is_told(tmp_path, opens, kind, words):
    with pytest.raises(kind, match=words):
        list(together([figure("4")], tiny_job(tmp_path), opens, tmp_path / "pages", 1))


def test_a_process_whose_parent_is_killed_ends(tmp_path):
    code = (
        "from functools import partial\nfrom pathlib import Path\nfrom tiny import sleeping_job, tiny_job\n"
        "from modelstitch.paper.catalogue import figure\nfrom modelstitch.paper.scheduler import together\n"
        f"out = Path({str(tmp_path)!r})\n"
        "if __name__ == '__main__':\n"
        "    list(together([figure('4')], tiny_job(out / 'job'), partial(sleeping_job, out / 'pid'), out / 'pages', 1))\n"
    )
    (tmp_path / "parent.py").write_text(code, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py"], env=environment)
    pid = int(_soon(lambda: (tmp_path / "pid").read_text()))
    parent.kill()
    parent.wait()
    _soon(lambda: not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z")


def _soon(ask):
    """The answer, as soon as there is one."""
    for _ in range(600):
        with contextlib.suppress(OSError):
            if answer := ask():
                return answer
        time.sleep(0.1)
    raise AssertionError("nothing in a minute")
