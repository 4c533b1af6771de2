"""Numbers of a whole split: drawn samples count as often as they are drawn."""

import numpy as np
import pytest
import torch

from modelstitch.data.tasks import DENSE, MULTI_LABEL, REGRESSION, Retrieval
from modelstitch.data.tasks.counted import stacked

N = 9


def made(name):
    g = torch.Generator().manual_seed(3)
    if name == "regression":
        return REGRESSION, torch.randn(N, 2, generator=g), 5 + torch.randn(N, 2, generator=g)
    if name == "multi-label":
        return MULTI_LABEL, torch.randn(N, 3, generator=g).mul(2).round(), torch.arange(3 * N).reshape(N, 3) % 4 // 2
    if name == "dense":
        labels = torch.randint(-1, 4, (N, 2, 3), generator=g)
        return DENSE, torch.randn(N, 4, 2, 3, generator=g), torch.where(labels < 0, -100, labels)
    gallery = torch.randn(6, 4, generator=g)
    return (
        Retrieval(gallery, torch.arange(6)),
        gallery[torch.arange(N) % 6] + torch.randn(N, 4, generator=g),
        (torch.arange(N) % 6),
    )


def counted(task, output, labels):
    found = task.counted()
    for some in torch.arange(len(labels)).split(4) if len(labels) else ():
        found.add(output[some], labels[some])
    return found


@pytest.mark.parametrize("name", ["regression", "multi-label", "dense", "retrieval"])
def test_a_sample_that_is_drawn_twice_counts_as_two(name):
    task, output, labels = made(name)
    whole = counted(task, output, labels)
    draw = np.random.default_rng(0).multinomial(N, np.full(N, 1 / N), size=20)
    found = whole.drawn(draw.astype(float))
    assert whole.size[0] == N
    for at, counts in enumerate(draw):
        rows = torch.from_numpy(np.repeat(np.arange(N), counts))
        again = counted(task, output[rows], labels[rows]).numbers()
        assert set(again) == set(found) == set(whole.units)
        for key, (value, unit) in again.items():
            assert found[key][at] == pytest.approx(value, abs=1e-9)
            assert unit == whole.units[key]


@pytest.mark.parametrize("name", ["regression", "multi-label", "dense", "retrieval"])
@pytest.mark.parametrize("before", [0, 4, N])
def test_counts_go_on_from_their_state(name, before):
    task, output, labels = made(name)
    first, second = counted(task, output[:before], labels[:before]), task.counted()
    second.take_up(first.state())
    for some in torch.arange(before, N).split(4) if before < N else ():
        second.add(output[some], labels[some])
    whole = counted(task, output, labels)
    assert second.size == whole.size
    assert second.numbers() == whole.numbers()
    assert second.level() == whole.level()


def test_what_is_not_defined_for_some_samples_is_no_number():
    task, output, labels = made("regression")
    only = np.eye(N)[:1] * N
    assert np.isnan(counted(task, output, labels).drawn(only)["label_r2"]).all()
    task, output, _ = made("multi-label")
    assert counted(task, output, torch.zeros(N, 3)).numbers() == {}


def test_batches_are_stacked_in_double_precision():
    assert stacked([torch.ones(2, 1), torch.zeros(1, 1)]).tolist() == [[1.0], [1.0], [0.0]]
    assert stacked([torch.ones(2)]).dtype == np.float64
