"""``modelstitch train``: what it says of a network that has not learned."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from modelstitch.cli import cli


@pytest.mark.parametrize(("steps", "learned"), [("1", False), ("60", True)])
def test_a_network_at_chance_is_told(tmp_path, steps, learned):
    args = ["train", "small-resnet?width=8", "--steps", steps, "--learning-rate", "0.1", "--out", str(tmp_path)]
    result = CliRunner().invoke(cli, args, catch_exceptions=False)
    assert ("It is hardly better than chance: it has not learned" in result.output) is not learned
    assert "validation error" in result.output
