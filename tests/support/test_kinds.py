"""An argument of another kind than the annotation says is refused in one sentence, before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest

from modelstitch.errors import StitchError
from modelstitch.support.kinds import as_found, fits, in_words, kinds

if TYPE_CHECKING:
    from polars import DataFrame

Pair = tuple[str, str]
Tell = Callable[[str, int, int], None]


@pytest.mark.parametrize(
    ("hint", "right", "wrong", "words"),
    [
        (bool, [True, np.bool_(False)], [0, 1, "yes", None], "True or False"),
        (int, [3, np.int64(3)], [True, 3.0, "3", None], "a whole number"),
        (float, [3, 2.5, np.float32(1)], [True, "3", None], "a number"),
        (str | Path | None, ["x", Path("x"), None], [3, b"x", True], "text, a pathlib.Path or None"),
        (Literal["pool", "flatten"], ["pool"], ["poll", [], 3], "'pool' or 'flatten'"),
        (Tell | None, [print, None], [True, 3, "x", []], "a function or None"),
        (Sequence[str], [["a"], ("a", "b"), [], np.array(["a"])], ["a", [3], {"a": 1}, {"a"}, 3], "a list of texts"),
        (Sequence[int], [range(3), [1]], [3, ["x"], [True]], "a list of whole numbers"),
        (Pair, [("a", "b"), ["a", "b"]], [("a",), "ab", ("a", 3), 3], "a pair (text, text)"),
        (tuple[int, ...], [(1, 2, 3), [1]], [("a",), 3], "a list of whole numbers"),
        (float | Mapping[str, float], [2, {"a": 1.0}], [{"a": "b"}, {1: 2.0}, "x"], "a number or a dict"),
        (Any, [3, None], [], None),
        (StitchError, [StitchError()], ["x", StitchError], "a StitchError"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_fits(hint, right, wrong, words):
    assert [value for value in right if not fits(value, hint)] == []
    assert [value for value in wrong if fits(value, hint)] == []
    assert words is None or in_words(hint) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, "True"),
        (None, "None"),
        ("x" * 200, f"'{'x' * 76}..."),
        ([3], "a list with 3"),
        ({}, "a dict"),
        (len, "a function"),
        (StitchError, "the class StitchError"),
        (np.zeros(2), "a ndarray"),
    ],
    ids=str,
)
def test_what_was_found(value, words):
    assert as_found(value) == words


@kinds("name")
def door(
    name: str, size: int = 1, *more: str, tell: Tell | None = None, frame: DataFrame | None = None, **others: int
) -> DataFrame | None:
    return frame


@pytest.mark.parametrize(
    ("args", "named", "words"),
    [
        (("a", "b"), {}, "The argument 'size' is wrong: expected a whole number, found 'b'."),
        (("a", 1, "b", 3), {}, "The argument 'more' is wrong: expected text, found 3."),
        (("a",), {"tell": True}, "The argument 'tell' is wrong: expected a function or None, found True."),
        (("a",), {"frame": 3}, "The argument 'frame' is wrong: expected a DataFrame or None, found 3."),
    ],
    ids=["by place", "one of several", "by name", "a class for type checkers alone"],
)
def test_what_is_refused(args, named, words):
    for _ in range(2):  # what passed once is not looked at again
        with pytest.raises(StitchError) as told:
            door(*args, **named)
        assert str(told.value) == words
        door("a", 2, "b", tell=print)


def test_what_is_left_alone():
    class DataFrame:
        pass

    given = DataFrame()
    assert door(3, frame=given, other="x") is given  # its own sentence, a class of that name, **others
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'name'"):
        door()
