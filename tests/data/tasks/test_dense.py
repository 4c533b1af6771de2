"""Maps of classes: errors, losses and mIoU against plain loops; what is kept does not grow with the maps."""

import numpy as np
import pytest
import torch
from torch import nn

import modelstitch as ms
from modelstitch.data.tasks import DENSE
from modelstitch.engine.measure import Tally
from modelstitch.errors import DataError


def maps(n=12, classes=4, size=6):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, classes - 1, (n, size, size), generator=generator)
    output = torch.randn(n, classes, size, size, generator=generator)
    labels[0, :3] = labels[3] = -100
    return output, labels


def test_errors_losses_and_miou_are_those_of_plain_loops():
    output, labels = maps()
    tally = Tally(DENSE, whole=True)
    for ids in torch.arange(len(labels)).split(5):
        tally.add(output[ids], labels[ids], ids)
    found = tally.outcome()
    logs, chosen = output.double().log_softmax(1), output.argmax(1)
    wrong, loss, n = np.zeros(12), np.zeros(12), np.zeros(12)
    both, either = np.zeros(4), np.zeros(4)
    for i in range(12):
        for y in range(6):
            for x in range(6):
                want, got = int(labels[i, y, x]), int(chosen[i, y, x])
                if want == -100:
                    continue
                n[i] += 1
                wrong[i] += want != got
                loss[i] -= float(logs[i, want, y, x])
                both[want] += want == got
                either[want] += 1
                either[got] += want != got
    assert found.error == pytest.approx(100 * wrong.sum() / n.sum())
    assert found.loss == pytest.approx(loss.sum() / n.sum(), rel=1e-6)
    assert float(DENSE.fitted(output, labels)) == pytest.approx(loss.sum() / n.sum(), rel=1e-5)
    assert found.weights.tolist() == n.tolist()
    assert found.chance == pytest.approx(100 * (1 - labels[labels >= 0].bincount().max() / n.sum()))
    assert found.numbers["miou"][0] == pytest.approx(100 * np.mean(both / either))


def test_what_is_kept_of_a_map_is_a_few_numbers():
    output, labels = maps()
    tally = Tally(DENSE, whole=True)
    tally.add(output, labels, torch.arange(12))
    held = [part for judged, _ in tally._parts for part in vars(judged).values() if part is not None]
    assert {tuple(part.shape) for part in held} == {(12,)}
    assert {tuple(part.shape) for part in tally._counted.parts[0]} == {(12, 4)}  # classes, no pixels


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: DENSE.take(torch.zeros(3).long(), "x"), r"The labels of x are no maps, \(3,\)"),
        (lambda: DENSE.take(torch.full((1, 2, 2), 0.5), "x"), "expected integers"),
        (lambda: DENSE.take(torch.full((1, 2, 2), -1), "x"), "out of range, the first is -1"),
        (lambda: DENSE.take(torch.full((1, 2, 2), torch.nan), "x"), "1 label of x holds NaN or infinity"),
        (lambda: DENSE.check_fit(torch.ones(2, 3, 3), "x"), "All pixels of x are of class 1"),
        (lambda: DENSE.check_fit(torch.full((2, 3, 3), -100), "x"), "No pixel of x counts: expected two classes"),
        (lambda: DENSE.fits("net", (4, 3, 3), torch.zeros(1, 6, 6)), r"a map of shape \(6, 6\): expected scores"),
        (
            lambda: DENSE.check(torch.zeros(1, 4, 2, 2), torch.full((1, 2, 2), 255)),
            "A label is 255, the network has 4 classes: .* give -100 where no class counts",
        ),
    ],
)
def test_labels_and_outputs_that_do_not_do(call, words):
    with pytest.raises(DataError, match=words):
        call()


def test_maps_with_an_axis_of_one_channel_are_maps():
    assert DENSE.take(torch.zeros(2, 1, 5, 5), "x").shape == (2, 5, 5)


@pytest.fixture(scope="module")
def nets():
    data = ms.load_data("shapes", limit=240)

    def net(seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = nn.Sequential(
                *(nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 12, 5, padding=2), nn.ReLU()),
                nn.Conv2d(12, 3, 1),
            )
        optimiser = torch.optim.Adam(module.parameters(), 1e-2)
        for epoch in range(10):
            for batch in data.batches("fit", 40, seed=epoch):
                optimiser.zero_grad()
                DENSE.fitted(module(batch.inputs), batch.labels).backward()
                optimiser.step()
        return ms.Network(module.eval(), torch.zeros(2, 1, 32, 32), f"net{seed}")

    return data, net(0), net(1)


@pytest.mark.slow
def test_a_segmentation_network_is_stitched(nets, tmp_path):
    data, one, two = nets
    r = ms.compare(one, two, data=data, layers="2", objective="match", both=False, controls=("self", "random"))
    pair, random = (next(x for x in r.records if x.control == name) for name in ("pair", "random"))
    batch = next(data.batches("test", 999))
    wrong = (two(batch.inputs).argmax(1) != batch.labels).float().mean()
    assert pair.metric("top_error").value == pytest.approx(100 * float(wrong), abs=1e-4)
    assert pair.metric("top_error").value < 0.7 * pair.metric("chance_error").value
    assert pair.metric("penalty").value < random.metric("penalty").value
    assert ms.study.Record.of(pair.plain()).metrics == pair.metrics
    page = r.report(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "points of pixels" in page
    assert "mIoU, %" in page
    fitted = ms.stitch(one, two, at="2", data=data, objective="distill+task", steps=2, eval_every=1)
    assert fitted.metrics["top_miou"] == pytest.approx(pair.metric("top_miou").value)
