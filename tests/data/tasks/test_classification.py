"""One class for each sample, against a plain loop."""

import pytest
import torch

from modelstitch.data.tasks import CLASSIFICATION
from modelstitch.errors import DataError


def test_errors_and_losses_are_those_of_a_plain_loop():
    generator = torch.Generator().manual_seed(0)
    output, labels = torch.randn(50, 4, generator=generator), torch.randint(0, 4, (50,), generator=generator)
    found = CLASSIFICATION.judge(output, labels)
    for i, scores in enumerate(output.double()):
        assert float(found.errors[i]) == (0 if int(scores.argmax()) == int(labels[i]) else 100)
        assert float(found.losses[i]) == pytest.approx(float(-scores.log_softmax(0)[labels[i]]), abs=1e-5)
    assert CLASSIFICATION.chance(4) == 75


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1,), r"one value for a sample: expected one score for each class; .*task='regression'"),
        ((3, 4), "values of shape .3, 4. for a sample with one label"),
    ],
)
def test_outputs_without_a_score_for_each_class(shape, words):
    with pytest.raises(DataError, match=words):
        CLASSIFICATION.fits("net", shape, torch.zeros(1))


def test_labels_of_other_tasks_are_refused():
    with pytest.raises(DataError, match="name the task, such as"):
        CLASSIFICATION.take(torch.tensor([0.5]), "x")
