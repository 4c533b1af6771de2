"""Plug-ins: found without being imported, taken by name alone, and never over a row that is there."""

import copy
import sys
from importlib.metadata import EntryPoint

import pytest

import modelstitch as ms
from modelstitch.data.load import Reader
from modelstitch.data.tasks import TASKS, task_of
from modelstitch.measures import Measure
from modelstitch.plugins import entered
from modelstitch.stitchers import Affine


class Twice(Affine):
    """A family of another package."""

    family = "twice"


SAME = Measure("same", lambda x, y: 1.0, "similarity", "one, always", "")
ROWS = Reader("rows:FILE", lambda request: None)
NOTHING = object()
TAKEN = Reader("digits", lambda request: None)
MINE = copy.copy(TASKS["regression"])
MINE.name = "mine"


@pytest.fixture
def points(monkeypatch):
    """Entry points of packages that are not there, and the tables as they were."""
    monkeypatch.setitem(sys.modules, "another_package", sys.modules[__name__])
    found = [
        EntryPoint(name, f"another_package:{value}", f"modelstitch.{group}")
        for name, value, group in (
            ("twice", "Twice", "families"),
            ("same", "SAME", "measures"),
            ("rows", "ROWS", "readers"),
            ("mine", "MINE", "tasks"),
            ("nothing", "NOTHING", "families"),
            ("taken", "TAKEN", "readers"),
            ("missing", "NOWHERE", "measures"),
            ("two", "Twice", "families"),
            ("two", "SAME", "measures"),
        )
    ]
    monkeypatch.setattr(entered, "entry_points", lambda group: [point for point in found if point.group == group])
    for group in entered.GROUPS.values():
        for key in ("twice", "same", "rows", "mine"):
            monkeypatch.delitem(group.table, key, raising=False)
    yield found
    for group in entered.GROUPS.values():
        for key in ("twice", "same", "rows", "mine"):
            group.table.pop(key, None)


def test_nothing_is_there_before_it_is_named(points):
    assert {offer.name for offer in ms.plugins.offered()} == {point.name for point in points}
    with pytest.raises(ms.StitchError, match="The family 'twice' is unknown"):
        ms.stitchers.family_of("twice")
    assert ms.plugins.use("twice", "same", "rows", "mine") == ["twice", "same", "rows", "mine"]
    assert task_of("mine") is MINE
    assert ms.stitchers.family_of("twice")[0] is Twice
    assert ms.measures.find("same") is SAME
    assert ms.plugins.use("twice") == ["twice"]  # again is no mistake


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("twise", "No installed package offers the plug-in 'twise': did you mean 'twice'"),
        ("zzz", "offered are mine, missing, nothing, rows"),
        ("two", "is offered twice, as another_package:Twice"),
        ("nothing", r"cannot be used \(TypeError: a class of ms.stitchers.Stitcher"),
        ("missing", r"cannot be used \(AttributeError"),
        ("taken", "is called 'digits', as one of the readers is already"),
    ],
)
def test_what_cannot_be_used_is_refused(points, name, words):
    with pytest.raises(ms.StitchError, match=words):
        ms.plugins.use(name)
