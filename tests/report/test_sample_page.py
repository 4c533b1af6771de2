"""The part of the page that tells sample by sample."""

import pytest
import torch

import modelstitch as ms
from modelstitch.data.pictures import pictures
from modelstitch.errors import DataError


@pytest.fixture(scope="module")
def made(pair, digits):
    return ms.compare(*pair, digits, layers=["block1", "block2"], objective="match", controls=())


def test_images_stand_on_the_page_only_where_data_are_at_hand(made, digits, tmp_path):
    bare = made.report(tmp_path / "bare.html").read_text(encoding="utf-8")
    full = made.report(tmp_path / "full.html", data=digits).read_text(encoding="utf-8")
    for text in ("Sample by sample", "test samples that the top gets right", "Penalty of each class", "All 2 networks"):
        assert text in bare
    assert "<img" not in bare
    assert "Lost by" not in bare
    assert full.count('<img src="data:image/png;base64,') > 10
    assert "Kept by all stitches" in full


def test_other_data_are_refused(made, tmp_path):
    other = ms.Data(**{split: (torch.rand(9, 1, 8, 8), torch.arange(9)) for split in ("fit", "val", "test")})
    with pytest.raises(DataError, match="another test split than the records: expected the one of hash"):
        made.report(tmp_path / "page.html", data=other)


def test_what_is_no_image_has_no_picture():
    tables = ms.Data(**{split: (torch.rand(9, 4), torch.arange(9) % 2) for split in ("fit", "val", "test")})
    assert pictures(tables, [0, 1]) == {}
