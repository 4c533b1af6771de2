"""The public names are exactly the intended ones, and each of them can be loaded."""

import ast
import importlib
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import modelstitch

CAMEL = re.compile(r"_?[A-Z][a-z0-9]+\w*")  # TypeVars of one letter and CONSTANTS are none

INTENDED = {
    "Network",
    "load",
    "Normalise",
    "Data",
    "load_data",
    "Task",
    "stitch",
    "compare",
    "matrix",
    "similarity",
    "align",
    "Results",
    "Stitched",
    "open",
    "progress",
    "across_ranks",
    "StitchError",
}
ROOMS = {
    "tasks",
    "stitchers",
    "measures",
    "moments",
    "arrays",
    "models",
    "stats",
    "study",
    "report",
    "zoo",
    "plugins",
    "errors",
}


def test_names_are_the_intended_ones():
    assert set(modelstitch.__all__) == INTENDED | ROOMS | {"__version__"}
    assert len(INTENDED) <= 17


def test_every_name_loads_and_is_listed():
    for name in modelstitch.__all__:
        assert getattr(modelstitch, name) is not None
    assert dir(modelstitch) == sorted(modelstitch.__all__)


@pytest.mark.parametrize(
    ("name", "now"),
    [("paired_test", "stats.paired_test"), ("register", "models.register"), ("compare_many", "compare")],
)
def test_names_of_before_answer_and_say_the_new_one(name, now):
    with pytest.warns(DeprecationWarning, match=f"^modelstitch.{name} is (modelstitch.)?{now}"):
        assert getattr(modelstitch, name).__name__ == name


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="'nothing'"):
        modelstitch.nothing  # noqa: B018


def named(tree: ast.Module):
    """Classes, wherever they stand, and aliases of types: a leading underscore makes no other name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node.name.lstrip("_")
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            if isinstance(target, ast.Name) and CAMEL.fullmatch(target.id):
                yield target.id.lstrip("_")


def test_names_of_classes_and_of_types_are_found():
    tree = ast.parse(
        "class A:\n    class _B: pass\nTell = Callable[[], None]\n_Rows: TypeAlias = list\nT = TypeVar('T')\nLONG = 1"
    )
    assert list(named(tree)) == ["A", "B", "Tell", "Rows"]


def test_no_name_stands_for_two_ideas():
    counts: Counter[str] = Counter()
    for path in Path(modelstitch.__file__).parent.rglob("*.py"):
        counts.update(named(ast.parse(path.read_text(encoding="utf-8"))))
    assert {name: n for name, n in counts.items() if n > 1} == {}


def test_a_type_checker_sees_every_name_that_is_loaded_late_and_no_other(tmp_path):
    source = Path(modelstitch.__file__).parent
    late = [path for path in sorted(source.rglob("__init__.py")) if "__getattr__" in path.read_text("utf-8")]
    rooms = [".".join(("modelstitch", *path.parent.relative_to(source).parts)) for path in late]
    assert {"modelstitch", "modelstitch.study"} <= set(rooms)
    right = [f"{room}.{name}" for room in rooms for name in importlib.import_module(room).__all__]
    wrong = [f"{room}.wrong" for room in rooms]
    lines = [f"import {room}" for room in rooms] + right + wrong
    (tmp_path / "asked.py").write_text("\n".join(lines))
    quick = ["--config-file=", "--cache-dir=/dev/null", "--follow-imports=skip", "--no-color-output"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *quick, "asked.py", *map(str, late)],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(source.parent)},
        capture_output=True,
        text=True,
    )
    found = [line.split(":")[:3] for line in done.stdout.splitlines() if ": error: " in line]
    assert found == [["asked.py", str(at + 1), " error"] for at, line in enumerate(lines) if line in wrong], done
