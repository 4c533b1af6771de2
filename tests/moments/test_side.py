"""Layers lie side by side less a base; what is no batch of them is refused."""

from __future__ import annotations

import pytest
import torch

from modelstitch.errors import MeasureError, NonFiniteError
from modelstitch.moments.side import Side

CPU = torch.device("cpu")
A, B = torch.zeros(4, 2), torch.zeros(4, 3)


def side(dtype=torch.float64):
    return Side("bottom", {"a": 2, "b": 3}, dtype, CPU)


def test_layers_lie_side_by_side_less_the_base():
    one = side()
    a, b = torch.randn(4, 2) + 5, torch.randn(4, 3)
    joined, found = one.centre({"b": b, "a": a}, 4, None)
    both = torch.cat([a, b], 1).double()
    assert torch.allclose(joined, both - one.base)
    assert torch.allclose(one.base, both.mean(0))
    assert torch.allclose(found, (both - one.base).sum(0))
    assert one.slices == {"a": slice(0, 2), "b": slice(2, 5)}


def test_the_mean_is_that_of_all_rows_whenever_they_come():
    one = side()
    parts = [torch.randn(n, 5, generator=torch.Generator().manual_seed(n)) + n for n in (3, 7, 1)]
    for x in parts:
        _, found = one.centre({"a": x[:, :2], "b": x[:, 2:]}, len(x), None)
        one.add(found, len(x))
    assert one.waiting == 11
    assert torch.allclose(one.close(), torch.cat(parts).double().mean(0))
    assert torch.allclose(one.close(), torch.cat(parts).double().mean(0))
    assert one.waiting == 0


def test_weighted_rows_are_summed_with_their_weights():
    one, x = side(), torch.randn(4, 5)
    weights = torch.tensor([1.0, 0.0, 2.0, 3.0])
    _, found = one.centre({"a": x[:, :2], "b": x[:, 2:]}, 4, torch.zeros(5), weights)
    assert torch.allclose(found, (x.double() * weights[:, None]).sum(0))


ROWS_AT_FAULT = {
    "one is missing": ({"a": A}, "A batch must hold every bottom layer of the grid: expected a, b, found a"),
    "one is unknown": ({"a": A, "b": B, "c": B}, "expected a, b, found a, b, c"),
    "another width": (
        {"a": A, "b": A},
        r"The bottom layer b must come as rows of 3 channels.*expected shape \(4, 3\), found \(4, 2\)",
    ),
    "other rows": ({"a": A, "b": B[:3]}, r"found \(3, 3\)"),
    "no tensor": ({"a": A, "b": B.tolist()}, "must come as a tensor, found list: try torch.as_tensor"),
}


@pytest.mark.parametrize("case", ROWS_AT_FAULT)
def test_batches_of_another_form(case):
    given, words = ROWS_AT_FAULT[case]
    with pytest.raises(MeasureError, match=words):
        side().centre(given, 4, None)


def test_the_layer_and_the_row_of_a_nan_are_named():
    b = B.clone()
    b[2, 1] = float("nan")
    with pytest.raises(NonFiniteError, match="The bottom activations at b hold NaN or infinity, first in row 2"):
        side().centre({"a": A, "b": b}, 4, None)


def test_a_sum_that_overflows_is_told_apart():
    large = torch.full((4, 2), 2e38)
    with pytest.raises(
        NonFiniteError, match="The sum of the bottom activations overflows: rescale them, or use sums in float64"
    ):
        side(torch.float32).centre({"a": large, "b": B}, 4, torch.zeros(5))
