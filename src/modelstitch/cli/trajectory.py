"""``modelstitch trajectory``: bottoms as times of one training."""

from __future__ import annotations

from pathlib import Path

import click

from . import common


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--time",
    "times",
    multiple=True,
    metavar="NAME=STEP",
    help="When a network was in its training; by default checkpoints of this package's own training tell.",
)
@common.figure()
@common.speaks(quiet=False)
def trajectory(folder: Path, times: tuple[str, ...], out: Path | None) -> None:
    """Say from when on each layer of a training serves each top of a study folder. Needs no torch and no donors."""
    found = common.found_in(folder)
    own = found.trajectory(_times(times) if times else None)
    for sentence in own.sentences:
        common.say(sentence)
    if out is not None:
        common.say(f"The figure is {own.draw(out)}.")
    common.result(rows=own.frame.to_dicts(), settled=own.settled.to_dicts(), figure=out)


def _times(given: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for text in given:
        name, equals, time = text.rpartition("=")
        try:
            found[name] = float(time)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise click.BadParameter(
                f"expected NAME=STEP such as run-step40=40, found {text!r}.", param_hint="'--time'"
            )
    return found
