"""A misspelt command or option is answered with the one that is meant."""

import pytest
from click.testing import CliRunner

from modelstitch.cli import cli


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["trian", "x"], "No such command 'trian': did you mean 'train'?"),
        (["sim", "a", "b"], "did you mean 'similarity'?"),
        (["abracadabra"], "No such command 'abracadabra': see modelstitch --help."),
        (["train", "x", "--lr", "1"], "No such option '--lr': did you mean --learning-rate?"),
        (["train", "x", "--epochs", "1"], "did you mean --steps?"),
        (["compare", "a", "b", "--famly", "affine"], "did you mean --family?"),
        (["compare", "a", "b", "--gpu"], "did you mean --device?"),
        (["compare", "a", "b", "--fit_samples", "9"], "did you mean --fit-samples?"),
        (["compare", "a", "b", "--std-top", "9"], "did you mean --top-std"),
        (["compare", "a", "b", "--abracadabra"], "No such option '--abracadabra': --help lists all."),
    ],
)
def test_the_nearest_is_named(args, words):
    found = CliRunner().invoke(cli, args)
    assert found.exit_code == 2
    assert words in " ".join(found.output.split())
