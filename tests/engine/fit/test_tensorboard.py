"""Curves in TensorBoard's own files: read back by its own reader."""

import importlib
import sys

import pytest

from modelstitch.engine.fit.tensorboard import watching
from modelstitch.errors import MissingExtraError


def test_without_a_folder_nobody_listens():
    with watching(None) as watch:
        assert watch is None


def stopped(watch):
    watch("a@1 -> b@1/affine task, seed 0", 0, {"val/error": 50.0, "val/loss": 2.0})
    raise InterruptedError


def test_what_was_told_stands_in_the_files_also_after_an_error(tmp_path):
    events = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    with pytest.raises(InterruptedError), watching(tmp_path) as watch:
        stopped(watch)
    read = events.EventAccumulator(str(tmp_path))
    read.Reload()
    tag = "a@1 -> b@1/affine task, seed 0/val/error"
    assert sorted(read.Tags()["scalars"]) == [tag, tag.replace("error", "loss")]
    assert [(e.step, e.value) for e in read.Scalars(tag)] == [(0, 50.0)]


def test_a_missing_package_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with (
        pytest.raises(MissingExtraError, match=r"needs the package tensorboard.*install modelstitch\[tensorboard\]"),
        watching(tmp_path),
    ):
        pass
