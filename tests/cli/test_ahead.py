"""Every command that works says first what it takes; --dry-run does no more, --quiet does not say it."""

import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from modelstitch.cli import _COMMANDS, cli
from modelstitch.zoo import demo
from modelstitch.zoo.donors import DonorSpec
from modelstitch.zoo.train import Recipe

NET = "small-resnet?width=4&blocks=2"
SHORT = ("--limit", "100", "--device", "cpu")
FAST = ("--layers", "block2", "--objective", "match", "--control", "none", *SHORT)
ALIKE = ("--bottom-layer", "block1", "--top-layer", "block*", "--shuffles", "2", *SHORT)
STUDY = """
name = "tiny"
data = "digits"
layers = ["block2"]
objectives = ["match"]
controls = []
pairs = [["a", "b"]]
donors = {a = "d/a", b = "d/b"}
"""

# {command: what follows it}; READERS are answered at once, and say nothing before.
WORKERS = {
    "train": (NET, "--steps", "4", "--name", "c", "--out", "OUT"),
    "stitch": ("d/a@block2", "d/b@block2", "--objective", "match", *SHORT, "--out", "OUT"),
    "tune": ("s", "--steps", "9", "--limit", "100", "--out", "OUT"),
    "compare": ("d/a", "d/b", *FAST, "--out", "OUT"),
    "similarity": ("d/a", "d/b", *ALIKE, "--out", "OUT"),
    "matrix": ("d/a", "d/b", *ALIKE, "--out", "OUT"),
    "align": ("old.npy", "new.npy", "--queries", "50", "--k", "1,10", "--out", "OUT"),
    "front": ("run", "d/a", "d/b", "--rounds", "1", "-o", "OUT.svg"),
    "run": ("study.toml", "--limit", "100", "--device", "cpu", "--out", "OUT"),
    "demo": ("--device", "cpu", "--out", "OUT"),
    "paper": ("4", "--scale", "smoke", "--device", "cpu", "--out", "OUT"),
}
READERS = {"layers", "status", "report", "gc", "figure", "examples", "trajectory", "diff", "export", "doctor"}
RUN = [name for name in WORKERS if name != "paper"]  # which takes minutes; tests/paper run its figures


def invoked(*args):
    done = CliRunner().invoke(cli, args, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two donors, a stitch, a study folder and its declaration, and two arrays."""
    folder = tmp_path_factory.mktemp("ahead")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for seed, name in enumerate("ab"):
            invoked("train", NET, "--steps", "4", "--name", name, "--seed", str(seed), "--out", "d", "-q")
        invoked("stitch", "d/a@block2", "d/b@block2", "--objective", "match", *SHORT, "--out", "s", "-q")
        invoked("compare", "d/a", "d/b", *FAST, "--out", "run", "-q")
        old = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
        np.save("old.npy", old)
        np.save("new.npy", old + 1)
        (folder / "study.toml").write_text(STUDY)
    return folder


@pytest.fixture
def place(made, monkeypatch, tmp_path):
    """Where commands run: a demo of a few steps, and a folder of its own for what they write."""
    monkeypatch.chdir(made)
    specs = [
        DonorSpec("small-resnet?width=4&blocks=1", Recipe(steps=3, lr=0.05, batch_size=32), seed=i, name=name)
        for i, name in enumerate(("seed A", "seed B", "SimCLR"))
    ]
    monkeypatch.setattr(demo, "donor_specs", lambda seed: specs)
    monkeypatch.setattr(demo, "FIT", {"steps": 1, "eval_every": 1, "samples": 100})
    return tmp_path


def command(name, place):
    return [name, *(word.replace("OUT", str(place / "out")) for word in WORKERS[name])]


def test_every_command_is_in_the_table():
    assert set(WORKERS) | READERS == set(_COMMANDS)
    for name in WORKERS:
        flags = {flag for option in cli.get_command(None, name).params for flag in option.opts}
        assert {"--dry-run", "--quiet", "--json"} <= flags, name


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKERS)
def test_a_dry_run_says_all_and_leaves_nothing(place, name):
    said = invoked(*command(name, place), "--dry-run").output
    counted = r"\d+ (cells?|maps?|stitch(es)?|networks?|trainings?)\b"
    for what in (counted, r"pass|step|samples that are read", r"Memory: up to \S+ [kMG]?B", r"Time: about [\d.]+ \w+"):
        assert re.search(what, said), (what, said)
    assert re.search(r"Nothing was \w+(, \w+)? or written", said)
    assert list(place.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_work_begins_with_what_it_takes_and_goes_on_in_plain_lines(place, name):
    told = invoked(*command(name, place)).stderr
    first = next(line for line in told.splitlines() if ": weights " not in line)
    assert re.match(r"To run: \d.* memory up to .* about [\d.]+ \w+ here\.$", first)
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", told)  # no colours, nothing written over


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_quiet_leaves_the_result_alone(place, name):
    done = invoked(*command(name, place), "--quiet")
    assert [line for line in done.stderr.splitlines() if "caution" not in line] == []
    assert "To run" not in done.stdout
    assert done.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train", "stitch", "tune"])
def test_what_is_measured_beforehand_changes_no_number(place, name):
    kept = []
    for more in ((), ("--quiet",)):  # which measures nothing
        folder = place / f"{len(kept)}"
        folder.mkdir()
        invoked(*command(name, folder), *more)
        kept.append({path.name: load_file(path) for path in folder.rglob("*.safetensors")})
    assert kept[0].keys() == kept[1].keys() != set()
    for file, tensors in kept[0].items():
        assert all(torch.equal(value, kept[1][file][key]) for key, value in tensors.items()), file
