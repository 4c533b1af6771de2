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
