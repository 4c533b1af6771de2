"""Several processes at one study: the records of one.

What dies or hangs costs itself, and the next run does it again.
"""

import os
import signal
import time
from functools import partial

import pytest

from modelstitch.errors import DataError
from modelstitch.records.record import equal_results
from modelstitch.study import declared
from modelstitch.study.declared import open_bench, run_study
from modelstitch.study.engines import processes
from modelstitch.study.spec import parse_spec
from modelstitch.study.status import status_of
from others import quick_workers

NET = "zoo:small-resnet?width=4"
STUDY = {
    "name": "by two",
    "data": "digits",
    "layers": ["block2", "block3"],
    "controls": ["self"],
    "limit": 100,
    "fit": {"steps": 2},
    "donors": {"a": NET, "b": {"model": NET, "weights": "random", "seed": 1}},
    "pairs": [["a", "b"]],
}


@pytest.mark.slow
def test_records_are_those_of_one_process(tmp_path):
    told = []
    spec = parse_spec(STUDY)
    one, _ = run_study(spec, tmp_path / "one", device="cpu")
    two, _ = run_study(spec, tmp_path / "two", device="cpu", workers=2, tell=lambda *what: told.append(what))
    assert [r.cell for r in two] == [r.cell for r in one]
    assert all(equal_results(a, b) for a, b in zip(one, two))
    assert told[-1] == ("cells, by 2 processes", 4, 4)
    assert not (tmp_path / "two" / "unfinished").exists()


def deadly_bench(marks, *args, **kwargs):
    """Opened in another process, where a sweep with block2 is then killed, and one with block3 out of memory."""
    usual = processes.run_sweeps

    def deadly(reading, bench, **options):
        layers = {cell.config["top"]["layer"] for group in reading.groups for cell in group}
        (marks / f"{'-'.join(sorted(layers))}-{time.monotonic_ns()}").touch()
        if "block2" in layers:
            os.kill(os.getpid(), signal.SIGKILL)
        if "block3" in layers:
            raise MemoryError
        return usual(reading, bench, **options)

    processes.run_sweeps = deadly
    return open_bench(*args, **kwargs)


@pytest.mark.slow
def test_what_is_lost_costs_itself_and_is_done_by_the_next_run(tmp_path, monkeypatch):
    marks = tmp_path / "marks"
    marks.mkdir()
    spec = parse_spec({**STUDY, "layers": ["block1", "block2", "block3"], "controls": "none"})
    with monkeypatch.context() as patch:
        quick_workers(patch)
        patch.setattr(declared, "open_bench", partial(deadly_bench, marks))
        records, _ = run_study(spec, tmp_path / "out", device="cpu", workers=2)
    assert {record.top.layer: record.failed for record in records} == {
        "block1": "",
        "block2": "lost: its process ended (signal 9, as where memory runs out), twice",
        "block3": "lost: memory ran out, twice",
    }
    tried = sorted(mark.name.rpartition("-")[0] for mark in marks.iterdir())
    assert tried == ["block1", "block1-block2-block3", "block2", "block3"]  # in company, then each alone
    found = status_of(tmp_path / "out")
    assert sorted(found.failed.values()) == sorted(record.failed for record in records if record.failed)
    again, _ = run_study(spec, tmp_path / "out", device="cpu")
    assert all(record.metrics for record in again)
    assert status_of(tmp_path / "out").failed == {}


def test_one_that_hangs_is_lost():
    class Silent:
        def __init__(self, piece):
            self.piece = piece

    working, idle, hanging = (Silent(piece) for piece in (processes.Batchwork([]), None, processes.Batchwork([])))
    hanging.piece.heard -= 100
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "answered", lambda crew, seconds: [])
        (found,) = processes._answers([working, idle, hanging], 60)
    assert found == (hanging, "it made no progress for 60 seconds, and was ended")


def refusing_bench():
    raise DataError("The data are gone.")


@pytest.mark.slow
def test_a_mistake_in_one_of_them_is_told_as_it_is(tmp_path, monkeypatch):
    quick_workers(monkeypatch)
    monkeypatch.setattr(declared, "partial", lambda *args, **kwargs: refusing_bench)
    with pytest.raises(DataError, match=r"^The data are gone.$"):
        run_study(parse_spec({**STUDY, "controls": "none"}), tmp_path / "out", device="cpu", workers=2)
    assert not (tmp_path / "out" / "study.json").exists()  # the folder is left to any study
