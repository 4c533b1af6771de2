"""Every room says at its door what enters, what leaves, and where to add."""

from pathlib import Path

import pytest

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
