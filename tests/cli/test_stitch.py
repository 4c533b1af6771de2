"""``modelstitch stitch``: one seam, measured and kept."""

import re

import pytest

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
