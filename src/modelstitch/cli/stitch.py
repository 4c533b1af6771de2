"""``modelstitch stitch BOTTOM@LAYER TOP@LAYER``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..study.question import FAMILY, OBJECTIVE
from . import common


@click.command()
@click.argument("bottom")
@click.argument("top")
@click.option(
    "--data", "data_name", default="digits", show_default=True, help="digits, parquet:DIR, folder:DIR, text:FILE, ..."
)
@common.weights_of("bottom")
@common.weights_of("top")
@common.random_weights
@click.option("--limit", type=click.IntRange(1), help="Read at most so many samples of each part of the data.")
@common.imports
@common.views
@common.fitting
@common.expected
@common.shared(out=None)
def stitch(
    bottom: str, top: str, data_name: str, bottom_weights: Path | None, top_weights: Path | None, random_weights: bool,
    limit: int | None,
    families: tuple[str, ...], objectives: tuple[str, ...], seed: int, device: str, out: Path | None, **fit: Any,
) -> None:  # fmt: skip
    """Fit and measure one seam: BOTTOM@LAYER under TOP@LAYER. --out keeps the map and its record."""
    from ..api import stitch as fit_stitch

    for option, given in (("--family", families), ("--objective", objectives), ("--fit-samples", fit.get("samples"))):
        if isinstance(given, tuple | list) and len(given) > 1:
            words = ", ".join(map(str, given))
            raise click.UsageError(f"One stitch takes one {option}, found {words}: modelstitch compare takes several.")
    (below, below_layer), (above, above_layer) = common.split_seam_end(bottom), common.split_seam_end(top)
    data = common.data_for(data_name, (below, above), limit)
    lower, upper = common.two(below, bottom_weights, above, top_weights, data, random=random_weights)
    with common.progress() as tell:
        result = fit_stitch(
            lower, upper, (below_layer, above_layer), data, family=(families or (FAMILY,))[-1],
            objective=(objectives or (OBJECTIVE,))[-1], seed=seed, device=device, tell=tell, **common.fit_values(**fit),
        )  # fmt: skip
    assert result.record is not None
    rows = [
        [m.name, f"{m.known:.4g}", "" if m.low is None else f"[{m.low:.4g}, {m.high:.4g}]", m.unit]
        for m in result.record.metrics
    ]
    common.table(["metric", "value", "95 % interval", "unit"], rows, result.seam)
    for note in result.record.notes:
        if not note.startswith("caution: "):
            common.say(f"note: {note}")
    common.cautions(result.record.notes)
    if out is not None:
        result.save(out)
        common.say(f"The stitch is in {out}.")
