"""Curves in TensorBoard's own files: read back by its own reader."""

import importlib
import sys

import pytest

from modelstitch.engine.fit.tensorboard import writing
from modelstitch.errors import MissingExtraError
from modelstitch.support.progress import Event


def stopped(hear):
    hear(Event("progress", "a", 1, 2))
    hear(Event("look", "a@1 -> b@1/affine task, seed 0", 0, values={"val/error": 50.0, "val/loss": 2.0}))
    raise InterruptedError


def test_what_was_told_stands_in_the_files_also_after_an_error(tmp_path):
    events = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    with pytest.raises(InterruptedError), writing(tmp_path) as hear:
        stopped(hear)
    read = events.EventAccumulator(str(tmp_path))
    read.Reload()
    tag = "a@1 -> b@1/affine task, seed 0/val/error"
    assert sorted(read.Tags()["scalars"]) == [tag, tag.replace("error", "loss")]
    assert [(e.step, e.value) for e in read.Scalars(tag)] == [(0, 50.0)]


def test_a_missing_package_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with (
        pytest.raises(MissingExtraError, match=r"needs the package tensorboard.*install modelstitch\[tensorboard\]"),
        writing(tmp_path),
    ):
        pass
