"""No public function answers an argument of the wrong kind with an error of Python's insides."""

import inspect
import re

import pytest

import modelstitch as ms
from modelstitch.report.family import NetworkFamily

NAMES = "stitch compare matrix similarity align load load_data progress across_ranks"
METHODS = {
    ms.Network: "__init__ seams onward taps named replaced",
    ms.Data: "__init__ batches subset shorter of_task",
    ms.Results: "breaks by_class trajectory front figure family draw report",
    ms.Stitched: "load from_hub save export push_to_hub tune measure",
    NetworkFamily: "matrix distances tree order map figure",
}
DOORS = {name: getattr(ms, name) for name in NAMES.split()} | {
    "paired_test": ms.stats.paired_test,
    "register": ms.models.register,
    **{f"{cls.__name__}.{name}": getattr(cls, name) for cls, names in METHODS.items() for name in names.split()},
}
KINDS = r"str|int|float|bool|None|Path|Tell|OnEvent|Results|Network|Data|Sequence\[str\]|tuple\[str, str\]"
DECIDED = re.compile(KINDS)
OWN = {"top", "data", "device", "family", "task", "limit", "metric", "classes", "input_key", "out"}  # say more


class Other:
    """Of no kind that any function takes."""


def decided(door):
    """The options that the annotation alone decides."""
    for option in inspect.signature(inspect.unwrap(door)).parameters.values():
        parts = str(option.annotation).split(" | ")
        if option.default is not option.empty and option.name not in OWN and all(map(DECIDED.fullmatch, parts)):
            yield option.name


@pytest.mark.parametrize("door", DOORS.values(), ids=list(DOORS))
def test_every_option_is_checked(door):
    for name in decided(door):
        first = [None] if "." in door.__qualname__ and not inspect.ismethod(door) else []
        with pytest.raises(ms.StitchError, match=f"The argument '{name}' is wrong: expected .*, found a Other."):
            door(*first, **{name: Other()})


def test_there_are_many_of_them():
    assert sum(len(list(decided(door))) for door in DOORS.values()) > 50
