"""``modelstitch train``: what it says of a network that has not learned."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import modelstitch
from modelstitch.cli import cli


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "learned"), [("1", False), ("60", True)])
def test_a_network_at_chance_is_told(tmp_path, steps, learned):
    args = ["train", "small-resnet?width=8", "--steps", steps, "--learning-rate", "0.1", "--out", str(tmp_path)]
    result = CliRunner().invoke(cli, args, catch_exceptions=False)
    assert ("It is hardly better than chance: it has not learned" in result.output) is not learned
    assert "validation error" in result.output


def test_the_precision_is_part_of_what_a_donor_is(tmp_path):
    args = ["train", "small-resnet?width=8", "--steps", "2", "--limit", "64", "--out", str(tmp_path)]
    for precision in ("float32", "bfloat16"):
        CliRunner().invoke(cli, [*args, "--precision", precision], catch_exceptions=False)
    cards = [json.loads(path.read_text()) for path in tmp_path.glob("*/card.json")]
    assert {card["identity"]["recipe"]["precision"] for card in cards} == {"float32", "bfloat16"}


TINY = ["train", "small-resnet?width=4", "--limit", "64"]


def test_a_network_has_a_name_of_yours(tmp_path):
    args = [*TINY, "--steps", "2", "--out", str(tmp_path), "--name", "mine"]
    first, again = (CliRunner().invoke(cli, [*args, "--json", "-q"], catch_exceptions=False).stdout for _ in range(2))
    assert json.loads(first) == json.loads(again)
    assert json.loads(first)["donor"] == str(tmp_path / "mine")
    assert modelstitch.load(str(tmp_path / "mine")).name == "mine"
    other = CliRunner().invoke(cli, [*args, "--seed", "1"])
    assert str(other.exception).startswith(
        f"The donor mine in {tmp_path} was made otherwise: seed (expected 1, found 0)"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_name_is_one_of_a_folder(tmp_path):
    (tmp_path / "taken").mkdir()
    for name, words in (("a/b", "cannot be a folder's"), ("..", "cannot be a folder's"), ("taken", "holds no donor")):
        found = CliRunner().invoke(cli, [*TINY, "--out", str(tmp_path), "--name", name])
        assert words in str(found.exception)


def test_a_dry_run_trains_nothing(tmp_path):
    args = [*TINY, "--steps", "1000000", "--out", str(tmp_path / "none"), "--dry-run"]
    told = CliRunner().invoke(cli, args, catch_exceptions=False).output
    assert "1,000,000 steps of 64 samples" in told
    assert "Time: about" in told
    assert not (tmp_path / "none").exists()


def test_checkpoints_are_kept_and_named_by_their_step(tmp_path):
    args = [*TINY, "--steps", "6", "--out", str(tmp_path), "--name", "run", "--checkpoints", "4,2"]
    told = " ".join(CliRunner().invoke(cli, args, catch_exceptions=False).output.split())
    folder = tmp_path / "run"
    assert f"Its checkpoints are {folder}?step=2, {folder}?step=4." in told
    early, late = (modelstitch.load(f"{folder}?step={step}") for step in (2, 4))
    assert (early.name, late.name) == ("run-step2", "run-step4")
    assert ", step 2, sha256" in early.weights
    assert early.fingerprint != late.fingerprint != modelstitch.load(str(folder)).fingerprint
    with pytest.raises(modelstitch.StitchError, match=r"no checkpoint of step 3: found \[2, 4\]"):
        modelstitch.load(f"{folder}?step=3")


@pytest.mark.parametrize(
    ("steps", "words"), [("2,many", "expected steps such as 10,40,160"), ("9", "outside the recipe's steps 1 to 6")]
)
def test_checkpoints_that_cannot_be_are_refused(tmp_path, steps, words):
    result = CliRunner().invoke(cli, [*TINY, "--steps", "6", "--out", str(tmp_path), "--checkpoints", steps])
    assert result.exit_code
    assert words in " ".join(f"{result.output} {result.exception}".split())
