"""Numbers: errors, R squared and the level of chance against plain loops and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score

import modelstitch as ms
from modelstitch.data.tasks import REGRESSION
from modelstitch.data.tasks.regression import Explained, squared
from modelstitch.engine.measure import Tally
from modelstitch.errors import DataError

X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(300,), (300, 1), (300, 3)])
def test_errors_and_r2_are_those_of_plain_loops(shape):
    generator = torch.Generator().manual_seed(1)
    labels = 100 + 5 * torch.randn(shape, generator=generator)
    output = labels + torch.randn(shape, generator=generator)
    tally = Tally(REGRESSION, whole=True)
    for ids in torch.arange(300).split(64):
        tally.add(output[ids], labels[ids], ids)
    found = tally.outcome()
    wanted, given = labels.double().numpy().reshape(300, -1), output.double().numpy().reshape(300, -1)
    slow = [np.mean([(g - w) ** 2 for g, w in zip(one, other)]) for one, other in zip(given, wanted)]
    assert found.errors.numpy() == pytest.approx(np.array(slow), rel=1e-4)
    assert found.numbers["label_r2"][0] == pytest.approx(r2_score(wanted, given), abs=1e-6)
    assert found.chance == pytest.approx(np.mean((wanted - wanted.mean(0)) ** 2), rel=1e-4)


def test_one_number_may_have_an_axis_of_its_own():
    assert squared(torch.ones(3, 1), torch.zeros(3)).tolist() == [1, 1, 1]
    REGRESSION.fits("net", (1,), torch.zeros(1))
    REGRESSION.fits("net", (), torch.zeros(1))


def data(labels, fit=None):
    return ms.Data(
        (X[:20], labels[:20] if fit is None else fit),
        (X[20:30], labels[20:30]),
        (X[30:], labels[30:]),
        task="regression",
    )


NAN = torch.randn(60)
NAN[3] = torch.nan


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: data(NAN), "1 label of the fit split of data holds NaN or infinity, the first is at place 3"),
        (lambda: data(X[:, 0], fit=torch.full((20,), 2.5)), r"All 20 fit labels of data are 2.5 \(the label\)"),
        (
            lambda: data(X, fit=X[:20] * torch.tensor([1.0, 0, 1, 1])),
            r"are 0 \(number 1 of the label\): expected numbers that",
        ),
        (
            lambda: REGRESSION.fits("net", (3,), torch.zeros(1, 2)),
            r"shape \(3,\) for a sample with labels of shape \(2,\)",
        ),
        (lambda: REGRESSION.check(torch.zeros(2, 3), torch.zeros(2)), r"values of shape \(3,\)"),
        (
            lambda: ms.Data((X[:20], X[:20]), (X[20:30], X[20:30]), (X[30:], X[30:] * 0 + 1), task="regression"),
            r"All 30 labels of the test split of data are 1 \(number 0 of the label\): expected numbers that differ",
        ),
        (lambda: Explained().numbers(), "labels that are measured on are all 0"),
    ],
)
def test_labels_and_outputs_that_do_not_do(call, words):
    with pytest.raises(DataError, match=words):
        call()


def test_whole_numbers_are_numbers_not_classes():
    found = data(torch.arange(60) * 10)
    assert next(found.batches("fit", 4)).labels.dtype == torch.float32
    assert found.n_classes == 1
    assert found.describe()["classes"] is None
    assert found.subset(5, seed=0).task is REGRESSION
    assert len(next(found.few("fit", 7))) == 7
