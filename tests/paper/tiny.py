"""A scale of a few seconds, and a job in it."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path

from modelstitch.data.load import load_data
from modelstitch.errors import DataError
from modelstitch.paper.job import open_job
from modelstitch.paper.scales import SMOKE

TINY = dataclasses.replace(
    SMOKE,
    name="tiny",
    nets={
        **dict.fromkeys(SMOKE.nets, "small-resnet?width=4&blocks=2"),
        "half": "small-resnet?width=3&blocks=2",
        "double": "small-resnet?width=6&blocks=2",
    },
    training={**SMOKE.training, "steps": 12},
    unlabelled={**SMOKE.unlabelled, "steps": 8, "batch_size": 50},
    fit={
        "honest": {"steps": 2, "eval_every": 1, "samples": 100},
        "paper": {"steps": 2, "eval_every": 2, "samples": 100},
    },
    middle="block1",
    three=("stem", "block1", "block2"),
    three_deep=("stem", "block1", "block2"),
    most_cuts=2,
    samples=40,
)


def tiny_job(out: Path, scale=TINY, **options):
    return open_job(scale, load_data("digits", limit=300), out, device="cpu", **options)


def lost_job():
    """A job that cannot be opened."""
    raise DataError("The data are gone.")


def killed_job():
    """A process that something kills."""
    os.kill(os.getpid(), signal.SIGKILL)
