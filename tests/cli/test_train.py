"""``modelstitch train``: what it says of a network that has not learned."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

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
