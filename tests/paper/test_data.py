"""The data of a scale: whether they are its own, and what a page may print of where they lie."""

import pytest

from modelstitch import load_data
from modelstitch.errors import DataError
from modelstitch.paper.data import load, other, without_paths
from modelstitch.paper.scales import SMALL, SMOKE


@pytest.mark.parametrize(
    ("spec", "printed"),
    [
        ("parquet:/home/me/images", "parquet:DIR"),
        ("folder:/x/y?size=32&mode=RGB", "folder:DIR?size=32&mode=RGB"),
        ("digits", "digits"),
        ("", ""),
    ],
)
def test_a_page_prints_no_path(spec, printed):
    assert without_paths(spec) == printed


def test_other_data_than_the_scales_own_are_named():
    digits = load_data("digits", limit=200)
    assert other(load("digits", SMOKE), SMOKE) == ""
    assert other(digits, SMALL) == "digits (1 x 8 x 8, 10 classes), not CIFAR-10"


def test_what_to_fetch_is_told():
    with pytest.raises(DataError, match="The scale 'small' needs data: expected CIFAR-10 as a folder of Parquet files"):
        load("cifar10", SMALL)
    with pytest.raises(DataError, match="scale 'small': expected CIFAR-10"):
        load("parquet:/nowhere/at/all", SMALL)
    with pytest.raises(DataError) as raised:
        load("parquet:/nowhere/at/all", SMOKE)
    assert "CIFAR-10" not in str(raised.value)
