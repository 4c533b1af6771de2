"""A figure shows itself in a notebook, at its size."""

import struct

import pytest

import modelstitch as ms


@pytest.mark.parametrize(("width", "height"), [(4, 3), (2, 5)])
def test_a_notebook_gets_a_picture_of_twice_the_points(width, height):
    figure = ms.report.sheet(width, height)
    figure.add_axes((0, 0, 1, 1))
    picture, shown = figure._repr_png_()
    assert picture.startswith(b"\x89PNG")
    assert struct.unpack(">II", picture[16:24]) == pytest.approx((2 * shown["width"], 2 * shown["height"]), abs=1)
    assert (shown["width"], shown["height"]) == pytest.approx((100 * width, 100 * height), abs=80)
