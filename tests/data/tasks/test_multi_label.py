"""Several labels at once: errors and average precision against plain loops and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import nn

import modelstitch as ms
from modelstitch.data.tasks import MULTI_LABEL
from modelstitch.data.tasks.multi_label import average_precision
from modelstitch.engine.measure import Tally
from modelstitch.errors import DataError


def test_errors_losses_and_average_precision_are_those_of_plain_loops():
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(200, 4, generator=generator) < torch.tensor([0.5, 0.2, 0.05, 0.0])).long()
    output = (labels + torch.randn(200, 4, generator=generator)).mul(4).round() / 4 - 0.5  # with ties
    tally = Tally(MULTI_LABEL, whole=True)
    for ids in torch.arange(200).split(64):
        tally.add(output[ids], labels[ids], ids)
    found = tally.outcome()
    slow = [
        100 * np.mean([(s > 0) != (y > 0) for s, y in zip(*pair)]) for pair in zip(output.tolist(), labels.tolist())
    ]
    assert found.errors.tolist() == pytest.approx(slow)
    p = output.double().sigmoid()
    losses = -(labels * p.log() + (1 - labels) * (1 - p).log()).mean(1)
    assert found.losses.tolist() == pytest.approx(losses.tolist(), rel=1e-4)
    wanted = np.mean([average_precision_score(labels[:, i], output[:, i]) for i in range(3)])
    assert found.numbers["average_precision"][0] == pytest.approx(wanted, abs=1e-9)
    shares = labels.double().mean(0)
    assert found.chance == pytest.approx(100 * np.mean([min(p, 1 - p) for p in shares.tolist()]))
    assert (found.unit, found.error_unit) == ("points of labels", "% of labels")


def test_average_precision_by_hand():
    scores, held = np.array([3.0, 2, 1]), np.array([True, False, True])
    counts = np.array([[1.0, 1, 1], [0, 2, 1], [1, 0, 3], [0, 3, 0]])
    wanted = [(1 + 2 / 3) / 2, 1 / 3, 1, np.nan]
    assert average_precision(scores, held, counts) == pytest.approx(wanted, nan_ok=True)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: MULTI_LABEL.take(torch.tensor([[0, 2]]), "x"), "not 0 and 1 for each label .* found a 2 among them"),
        (lambda: MULTI_LABEL.take(torch.tensor([[0.5, torch.nan]]), "x"), "found a 0.5 among them"),
        (lambda: MULTI_LABEL.take(torch.zeros(2, 3, 4), "x"), r"found shape \(2, 3, 4\)"),
        (lambda: MULTI_LABEL.take(torch.zeros(2, 3), "x", n_classes=4), "have 3 labels each: expected 4"),
        (lambda: MULTI_LABEL.check_fit(torch.tensor([[0, 1], [0, 1]]), "x"), "All 2 labels of x are the same"),
        (
            lambda: MULTI_LABEL.fits("net", (3,), torch.zeros(1, 2)),
            r"shape \(3,\) for a sample with 2 labels that hold",
        ),
    ],
)
def test_labels_and_outputs_that_do_not_do(call, words):
    with pytest.raises(DataError, match=words):
        call()


def test_digits_have_traits():
    data, digits = ms.load_data("digit-traits"), ms.load_data("digits")
    batch, same = (next(d.batches("test", 50)) for d in (data, digits))
    assert torch.equal(batch.inputs, same.inputs)
    assert batch.labels[:, 0].tolist() == [int(digit % 2 == 0) for digit in same.labels.tolist()]
    assert (data.n_classes, data.classes[2]) == (5, "prime")


@pytest.mark.slow
def test_a_classifier_of_traits_is_stitched(tmp_path):
    data = ms.load_data("digit-traits")

    def net(seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = nn.Sequential(
                nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 5)
            )
        optimiser = torch.optim.Adam(module.parameters(), 5e-3)
        for epoch in range(12):
            for batch in data.batches("fit", 100, seed=epoch):
                optimiser.zero_grad()
                MULTI_LABEL.fitted(module(batch.inputs), batch.labels).backward()
                optimiser.step()
        return ms.Network(module.eval(), torch.zeros(2, 1, 8, 8), f"net{seed}")

    r = ms.compare(net(0), net(1), data=data, layers="4", objective="match", both=False, controls=("self", "random"))
    pair, random = (next(x for x in r.records if x.control == name) for name in ("pair", "random"))
    assert pair.metric("top_error").value < 6
    assert pair.metric("penalty").value < random.metric("penalty").value
    assert pair.metric("average_precision").value > 0.8
    page = r.report(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "points of labels" in page
    assert "average precision" in page
