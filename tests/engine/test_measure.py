"""Errors, penalties and intervals against slow, obvious computations."""

import numpy as np
import pytest
import torch

from modelstitch.data.tasks import NEXT_TOKEN
from modelstitch.engine.measure import Outcome, Tally, agreement, chance_agreement, penalty
from modelstitch.errors import DataError, MeasureError, NonFiniteError


def outcome(right, ids=None):
    right = torch.tensor(right)
    n = len(right)
    zeros = torch.zeros(n, dtype=torch.float64)
    return Outcome(
        100.0 * (~right).double(), torch.ones(n).double(), zeros, right.long(), torch.arange(n) if ids is None else ids
    )


def test_classification_errors_are_percent():
    tally = Tally()
    tally.add(torch.eye(4)[[0, 1, 1, 3]], torch.tensor([0, 1, 2, 3]), torch.arange(4))
    assert tally.outcome().error == 25.0


def test_sequences_are_nats_per_token_and_padding_does_not_count():
    output = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[1, 2, -100], [4, -100, -100]])
    tally = Tally(NEXT_TOKEN)
    tally.add(output, labels, torch.arange(2))
    logs = output.double().log_softmax(-1)
    slow = -(logs[0, 0, 1] + logs[0, 1, 2] + logs[1, 0, 4]) / 3
    assert tally.outcome().unit == "nats/token"
    assert tally.outcome().error == pytest.approx(float(slow), abs=1e-6)


def test_penalty_is_the_difference_and_pairs_examples():
    one, other = outcome([True, False, True, False] * 25), outcome([True, True, False, False] * 25)
    estimate = penalty(one, other)
    assert estimate.value == 0
    assert estimate.low < 0 < estimate.high
    same = penalty(one, one)
    assert same.value == 0
    assert -3 < same.low < 0 < same.high < 3  # three of a hundred may differ, and none be seen


def test_chance_agreement_is_that_of_shuffled_answers():
    generator = torch.Generator().manual_seed(0)
    one, other = outcome([True] * 400), outcome([True] * 400)
    one.predictions = torch.randint(0, 3, (400,), generator=generator)
    other.predictions = torch.randint(0, 5, (400,), generator=generator).clamp(max=3)
    slow = [
        float((one.predictions == other.predictions[torch.randperm(400, generator=generator)]).double().mean())
        for _ in range(2000)
    ]
    assert chance_agreement(one, other).value == pytest.approx(100 * np.mean(slow), abs=0.3)


def test_one_test_example_has_a_penalty_but_no_interval():
    estimate = penalty(outcome([False]), outcome([True]))
    assert (estimate.value, estimate.low, estimate.high) == (100, None, None)


def test_agreement_counts_equal_predictions():
    assert agreement(outcome([True, True, False, True]), outcome([True, False, False, True])).value == 75


def test_other_samples_or_orders_are_refused():
    with pytest.raises(MeasureError, match="different samples or orders"):
        penalty(outcome([True, False]), outcome([True, False], ids=torch.tensor([1, 0])))


@pytest.mark.parametrize(
    ("output", "labels", "kind", "words"),
    [
        (
            torch.zeros(2, 3),
            torch.tensor([0, 3]),
            DataError,
            "A label is 3, the network has 3 outputs: expected labels from 0 to 2",
        ),
        (torch.zeros(2, 3), torch.tensor([0, -1]), DataError, "expected labels from 0 to 2"),
        (torch.zeros(2, 3, 4), torch.tensor([0, 1]), DataError, "output has shape (2, 3, 4)"),
    ],
)
def test_wrong_labels_and_outputs(output, labels, kind, words):
    with pytest.raises(kind) as error:
        Tally().add(output, labels, torch.arange(2))
    assert words in str(error.value)


def test_nan_outputs_are_named():
    with pytest.raises(NonFiniteError, match="The output of net holds NaN"):
        Tally().add(torch.full((1, 2), torch.nan), torch.tensor([0]), torch.arange(1), where="net")


def test_sequences_agree_token_by_token_where_a_label_counts():
    labels = torch.tensor([[1, 2, -100], [0, -100, -100]])
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(2, 2, 3, 4, generator=generator)
    outcomes = []
    for output in scores:
        tally = Tally(NEXT_TOKEN)
        tally.add(output[:1], labels[:1], torch.tensor([0]))
        tally.add(output[1:], labels[1:], torch.tensor([1]))
        outcomes.append(tally.outcome())
    one, other = (s.argmax(-1)[labels != -100] for s in scores)
    assert outcomes[0].tokens.tolist() == one.tolist()
    assert agreement(*outcomes).value == pytest.approx(100 * float((one == other).double().mean()))
    assert agreement(outcomes[0], outcomes[0]).value == 100
    shares = [torch.bincount(t, minlength=4).double() / 3 for t in (one, other)]
    assert chance_agreement(*outcomes).value == pytest.approx(100 * float(shares[0] @ shares[1]))
