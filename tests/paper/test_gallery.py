"""The committed pages say what their records say."""

import shutil
from pathlib import Path

import pytest

from modelstitch.paper.catalogue import figure
from modelstitch.paper.gallery import write_index, write_page

GALLERY = Path(__file__).parents[2] / "docs" / "results" / "paper"
RECORDS = sorted(GALLERY.glob("*/*.parquet"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_a_page_follows_from_its_records(path, tmp_path):
    shutil.copy(path, tmp_path)
    assert write_page(figure(path.stem), tmp_path).read_text() == path.with_suffix(".md").read_text()


def test_the_index_follows_from_all_records(tmp_path):
    for path in (GALLERY / "smoke").glob("*.parquet"):
        shutil.copy(path, tmp_path)
    assert write_index(tmp_path).read_text() == (GALLERY / "smoke" / "README.md").read_text()
