"""The public names are exactly the intended ones, and each of them can be loaded."""

import pytest

import modelstitch

INTENDED = {
    "Network", "Layer", "load", "register", "Normalise",
    "stitch", "compare", "compare_many", "Results", "open", "Stitched", "similarity", "matrix", "paired_test", "progress", "across_ranks",
    "Data", "Batch", "load_data",
    "Moments", "MomentsGrid", "Stitcher", "FAMILIES", "MEASURES", "check_stitcher", "check_similarity",
    "Seam", "StitchError", "__version__",
}  # fmt: skip


def test_names_are_the_intended_ones():
    assert set(modelstitch.__all__) == INTENDED
    assert len(INTENDED) <= 32


def test_every_name_loads_and_is_listed():
    for name in modelstitch.__all__:
        assert getattr(modelstitch, name) is not None
    assert dir(modelstitch) == sorted(modelstitch.__all__)


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="'nothing'"):
        modelstitch.nothing  # noqa: B018
