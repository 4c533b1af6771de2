"""What the counts of the house mean, on texts whose counts are known, and one small walk and time of this tree."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from others import told

ROOT = Path(__file__).parents[1]
TEXT = '''"""A page.

Of two lines."""
import os  # why

# alone
TABLE = {
    "a": 1,  # beside

}  # fmt: skip


def f(x):
    """One line."""
    return """a text
# that is no comment"""
'''
BRANCHES = """
def f(x, y):
    if x and y or x:
        return [a for a in x if a if y]
    for a in x:
        def g():
            while x:
                pass
    return 1 if y else 2
"""


@pytest.fixture(scope="module")
def house():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    found = importlib.util.spec_from_file_location("house", ROOT / "benchmarks" / "house.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    yield module
    sys.path.remove(str(ROOT / "benchmarks"))


def test_lines_are_told_apart(house):
    found = house.lines_of(TEXT + "x = 1" + " " * 120 + "\n")
    assert dict(found) == {"lines": 17, "code": 8, "docstring": 4, "comment": 1, "wide": 1, "skips": 1}


def test_complexity_counts_every_branch_of_a_function_itself(house):
    import ast

    outer = ast.parse(BRANCHES).body[0]
    # 1, if, and, or, comprehension, its two conditions, for, if-else; the while is of the function within
    assert house.complexity(outer) == 9
    assert house.complexity(outer.body[1].body[0]) == 2


def test_a_tree_is_counted_whole(house, tmp_path, capsys):
    package = tmp_path / "src" / "modelstitch"
    (package / "paper").mkdir(parents=True)
    (package / "__init__.py").write_text("__all__ = ['__version__', 'one', 'two']\n")
    (package / "paper" / "far.py").write_text("x = 1\ny = 2\n")
    (package / "near.py").write_text("def f(x):\n" + "    if x: pass\n" * 15)
    assert house.main(["counts", "--json", "--src", str(tmp_path / "src")]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    counts = found["counts"]
    assert {name: (part["files"], part["code"]) for name, part in counts["parts"].items()} == {
        "all": (3, 19),
        "own": (2, 17),
        "paper": (1, 2),
        "zoo": (0, 0),
    }
    assert counts["public_names"] == ["one", "two"]
    assert counts["loose_files"] == ["__init__.py", "near.py"]
    assert counts["complex_functions"] == {"near.py:f": 16}


@pytest.mark.slow
def test_a_function_of_many_branches_says_why(house):
    """Above 15 it is split, or a comment in it that begins with these words gives the reason."""
    silent = []
    for where in house.complex_functions(ROOT / "src"):
        path, _, name = where.rpartition(":")
        text = (ROOT / "src" / "modelstitch" / path).read_text(encoding="utf-8")
        body = text.partition(f"def {name}(")[2].partition("\ndef ")[0]
        if "# Above 15 branches" not in body:
            silent.append(where)
    assert silent == []


@pytest.mark.slow
def test_no_file_is_longer_than_a_reader_takes_in(house):
    """Docstrings apart, of which the public face of a room has many."""
    code = {
        path.name: house.lines_of(path.read_text(encoding="utf-8"))["code"] for path in house.files_of(ROOT / "src")
    }
    assert {name: lines for name, lines in code.items() if lines > 450} == {}


@pytest.mark.slow
def test_a_walk_reaches_the_first_step_and_the_first_record(house, tmp_path, monkeypatch):
    paths = [str(ROOT / "benchmarks"), str(ROOT / "tests" / "golden")]
    prepared = f"import sys\nsys.path[:0] = {paths!r}\n"
    monkeypatch.setattr(
        house, "_within", lambda src, code: told(prepared + code, folder=tmp_path).strip().splitlines()[-1]
    )
    found = house.walk(ROOT / "src", ("compare",))["compare"]
    assert "api.py:compare" in found["step"]["frames"][:3]
    assert "api.py:compare" in found["record"]["frames"][:3]
    assert 1 < found["step"]["files"] <= found["record"]["files"] <= len(found["files"])


@pytest.mark.slow
def test_a_question_is_timed_in_a_process_of_its_own(house, capsys):
    assert house.main(["times", "--only", "similarity", "--rounds", "1"]) == 0
    assert "| similarity | " in capsys.readouterr().out


def test_a_tree_that_does_not_know_what_is_asked_costs_a_sentence(house, tmp_path):
    (tmp_path / "src" / "modelstitch").mkdir(parents=True)
    (tmp_path / "src" / "modelstitch" / "__init__.py").write_text("raise TypeError('compare() has no starts')")
    for question in ("pair", "demo"):
        with pytest.raises(
            SystemExit, match=r"^The tree .*src cannot do .* \(TypeError: .*no starts\): expected .*try --only"
        ):
            house.main(["times", "--only", question, "--rounds", "1", "--src", str(tmp_path / "src")])
