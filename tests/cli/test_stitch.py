"""``modelstitch stitch``: one seam, measured and kept."""

import re

import numpy as np
import pytest
import torch

import modelstitch as ms
from commands import run
from modelstitch import Stitched

NET = "zoo:small-resnet?width=4&blocks=2"
QUICK = ("--objective", "match", "--limit", "150", "--device", "cpu", "--random-weights")


@pytest.mark.slow
def test_a_seam_is_measured_and_kept(monkeypatch, capsys, tmp_path):
    out = tmp_path / "s"
    code, told, _ = run(
        monkeypatch,
        capsys,
        "stitch",
        f"{NET}@block1",
        f"{NET}@block2",
        *QUICK,
        "--family",
        "low-rank:2",
        "--out",
        str(out),
    )
    assert not code, told
    words = " ".join(told.split())
    assert re.search(r"penalty │ \S+ │ \[[^]]*\] │ points", words), told
    assert f"The stitch is in {out}" in words
    kept = Stitched.load(out)
    assert kept.record.family == "low-rank:2"
    assert f"{kept.penalty:.4g}" in words


@pytest.mark.parametrize(
    ("ends", "options", "words"),
    [
        (
            ("@block1", "@block2"),
            ("--family", "affine", "--family", "identity"),
            "One stitch takes one --family, found affine, identity: modelstitch compare takes several",
        ),
        (("@block1", "@nothing"), (), "has no layer 'nothing'"),
        (("", "@block2"), (), "LAYER"),
    ],
)
def test_mistakes_are_one_sentence(monkeypatch, capsys, ends, options, words):
    code, _, told = run(monkeypatch, capsys, "stitch", f"{NET}{ends[0]}", f"{NET}{ends[1]}", *QUICK, *options)
    assert code == 2
    assert words in " ".join(told.split())
    assert "Traceback" not in told


SMALL = "zoo:small-resnet?width=4&blocks=2&in_channels=1"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "task", "metric", "words"),
    [
        ("digits", ("--task", "embedding"), (), "cosine distance"),
        ("digits", ("--task", "retrieval:3"), (), "points of recall@3"),
        ("digits", (), ("--metric", "top-5"), "points of top-5"),
        ("own", ("--task", "multi-label"), ("--metric", "any-wrong"), "points of samples"),
    ],
)
def test_a_task_and_a_metric_by_name(monkeypatch, capsys, tmp_path, data, task, metric, words):
    traits = ms.load_data("digit-traits", limit=150)
    whole = [traits.chosen(s, torch.arange(traits.size(s))) for s in ("fit", "val", "test")]
    np.savez(
        tmp_path / "own.npz",
        inputs=torch.cat([part.inputs for part in whole]).numpy(),
        labels=torch.cat([part.labels for part in whole]).numpy(),
    )
    spec = "digits" if data == "digits" else f"arrays:{tmp_path / 'own.npz'}"
    ends = f"{SMALL}@block1", f"{SMALL}@block2"
    code, told, err = run(monkeypatch, capsys, "stitch", *ends, *QUICK, "--data", spec, *task, *metric)
    assert not code, err
    assert words in " ".join(told.split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--task", "regressoin"), "The task 'regressoin' is unknown: expected 'classification'"),
        (("--task", "dense"), "are no maps"),
        (("--task", "multi-label"), "are not 0 and 1 for each label"),
        (("--metric", "absolut"), "The metric 'absolut' is unknown: did you mean 'absolute'"),
        (("--metric", "absolute"), "The metric 'absolute' is none of these labels"),
        (("--data", "arrays:none.npz"), "'none.npz' cannot be read"),
    ],
)
def test_tasks_that_do_not_do_are_one_sentence(monkeypatch, capsys, options, words):
    code, _, told = run(monkeypatch, capsys, "stitch", f"{SMALL}@block1", f"{SMALL}@block2", *QUICK, *options)
    assert code == 2
    assert words in " ".join(told.split())
    assert "Traceback" not in told
