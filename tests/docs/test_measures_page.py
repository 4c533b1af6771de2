"""docs/measures.md: its code runs, and its table says what the registry says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modelstitch.measures import ALIASES, MEASURES

PAGE = Path(__file__).parents[2] / "docs" / "measures.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.mark.slow
def test_the_code_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(BLOCKS) >= 6
    names = {}
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), names)


def rows():
    return {
        line.split("`")[1]: [cell.strip() for cell in line.split("|")[1:-1]]
        for line in TEXT.splitlines()
        if line.startswith("| `")
    }


def test_the_table_holds_every_measure_in_order():
    assert list(rows()) == list(MEASURES)


@pytest.mark.parametrize("name", MEASURES)
def test_a_row_says_what_the_registry_says(name):
    measure = MEASURES[name]
    label, kind, _, invariances, moments, source = rows()[name]
    assert kind.startswith(f"{measure.kind}, {measure.low:g} to ")
    assert kind.endswith(measure.direction)
    assert (moments == "yes") == (measure.from_moments is not None)
    linear = [side for side in (measure.invariant_x, measure.invariant_y) if "invertible linear" in side]
    assert ("invertible linear" in invariances) == bool(linear)
    assert ("(" in invariances) == (len(linear) == 1)
    assert {word for word in source.split() if word.istitle() and word.isalpha()} <= set(
        re.findall(r"\w+", measure.source)
    )
    for alias, full in ALIASES.items():
        assert (f"(`{alias}`)" in label) == (full == name)
