"""Every source file with a function in it has a test file, found by its name.

Src/modelstitch/ROOM/FILE.py by tests/ROOM/test_FILE.py.

``WITHOUT`` is for files that have none: they are tested through the files that use them. It is meant to be empty: a
file that has got its tests leaves it, and a new file comes with its own.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "src" / "modelstitch"
ROOMS = sorted(p.name for p in SOURCE.iterdir() if p.is_dir() and not p.name.startswith("__"))
WITHOUT = """
"""


@cache
def untested():
    found = set()
    for path in SOURCE.rglob("*.py"):
        place = path.relative_to(SOURCE)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        logic = any(isinstance(node, ast.FunctionDef) for node in ast.walk(tree))
        if logic and not path.name.startswith("__") and not (TESTS / place.parent / f"test_{place.name}").is_file():
            found.add(place.as_posix())
    return found


def test_every_file_has_its_tests():
    assert untested() - set(WITHOUT.split()) == set()


@pytest.mark.slow
def test_files_that_have_got_their_tests_leave_the_list():
    assert set(WITHOUT.split()) - untested() == set()


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_its_tests(room):
    assert any((TESTS / room).rglob("test_*.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_tests_that_are_not_slow(room):
    """What ``pytest -m "not slow"`` runs."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (TESTS / room).rglob("test_*.py")]
    tests = [
        f for tree in trees for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) and f.name.startswith("test")
    ]
    slow = [f for f in tests if any(ast.unparse(mark) == "pytest.mark.slow" for mark in f.decorator_list)]
    assert len(tests) >= 2 * len(slow)
