"""--mean and --std: how raw images are normalised, for both networks or for one."""

import click
import pytest
from click.testing import CliRunner

from commands import run
from modelstitch.cli import common

NET = "zoo:small-resnet?width=4"


@click.command()
@common.views
def probe():
    click.echo(" | ".join(repr(common._view(side)) for side in ("bottom", "top")))


BOTH = "Normalise(mean=(0.5,), std=(0.25,))"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("", "None | None"),
        ("--mean 0.5 --std 0.25", f"{BOTH} | {BOTH}"),
        ("--bottom-mean 0.5 --bottom-std 0.25", f"{BOTH} | None"),
        (
            "--mean 0.5 --std 0.25 --top-mean 0,0.1,0.2 --top-std 1",
            f"{BOTH} | Normalise(mean=(0.0, 0.1, 0.2), std=(1.0, 1.0, 1.0))",
        ),
    ],
)
def test_views_of_either_side(options, told):
    assert CliRunner().invoke(probe, options.split()).output.strip() == told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--mean 0.5", "--mean and --std belong together: expected both, found one."),
        ("--top-std 0.5", "--top-mean and --top-std belong together"),
        (
            "--mean grey --std 1",
            "expected numbers such as 0.5 or 0.485,0.456,0.406 (of images in [0, 1]), found 'grey'.",
        ),
    ],
)
def test_mistakes(options, told):
    found = CliRunner().invoke(probe, options.split())
    assert found.exit_code == 2
    assert told in " ".join(found.output.split())


@pytest.mark.slow
def test_a_command_takes_them(monkeypatch, capsys):
    seam = [f"{NET}@block1", f"{NET}@block1", "--objective", "match", "--device", "cpu"]
    same = run(monkeypatch, capsys, "stitch", *seam, "--mean", "0.3", "--std", "0.4")
    apart = run(monkeypatch, capsys, "stitch", *seam, "--bottom-mean", "0.3", "--bottom-std", "0.4")
    assert same[0] == apart[0] == 0
    assert "(bottom)" not in same[1]
    assert "(bottom)" in apart[1]  # seen in two ways, they are two networks
    code, _, told = run(monkeypatch, capsys, "stitch", *seam, "--mean", "0.3,0.3,0.3", "--std", "0.4")
    assert code == 2
    assert "takes 1 channels, the mean has 3 numbers" in " ".join(told.split())
