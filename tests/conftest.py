"""Small trained donors on real digits, made once per test process."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # no test looks for a network
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that tests start

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import traced
import tried

TRACED_ANEW = tuple(Path(__file__).parent / room for room in ("network", "support"))
CUT = ("test_fold", "test_passes", "test_programme", "test_segment")  # what is made of a trace
TRIED_APART = tuple(Path(__file__).parent / room for room in ("attacks", "support"))

torch.backends.cudnn.allow_tf32 = False  # on a GPU: references are exact to the sixth digit
torch.set_num_threads(1)  # tests run side by side; threads that wait for each other are slower than one

os.fsync = lambda handle: None  # what a loss of power leaves, no test can see; each would wait for the disk

gc.disable()  # while the tests are collected, which makes millions of objects that stay: a quarter of that time


def pytest_collection_finish() -> None:
    """Look no more through what collecting made: nothing of it ends before the process does."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 10)  # traces and plans make many objects and few cycles
    gc.enable()
    traced.begin()


def pytest_unconfigure() -> None:
    """What ends with the process is seen again, so that no library says that its objects leak."""
    gc.unfreeze()
    tried.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Trace each network anew, and try tables apart, where that itself is tested, and what must not change it."""
    again, forks = (not any(map(item.path.is_relative_to, rooms)) for rooms in (TRACED_ANEW, TRIED_APART))
    with traced.used_again(again or item.path.stem in CUT), tried.in_forks(forks):
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start files with slow tests first, so that no worker is left alone with one of them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(x + self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x))))))


class Small(nn.Module):
    """Stem, three residual blocks with a pool between, head."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.block1, self.block2, self.block3 = Block(width), Block(width), Block(width)
        self.pool = nn.AvgPool2d(2)
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        x = self.block1(self.stem(x))
        x = self.block3(self.block2(self.pool(x)))
        return self.head(x.mean((2, 3)))


def fit_small(data, seed: int, width: int = 16, steps: int = 120) -> Small:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = Small(width)
    optimiser = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.1, total_steps=steps)
    step, epoch = 0, 0
    while step < steps:
        for batch in data.batches("fit", 100, seed=1000 * seed + epoch):
            if step == steps:
                break
            optimiser.zero_grad()
            F.cross_entropy(module(batch.inputs), batch.labels).backward()
            optimiser.step()
            schedule.step()
            step += 1
        epoch += 1
    return module.eval()


@pytest.fixture(scope="session")
def digits():
    from modelstitch import load_data

    return load_data("digits")


@pytest.fixture(scope="session")
def modules(digits):
    """Two trained modules that differ in their seed."""
    return fit_small(digits, 0), fit_small(digits, 1)


@pytest.fixture(scope="session")
def pair(modules):
    """The two as networks, named zero and one."""
    from modelstitch import Network

    example = torch.zeros(2, 1, 8, 8)
    return Network(modules[0], example, "zero"), Network(modules[1], example, "one")
