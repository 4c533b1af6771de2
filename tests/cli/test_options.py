"""Options that are made of fields: how their text is read."""

import click
import pytest
from click.testing import CliRunner

from modelstitch.cli.options import FIT, GRID, asked


def read(*args):
    """The keywords that a command of all options is called with."""
    found = {}

    @click.command()
    @asked(*GRID, *FIT, "limit")
    def command(**keywords):
        found.update(keywords)

    result = CliRunner().invoke(command, args)
    return found if result.exit_code == 0 else result.output


def test_what_is_not_said_has_the_default_of_the_field():
    found = read()
    assert (found["family"], found["objective"], found["layers"], found["controls"]) == (
        ("affine",),
        ("task",),
        "matching",
        None,
    )
    assert (found["steps"], found["both"], found["samples"], found["expected_error"]) == (640, True, None, None)
    assert (found["downstream"], found["limit"], found["cache"]) == ("all", None, 0.0)


@pytest.mark.parametrize(
    ("args", "keyword", "value"),
    [
        (["--family", "conv:3", "--family", "mlp:8"], "family", ("conv:3", "mlp:8")),
        (["--layers", "all"], "layers", "all"),
        (["--layers", "block1", "--layers", "a -> b"], "layers", ("block1", "a -> b")),
        (["--control", "self", "--control", "random"], "controls", ("self", "random")),
        (["--one-way"], "both", False),
        (["--fit-samples", "100"], "samples", 100),
        (["--fit-samples", "100,1000"], "samples", [100, 1000]),
        (["--no-augment"], "augment", False),
        (["--learning-rate", "0.5"], "learning_rate", 0.5),
        (["--downstream", "penultimate"], "downstream", "penultimate"),
        (["--downstream", "a,output"], "downstream", ("a", "output")),
        (["--expected-error", "8.5"], "expected_error", 8.5),
        (["--expected-error", "a=8.5", "--expected-error", "b=3"], "expected_error", {"a": 8.5, "b": 3.0}),
        (["--positions", "7"], "positions", 7),
    ],
)
def test_what_is_said(args, keyword, value):
    assert read(*args)[keyword] == value


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--steps", "0"], "0 is not in the range x>=1"),
        (["--learning-rate", "0"], "0.0 is not in the range x>0"),
        (["--init", "zeros"], "is not one of 'closed', 'random'"),
        (["--control", "luck"], "is not one of 'self', 'other-seed'"),
        (["--fit-samples", "many"], "expected numbers of examples such as 1000"),
        (["--expected-error", "a=b"], "expected a number such as 8.5"),
        (["--expected-error", "1", "--expected-error", "a=2"], "expected one number for all networks"),
    ],
)
def test_what_cannot_be_read(args, words):
    assert words in " ".join(read(*args).split())
