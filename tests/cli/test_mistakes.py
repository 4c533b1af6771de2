"""What a user's mistake looks like on the command line: one sentence on stderr, exit code 2, nothing lost."""

import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from commands import run
from modelstitch import cli
from modelstitch.errors import StitchError
from modelstitch.study.store import Store

NET = "zoo:small-resnet?width=4"
ONE_SEAM = ["stitch", f"{NET}@block1", f"{NET}@block1", "--steps", "1"]


@pytest.fixture
def one_class(tmp_path):
    folder = tmp_path / "images" / "only"
    folder.mkdir(parents=True)
    for i in range(12):
        Image.new("RGB", (8, 8), (i, i, i)).save(folder / f"{i}.png")
    return f"folder:{folder.parent}"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([*ONE_SEAM[:1], f"{NET}@blok1", f"{NET}@block1"], "has no layer 'blok1': did you mean 'block1'"),
        (["stitch", f"{NET}@block1.conv1", f"{NET}@block1"], "is not an exact cut: bypassed by"),
        ([*ONE_SEAM, "--family", "conv:3", "--family", "mlp:8"], "One stitch takes one --family, found conv:3, mlp:8"),
        ([*ONE_SEAM, "--fit-samples", "10,20"], "One stitch takes one --fit-samples, found 10, 20"),
        (["stitch", NET, NET], "names no layer: expected MODEL@LAYER"),
        (["compare", "zoo:small-resnett", NET], "did you mean 'small-resnet'"),
        (["compare", NET, NET, "--data", "digitz"], "'digitz' is not known: expected one of digits"),
        (["compare", NET, NET, "--data", "folder:nowhere"], "nowhere"),
        (["layers", "nothing:here"], "nothing"),
        (["status", "nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_one_sentence(monkeypatch, capfd, tmp_path, args, words):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(monkeypatch, capfd, *args)
    assert code == 2
    assert words in err
    assert "Traceback" not in err


X = np.random.default_rng(0).normal(size=(60, 1, 8, 8)).astype("float32")
Y = X[:, 0, 0, 0].copy()


@pytest.mark.parametrize(
    ("arrays", "task", "words"),
    [
        ({"y": np.where(Y > 1, np.nan, Y)}, "regression", "hold NaN or infinity, the first is at place"),
        ({"y": np.ones(60)}, "regression", "are 1 (the label): expected numbers that differ"),
        ({"y": Y}, "multi-label", "are not 0 and 1 for each label of a sample"),
        ({"y": Y}, "retrieval", "expected integers, ids; number them"),
        ({"y": np.arange(60)}, "retrieval", "put what belongs to every query into the fit split, which is the gallery"),
        ({"y": np.arange(60) % 3}, "retrieval:900", "items: expected 900 at least, as many as are looked at (k)"),
        ({"y": Y[:20]}, "regression", "has 60 inputs and 20 labels: expected one label for each input"),
        ({"y": Y, "ids": np.arange(60), "label_ids": np.arange(60)[::-1]}, "regression", "are in different orders"),
        ({"y": Y.astype("complex64")}, "regression", "holds complex64: expected numbers"),
        ({"y": np.array(["a", "b"] * 30)}, "regression", "holds <U1: expected numbers"),
    ],
    ids=["NaN", "constant", "several", "no ids", "not in the gallery", "k", "fewer", "order", "complex", "texts"],
)
def test_arrays_that_a_task_cannot_take(monkeypatch, capfd, tmp_path, arrays, task, words):
    monkeypatch.chdir(tmp_path)
    np.savez("own.npz", x=X, **arrays)
    args = ["stitch", f"{NET}@block1", f"{NET}@block1", "--data", "arrays:own.npz", "--task", task]
    code, _, err = run(monkeypatch, capfd, *args, "--objective", "match")
    assert code == 2
    assert words in " ".join(err.split())


def test_data_of_one_class(monkeypatch, capfd, tmp_path, one_class):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(monkeypatch, capfd, *ONE_SEAM, "--data", one_class)
    assert code == 2
    assert "expected two or more, one for each class" in err


def test_an_output_folder_that_cannot_be(monkeypatch, capfd, tmp_path):
    (tmp_path / "file").write_text("precious")
    code, _, err = run(monkeypatch, capfd, "compare", NET, NET, "--out", str(tmp_path / "file" / "x"))
    assert code == 2
    assert "choose another folder" in err
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.slow
@pytest.mark.parametrize(
    "other", [["--steps", "2"], ["--steps", "1", "--no-adapt-rate"], ["--steps", "1", "--precision", "bfloat16"]]
)
def test_a_folder_of_another_study(monkeypatch, capfd, tmp_path, other):
    common = ["compare", NET, NET, "--layers", "block1", "--control", "none", "--one-way", "--out", str(tmp_path / "c")]
    assert run(monkeypatch, capfd, *common, "--steps", "1")[0] == 0
    before = {p: p.read_bytes() for p in (tmp_path / "c").rglob("*") if p.is_file()}
    code, _, err = run(monkeypatch, capfd, *common, *other)
    assert code == 2
    assert "was made by another study: expected fit" in err
    assert {p: p.read_bytes() for p in (tmp_path / "c").rglob("*") if p.is_file()} == before


def test_ctrl_c_says_what_stays(monkeypatch, capfd):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("modelstitch.data.load.load_data", interrupt)
    code, _, err = run(monkeypatch, capfd, *ONE_SEAM)
    assert code == 130
    assert "what is finished is kept, the same command continues" in err


def test_verbose_shows_where_a_mistake_comes_from(monkeypatch, capfd, tmp_path):
    monkeypatch.chdir(tmp_path)
    said = run(monkeypatch, capfd, "compare", NET, NET, "--data", "digitz", "-v")
    assert said[0] == 2
    assert "Traceback" in said[2]
    assert said[2].rstrip().splitlines()[-1].startswith("modelstitch: ")


def test_nobody_reads_what_is_printed(tmp_path):
    Store(tmp_path, {"name": "s"})
    command = [sys.executable, "-m", "modelstitch", "status", tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        told = process.stderr.read()
        assert process.wait() == 141
    assert told == ""


def test_an_error_of_its_own_has_a_traceback(monkeypatch, capfd):
    def fail(*_, **__):
        raise RuntimeError("a fault")

    monkeypatch.setattr("modelstitch.data.load.load_data", fail)
    monkeypatch.setattr(sys, "argv", ["modelstitch", *ONE_SEAM])
    with pytest.raises(RuntimeError, match="a fault"):  # the interpreter prints it, and ends with 1
        cli.main()


@pytest.mark.parametrize("made", [ValueError("Invalid affine matrix"), StitchError("The network cannot be traced.")])
def test_an_interrupt_of_which_a_library_makes_another_error_is_one(monkeypatch, capfd, made):
    def work(**_):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise made from None

    monkeypatch.setattr(cli.cli, "main", work)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background start with another
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == 130
    assert capfd.readouterr().err == (
        "modelstitch: interrupted; what is finished is kept, the same command continues.\n"
    )
