"""A user's own loss: named by its code, and what it returns is checked."""

import pytest
import torch

from modelstitch.engine.fit.objectives import Wanted
from modelstitch.engine.fit.own_loss import PREFIX, checked, name_of
from modelstitch.errors import FitError, StitchError
from modelstitch.network import OUTPUT


def halved(stitched, genuine, labels):
    return (stitched["output"] - genuine["output"]).square().mean() / 2


def scaled(factor):
    def loss(stitched, genuine, labels):
        return factor * stitched["output"].mean()

    return loss


def wanted(values):
    return Wanted(values, torch.tensor([0, 1]), None)


def test_the_name_tells_functions_apart_by_what_they_compute():
    assert name_of(halved).startswith(f"{PREFIX}halved:")
    assert name_of(scaled(2.0)) == name_of(scaled(2.0))
    assert len({name_of(loss) for loss in (halved, scaled(2.0), scaled(3.0))}) == 3


def test_a_nameless_function_has_a_name_without_brackets():
    assert name_of(lambda stitched, genuine, labels: stitched["output"].mean()).startswith("own:lambda:")


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("mse", "The objective 'mse' is no objective: expected a name such as 'task', a function"),
        (torch.nn.MSELoss(), "is no objective"),
        (
            lambda stitched, genuine: 0,
            r"must take \(stitched, genuine, labels\), found <lambda>\(stitched, genuine\): take all three",
        ),
    ],
)
def test_what_is_no_loss_is_refused(loss, words):
    with pytest.raises(StitchError, match=words):
        name_of(loss)


def test_it_sees_the_output_by_the_name_that_users_know():
    seen = {}

    def loss(stitched, genuine, labels):
        seen.update(stitched=set(stitched), genuine=set(genuine), labels=labels.tolist())
        return halved(stitched, genuine, labels)

    x = torch.tensor([[1.0], [3.0]], requires_grad=True)
    found = checked("own", loss)({OUTPUT: x, "block": x}, wanted({OUTPUT: torch.zeros(2, 1)}))
    assert seen == {"stitched": {"output", "block"}, "genuine": {"output"}, "labels": [0, 1]}
    assert found.item() == pytest.approx((1 + 9) / 4)
    assert found.shape == ()


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda s, g, y: 1.0, "found float: reduce it with .mean"),
        (lambda s, g, y: s["output"], r"found shape \(2, 1\)"),
        (lambda s, g, y: s["output"].mean().detach(), "found a number that does not depend on the stitched values"),
    ],
)
def test_what_it_returns_is_checked(loss, words):
    x = torch.ones(2, 1, requires_grad=True)
    with pytest.raises(
        FitError, match=f"The loss 'mine' must return one number computed from the stitched values, {words}"
    ):
        checked("mine", loss)({OUTPUT: x}, wanted({OUTPUT: x}))
