"""docs/where.md: each file is there, and has in it what the page says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "modelstitch"
ROWS = re.findall(r"^\| (.*\?) \| `(.*)` \| `(.*)` \|$", (ROOT / "docs" / "where.md").read_text(encoding="utf-8"), re.M)


def test_what_a_stranger_asks_first_is_on_the_page():
    questions = " ".join(question for question, _, _ in ROWS)
    for asked in (
        "control defined",
        "new measure",
        "Ctrl-C",
        "BatchNorm frozen",
        "sentence",
        "new stitcher",
        "new kind of data",
    ):
        assert asked in questions


@pytest.mark.parametrize(("question", "file", "name"), ROWS, ids=[name for _, _, name in ROWS])
def test_a_place_is_there(question, file, name):
    source = (SOURCE / file).read_text(encoding="utf-8")
    assert re.search(rf"^(?:class |def )?{name}\b|^    except .*\b{name}\b", source, re.M)


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_files_of_the_package_that_a_page_names_are_there(page):
    rooms = "|".join(p.name for p in SOURCE.iterdir() if p.is_dir())
    named = re.findall(rf"`(?:src/modelstitch/)?((?:{rooms})/[\w/]+\.py)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not (SOURCE / name).is_file()] == []
