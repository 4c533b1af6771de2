"""What figures share: the sheet, the axis of penalties, heat maps with their values."""

import matplotlib
import numpy as np
import pytest

from modelstitch.report.figures.axes import canvas, drawn, heat_map, penalty_axis
from modelstitch.report.sentences.units import scale_of


def texts(axes):
    return {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in axes.texts}


def test_drawing_leaves_the_global_look_alone():
    before = dict(matplotlib.rcParams)
    with drawn(**{"font.size": 30.0}):
        assert matplotlib.rcParams["font.size"] == 30.0
        assert matplotlib.rcParams["svg.fonttype"] == "none"
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("unit", "high", "label"),
    [("points", 60, "points; log beyond ±5"), ("nats/token", 3, "nats/token; log beyond ±0.5")],
)
def test_the_axis_of_penalties_is_linear_near_nothing_and_then_logarithmic(unit, high, label):
    _, axes = canvas(3, 2)
    penalty_axis(axes, -1, high, unit)
    assert axes.get_yscale() == "symlog"
    assert axes.get_ylim() == (-1, high)
    assert label in axes.get_ylabel()
    at = axes.transData.transform([(0, v) for v in (0, 1, 2)])[:, 1] if unit == "points" else None
    if at is not None:
        assert at[1] - at[0] == pytest.approx(at[2] - at[1])
    assert all(-1 <= tick <= high for tick in axes.get_yticks())


def test_values_are_written_in_and_what_was_not_measured_stays_empty():
    _, axes = canvas(3, 3)
    heat_map(axes, np.array([[0.04, 12.34], [np.nan, -3.0]]), scale_of("points"))
    assert texts(axes) == {(0, 0): "0.0", (0, 1): "12", (1, 1): "\u22123.0"}
    assert axes.yaxis_inverted()


def test_bright_cells_are_the_layers_more_alike():
    shade = {}
    for distance in (False, True):
        _, axes = canvas(3, 3)
        heat_map(axes, np.array([[0.1, 0.9]]), None, distance)
        mesh = axes.collections[0]
        low, high = (sum(mesh.cmap(mesh.norm(v))[:3]) for v in (0.1, 0.9))
        shade[distance] = high > low
    assert shade == {False: True, True: False}


def test_many_cells_have_a_bar_instead():
    fig, axes = canvas(3, 3)
    heat_map(axes, np.zeros((20, 20)), scale_of("points"))
    assert texts(axes) == {}
    assert len(fig.axes) == 2
