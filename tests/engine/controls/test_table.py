"""The table of controls is the only list of them, is read without torch, and says all that pages need."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import modelstitch
from modelstitch.engine.controls import CONTROLS, no_networks

SOURCE = Path(modelstitch.__file__).parent


def test_the_table_is_read_without_torch():
    code = "import sys, modelstitch.engine.controls; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_no_other_list_of_controls_stands_in_the_package():
    """A tuple, list, set or the keys of a mapping with two names of controls would be one.

    A sentence of one control is none.
    """
    found = []
    for path in SOURCE.rglob("*.py"):
        if path.parent == SOURCE / "engine" / "controls" or "paper" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = getattr(node, "elts", None) or getattr(node, "keys", None) or []
            names = [p.value for p in parts if isinstance(p, ast.Constant) and p.value in CONTROLS]
            if len(names) > 1:
                found.append((str(path.relative_to(SOURCE)), node.lineno, names))
    assert [where for where in found if where[2] != ["self", "random"]] == []  # of these two a penalty is normalised
    assert len(found) <= 1, found


@pytest.mark.parametrize("name", CONTROLS)
def test_a_row_says_all_that_is_needed(name):
    row = CONTROLS[name]
    assert row.answers
    assert not (row.draw and row.sender)
    assert bool(row.sender) == bool(row.stands_as)
    assert bool(row.what) == bool(row.because)
    assert row.fitted or not row.apart


def test_no_two_look_alike():
    looks = [row.look for row in CONTROLS.values()]
    assert len({look.label for look in looks}) == len({look.marker for look in looks}) == len(looks)
    assert no_networks() == {"class-noise", "class-noise-strong"}
