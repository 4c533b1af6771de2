"""``modelstitch demo``."""

from __future__ import annotations

from pathlib import Path

import click

from ..engine.controls import CONTROLS
from . import common


@click.command()
@common.dry_run
@common.speaks()
@common.shared(out="runs/demo")
def demo(dry_run: bool, seed: int, device: str, out: Path) -> None:
    """Train three small donors on digits, stitch every block in both directions with controls, write the report.

    Everything is kept in --out: the same command again does only what is missing.
    """
    from ..api import compare, plan_compare
    from ..report.sentences.findings import spoken
    from ..zoo.demo import FIT, PAIRS, make_donors, training_ahead, untrained

    asked = {**FIT, "pairs": PAIRS, "controls": [name for name, control in CONTROLS.items() if control.demo]}
    asked["starts"] = 1  # of class-noise: all is to be done in a minute
    if dry_run:
        data, networks = untrained(seed)
        needs = plan_compare(networks, data=data, seeds=(seed,), device=device, **asked)
        common.dry(training_ahead(out, seed), needs)
        return
    common.ahead(lambda: training_ahead(out, seed))
    with common.progress() as tell:
        data, donors, networks = make_donors(out, seed=seed, tell=tell)
        result = compare(networks, data=data, seeds=(seed,), out=out / "study", device=device, tell=tell, **asked)
    for network, made in zip(networks, donors):
        common.say(f"{network.name}: test error {made.card['test_error']:.1f} %")
    common.penalty_tables(result.records)
    for line in spoken(result.frame):
        common.say(line)
    command = f"modelstitch demo --seed {seed}"
    path = result.report(
        out / "report.html", title="Three small networks on handwritten digits", command=command, data=data
    )
    common.say(f"The report is {path}.")
    common.answer(result, path)
