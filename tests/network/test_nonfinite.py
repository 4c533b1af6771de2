"""Where a NaN or an infinity came from, in one sentence."""

import pytest
import torch

from modelstitch.errors import NonFiniteError
from modelstitch.network.nonfinite import first_bad, refuse

IDS = torch.tensor([7, 3, 9])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_the_first_bad_sample_by_its_id(value):
    values = torch.zeros(3, 2, 2)
    assert first_bad(values, IDS) is None
    values[2, 0, 1] = value
    assert first_bad(values, IDS) == 9
    values[1, 1, 1] = value
    assert first_bad(values, IDS) == 3


def test_the_first_bad_layer_is_named():
    good, bad = torch.zeros(3, 2), torch.full((3, 2), float("nan"))
    refuse("net", {"one": good}, IDS)
    with pytest.raises(
        NonFiniteError, match=r"The activations of net@two hold NaN or infinity, first for the sample 7"
    ):
        refuse("net", {"one": good, "two": bad, "three": bad}, IDS)
