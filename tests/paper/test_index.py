"""The pages over all figures: of one gallery, and of all."""

import re
import shutil
from pathlib import Path

import pytest

from modelstitch.errors import StudyError
from modelstitch.paper.index import galleries, write_index, write_overview
from modelstitch.records.parquet import records_from_parquet
from modelstitch.results import Results

GALLERY = Path(__file__).parents[2] / "docs" / "results" / "paper"


@pytest.mark.slow
def test_the_index_follows_from_all_records(tmp_path):
    for path in (GALLERY / "smoke").glob("*.parquet"):
        shutil.copy(path, tmp_path)
    assert write_index(tmp_path).read_text() == (GALLERY / "smoke" / "README.md").read_text()


def rows(page):
    """The cells of a page's table, without its head."""
    found = [line[2:-2].split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return found[1:]


@pytest.mark.parametrize("place", [p.name for p in galleries(GALLERY) if p.name != "smoke"])
def test_the_overview_says_what_each_gallery_says(place):
    overview = (GALLERY / "README.md").read_text()
    measured = 0
    for link, _, honest, paper, number, _ in rows((GALLERY / place / "README.md").read_text()):
        name = re.match(r"\[(.*)\]", link).group(1)
        told = f"| [{place}]({place}/{name}.md) | {honest} | {paper} | {number} |"
        if number != "-":
            assert told in overview
            measured += 1
    assert measured


def test_networks_of_one_name_that_are_two_are_named(tmp_path):
    for name in ("2a", "8"):
        shutil.copy(GALLERY / "small" / f"{name}.parquet", tmp_path)
    told = "on another machine: 8 (deep, seed 0; deep, seed 1; deep, seed 2)."
    assert told in write_index(tmp_path).read_text()
    (tmp_path / "2a.parquet").unlink()
    assert told not in write_index(tmp_path).read_text()


@pytest.mark.slow
def test_a_claim_stands_once_for_each_gallery_that_measured_it(tmp_path):
    for place in ("small", "full", "notes"):
        (tmp_path / place).mkdir()
    for place in ("small", "full"):
        shutil.copy(GALLERY / "full" / "4.parquet", tmp_path / place)
    records = records_from_parquet(GALLERY / "small" / "7.parquet")
    Results([r for r in records if "CKA, two seeds" not in r.tags["line"]], {}).save(tmp_path / "small" / "7.parquet")
    assert [p.name for p in galleries(tmp_path)] == ["full", "small"]
    page = write_overview(tmp_path).read_text()
    found = rows(page)
    assert [row[0] for row in found] == ["4", "", "7", "7", "7"]
    assert [row[3] for row in found] == ["[full](full/4.md)", "[small](small/4.md)", "-", "-", "-"]
    assert found[2][4] == "**not measured**"
    assert (
        "\nOf 4 claims, each where it was measured first of these, by the first protocol: 1 holds and 3 are not "
        in page
    )


def test_a_gallery_is_no_folder_of_galleries(tmp_path):
    (tmp_path / "earlier").mkdir()
    for place in (tmp_path, tmp_path / "earlier"):
        shutil.copy(GALLERY / "full" / "4.parquet", place)
    assert galleries(tmp_path) == []


def test_a_folder_without_galleries_is_refused(tmp_path):
    with pytest.raises(StudyError, match=r"There is no gallery in .*: expected folders with files such as 2a\.parquet"):
        write_overview(tmp_path)
