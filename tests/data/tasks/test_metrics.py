"""Metrics by name against plain loops, and what they refuse."""

import pytest
import torch

import modelstitch as ms
from modelstitch.data.tasks import METRICS, metric_of
from modelstitch.errors import DataError

DRAW = torch.Generator().manual_seed(0)
SCORES, CLASSES = torch.randn(40, 9, generator=DRAW), torch.randint(9, (40,), generator=DRAW)
MAPS = torch.randint(3, (6, 4, 5), generator=DRAW)
MAPS[0, 0] = -100
ANSWERS = torch.randn(6, 3, 4, 5, generator=DRAW)
HELD = torch.randint(2, (40, 9), generator=DRAW)


def overlap(scores, labels):
    shares = []
    for c in range(3):
        there, found = labels == c, (scores.argmax(0) == c) & (labels != -100)
        if int((there | found).sum()):
            shares.append(int((there & found).sum()) / int((there | found).sum()))
    return 100 - 100 * sum(shares) / len(shares)


@pytest.mark.parametrize(
    ("name", "output", "labels", "slow"),
    [
        ("absolute", SCORES, SCORES.flip(0), lambda o, y: (o - y).abs().mean().item()),
        ("absolute", SCORES[:, :1], SCORES[:, 1], lambda o, y: (o[0] - y).abs().item()),
        ("cross-entropy", SCORES, CLASSES, lambda o, y: -o.log_softmax(0)[y].item()),
        ("top-5", SCORES, CLASSES, lambda o, y: 100.0 * (int(y) not in o.argsort(descending=True)[:5].tolist())),
        ("any-wrong", SCORES, HELD, lambda o, y: 100.0 * any((o > 0) != (y > 0))),
        ("overlap", ANSWERS, MAPS, overlap),
    ],
)
def test_metrics_are_those_of_plain_loops(name, output, labels, slow):
    found = METRICS[name].errors(output, labels)
    assert found.tolist() == pytest.approx([slow(o, y) for o, y in zip(output, labels)], rel=1e-5)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_refuses_labels_it_is_none_of(name):
    with pytest.raises(DataError, match=f"The metric '{name}' is none of these labels"):
        METRICS[name].errors(torch.zeros(3, 2), torch.zeros(3, 4, dtype=torch.int64) + 7)


def test_names_of_metrics():
    assert metric_of("top-5") is METRICS["top-5"]
    assert metric_of(min) is min
    with pytest.raises(DataError, match="The metric 'top5' is unknown: did you mean 'top-5'"):
        ms.load_data("digits", metric="top5")
    with pytest.raises(DataError, match="The metric 'zzz' is unknown: expected one of absolute"):
        metric_of("zzz")
    assert ms.load_data("diabetes", metric="absolute").task.unit == "MAE"
