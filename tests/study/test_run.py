"""A question's cells, counted beforehand and then run."""

import copy
import re
from types import SimpleNamespace

import pytest
import torch

import modelstitch as ms
from modelstitch.errors import StudyError
from modelstitch.records.record import equal_results
from modelstitch.study.prepared import compared
from modelstitch.study.run import hearing, plan_run, run
from modelstitch.study.store import Store
from modelstitch.support.ambient import settled
from modelstitch.support.progress import Teller

ASKED = {"layers": "block1", "objective": "match", "controls": "none", "samples": 100}


def test_a_plan_counts_what_a_run_makes(pair, digits):
    asked = compared(*pair, digits, {**ASKED})
    needs = plan_run(asked, device="cpu", timed=False)
    assert needs.cells == 2
    assert needs.kept == 0
    assert [(r.bottom.name, r.top.name) for r in run(asked, device="cpu")] == [("zero", "one"), ("one", "zero")]


def test_what_is_to_be_run_is_said_first(pair, digits, tmp_path):
    asked, said = compared(*pair, digits, {**ASKED}), []
    run(asked, device="cpu", tell=Teller(lambda *told: None, said.append), store=Store(tmp_path / "s", {}))
    first, *rest = said
    assert re.fullmatch(
        r"To run: 2 cells in 2 sweeps: 0 steps at most; samples that are read: [\d,]+ of fit, 0 of val, "
        r"[\d,]+ of test; memory up to [\d.]+ [kMG]?B, beside donors and data; about \d+ seconds here\.",
        first,
    )
    assert rest
    assert not [line for line in rest if line.startswith("To run")]
    again = []
    run(asked, device="cpu", tell=Teller(lambda *told: None, again.append), store=Store(tmp_path / "s", {}))
    assert not [line for line in again if line.startswith("To run")]  # nothing is left to do


@pytest.mark.slow
def test_donors_are_looked_at_on_a_part_of_a_large_test_split_and_told_on_all_of_it(pair, digits, monkeypatch):
    asked = compared(*pair, digits, {**ASKED, "controls": ["self", "random"]})
    whole = run(asked, device="cpu")
    monkeypatch.setattr("modelstitch.engine.alone.FIRST", 100)
    said = []
    part = run(asked, device="cpu", tell=Teller(lambda *told: None, said.append))
    assert all(equal_results(one, other) for one, other in zip(whole, part, strict=True))
    assert [record.donors for record in whole] == [record.donors for record in part]
    assert sum(" % of 100 samples of the test split, on " in line for line in said) == 2
    said.clear()
    error = whole[0].donors["zero"].error
    expecting = compared(*pair, digits, {**ASKED, "expected_error": {"zero": error}})
    run(expecting, device="cpu", tell=Teller(lambda *told: None, said.append))
    assert sum(" % of the test split, on " in line for line in said) == 2  # what is expected is held against all


def test_an_error_of_one_donor_alone_is_read_where_no_stitch_did(pair, digits, monkeypatch):
    """A share of the cells may hold controls alone, in which the bottom's own weights take no part."""
    asked = compared(*pair, digits, {**ASKED, "controls": ["random"]})
    monkeypatch.setattr("modelstitch.engine.alone.FIRST", 100)
    whole = run(asked, device="cpu")
    random = {cell.hash for cell in asked.planned()[1] if cell.config["control"] == "random"}
    found = run(asked, device="cpu", shard=SimpleNamespace(takes=random.__contains__))
    kept = {record.cell: record for record in whole}
    assert [record.donors for record in found] == [kept[record.cell].donors for record in found]


@pytest.mark.slow
@pytest.mark.parametrize("counted", [True, False], ids=["torch counts it", "torch does not count it"])
def test_a_donor_that_changes_meanwhile_is_refused(modules, digits, counted):
    import modelstitch as ms

    networks = [ms.Network(copy.deepcopy(module), torch.zeros(2, 1, 8, 8), name) for module, name in zip(modules, "ab")]
    asked = compared(networks, None, digits, {**ASKED})

    def spoil(*told):
        weight = next(networks[0].module.parameters())
        with torch.no_grad():
            (weight if counted else weight.data).add_(1.0)

    with settled(), pytest.raises(StudyError, match="The donor 'a' changed while it was stitched"):
        run(asked, device="cpu", tell=spoil)


def test_without_listeners_nothing_stands_between():
    tell = lambda *_: None  # noqa: E731
    with hearing(None, None, tell) as heard:
        assert (heard.tell, heard.watch, heard.hooks) == (tell, None, ())


@pytest.mark.slow
def test_a_fit_is_heard_from_its_first_look_to_its_penalty(pair, digits):
    events, told = [], []
    s = ms.stitch(
        *pair, "block2", digits, steps=2, eval_every=1, tell=lambda *how: told.append(how), on_event=events.append
    )
    assert {event.kind for event in events} == {"progress", "look", "cell"}
    assert [(e.what, e.step, e.total) for e in events if e.kind == "progress"] == told
    looks = [event for event in events if event.kind == "look"]
    assert [event.step for event in looks] == [0, 1, 2]
    assert {"val/error", "val/loss", "fit/loss"} == looks[-1].values.keys()
    assert {event.what for event in events if event.kind != "progress"} == {
        looks[0].what
    }  # one name from first to last
    (cell,) = (event for event in events if event.kind == "cell")
    assert cell.what == "zero@block2 -> one@block2/affine task, seed 0"
    assert (cell.values["penalty"], cell.values["penalty/low"]) == (s.penalty, s.interval[0])


def test_cells_that_are_kept_are_no_events(pair, digits, tmp_path):
    asked = {"layers": "block2", "objective": "match", "controls": "self", "both": False, "out": tmp_path}
    counts = []
    for _ in range(2):
        events = []
        ms.compare(*pair, data=digits, on_event=events.append, **asked)
        counts.append([event.what.partition("/")[2] for event in events if event.kind == "cell"])
    assert counts == [["affine match, seed 0", "self, affine match, seed 0"], []]


def test_what_a_hook_raises_is_the_users(pair, digits):
    def stop(event):
        raise InterruptedError("enough")

    with pytest.raises(InterruptedError, match="enough"):
        ms.stitch(*pair, "block2", digits, objective="match", on_event=stop)
