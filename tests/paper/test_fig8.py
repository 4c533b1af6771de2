"""Figure 8's claim, on records made by hand."""

import numpy as np
import pytest
from rows import errors, record

from modelstitch.paper import fig8
from modelstitch.paper.curves import Curves
from modelstitch.records.answers import pack


@pytest.mark.parametrize(
    ("tuned", "word"),
    [
        ((20.0,), "holds in part"),
        ((20.0, 22.0), "holds in part"),  # the range of two fits is no interval
        ((20.0, 22.0, 21.0, 20.0, 21.0, 22.0), "holds"),
        ((20.0, 60.0), "not shown"),
    ],
)
def test_fine_tuning_ends_lower_beyond_its_range_only_where_it_has_one(tuned, word):
    stitched = record(fig8.STITCHED.label, value=50.0, metric="error")
    stitched["examples"] = pack(100.0 * (np.arange(400) % 2), np.zeros(400), np.ones(400), "points")
    rows = [stitched, *errors(fig8.TUNED.label, "fine-tune", *tuned)]
    assert fig8.FIGURE.claims[0].judge(Curves(rows, "honest")).word == word
