"""Every room says at its door what enters, what leaves, and where to add."""

import re
from pathlib import Path

import pytest

from test_imports import RANK

SOURCE = Path(__file__).parent.parent / "src" / "modelstitch"
ROOMS = sorted(p for p in SOURCE.iterdir() if (p / "__init__.py").exists())


@pytest.mark.parametrize("room", ROOMS, ids=lambda p: p.name)
def test_a_room_says_what_enters_what_leaves_and_where_to_add(room):
    text = (room / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {room.name}\n")
    assert all(f"**{word}:**" in text for word in ("Enters", "Leaves", "To add"))
    assert len(text.splitlines()) <= 12
    for named in [part for part in text.split("`")[1::2] if part.endswith(".py") and "/" not in part]:
        assert list(room.rglob(named)), f"{room.name}/README.md names {named}, which is not there"


DESIGN = (SOURCE.parents[1] / "docs" / "design.md").read_text(encoding="utf-8")


def test_the_design_names_files_that_are_there():
    named = set(re.findall(r"`([\w/]+\.py)`", DESIGN))
    assert len(named) > 50
    assert [name for name in named if not list(SOURCE.rglob(name))] == []


def test_the_design_lists_every_room_in_the_order_of_imports():
    rows = re.findall(r"^\| `(\w+)(?:/|\.py)` \|", DESIGN.partition("## The rooms")[2], re.M)
    assert {*rows} - {"api"} == {room.name for room in ROOMS}
    ranks = [RANK[row] for row in rows]
    assert ranks == sorted(ranks)
