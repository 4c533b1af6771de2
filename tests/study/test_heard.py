"""One hook hears of progress, of looks, and of finished cells; nobody is called where nobody listens."""

import pytest

import modelstitch as ms
from modelstitch.study.heard import hearing


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
