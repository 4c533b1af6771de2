"""``modelstitch align``: what it prints and writes, and what it refuses."""

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from modelstitch.arrays import Aligner
from modelstitch.cli import cli
from modelstitch.errors import StitchError


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    old = rng.normal(size=(300, 8)).astype(np.float32)
    new = (old @ rng.normal(size=(8, 8)) + 0.1 * rng.normal(size=(300, 8))).astype(np.float32)
    np.save(tmp_path / "old.npy", old)
    np.save(tmp_path / "new.npy", new)
    return tmp_path


def align(files, *more):
    names = [str(files / name) for name in ("old.npy", "new.npy")]
    out = ["--out", str(files / "out")]
    return CliRunner().invoke(
        cli, ["align", *names, "--queries", "50", "--k", "1,10", *out, *more], catch_exceptions=False
    )


def test_it_prints_a_table_a_sentence_and_a_time_and_keeps_the_map(files):
    done = align(files, "--pairs", "30,200", "--family", "affine", "--family", "low-rank:2")
    assert done.exit_code == 0
    for words in (
        "old gallery mapped affine (shuffled pairs)",
        "Of the 10 nearest that embedding all anew finds, the old gallery mapped by affine (200 pairs) keeps 9",
        "A query through affine takes ",
        "times the bare product of a matrix with a vector",
    ):
        assert words in done.output
    frame = pl.read_csv(files / "out" / "recall.csv")
    assert set(frame["pairs"].drop_nulls()) == {30, 200}
    assert Aligner.load(files / "out" / "affine.safetensors").n_samples_seen_ == 200
    assert Aligner.load(files / "out" / "low-rank-2.safetensors").family == "low-rank:2"
    page = (files / "out" / "report.html").read_text()
    assert "<svg" in page
    assert "300 x 8 float32" in page


def test_ids_that_differ_are_refused(files):
    np.save(files / "a.npy", np.arange(300))
    np.save(files / "b.npy", np.arange(300)[::-1])
    with pytest.raises(StitchError, match="The rows of both arrays are in another order"):
        align(files, "--ids", str(files / "a.npy"), str(files / "b.npy"))
    (files / "a.npy").write_text("1 2 3")
    with pytest.raises(StitchError, match=r"The ids .*a\.npy cannot be read"):
        align(files, "--ids", str(files / "a.npy"), str(files / "b.npy"))
    assert not (files / "out").exists()


def test_numbers_are_read_with_commas(files):
    done = CliRunner().invoke(cli, ["align", "a.npy", "b.npy", "--pairs", "ten"])
    assert done.exit_code == 2
    assert "expected whole numbers such as 10,100,1000, found 'ten'" in done.output


def test_a_dry_run_says_what_it_takes_and_writes_nothing(files):
    done = align(files, "--pairs", "30,200", "--family", "affine", "--family", "mlp", "--dry-run")
    assert done.exit_code == 0
    assert "300 samples of 8 and 8 numbers: 50 held out as queries" in done.output
    assert "4 maps to fit, and 2 maps to shuffled pairs" in done.output
    assert not (files / "out").exists()
    with pytest.raises(StitchError, match="did you mean 'affine'"):
        align(files, "--family", "afine", "--dry-run")
