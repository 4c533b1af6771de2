"""``modelstitch similarity BOTTOM TOP``."""

from __future__ import annotations

from pathlib import Path

import click

from . import common


@click.command()
@click.argument("bottom")
@click.argument("top")
@click.option(
    "--data", "data_name", default="digits", show_default=True, help="digits, parquet:DIR, folder:DIR, text:FILE, ..."
)
@click.option("--bottom-weights", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--top-weights", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--measure", "measures", multiple=True, help="cka (default), cca, procrustes, r2, ... May be repeated.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A .csv file for all values.")
def similarity(
    bottom: str, top: str, data_name: str, bottom_weights: Path | None, top_weights: Path | None,
    measures: tuple[str, ...], out: Path | None,
) -> None:  # fmt: skip
    """Similarity of every block of BOTTOM with every block of TOP, each value beside its null level."""
    from ..layerwise import similarity as measure_all

    data = common.data_for(data_name, (bottom, top))
    lower, upper = common.network(bottom, bottom_weights, data), common.network(top, top_weights, data)
    frame = measure_all(lower, upper, data=data, measures=list(measures or ("cka",))).frame
    for name in frame["measure"].unique(maintain_order=True):
        part = frame.filter(measure=name)
        columns = part["top_layer"].unique(maintain_order=True).to_list()
        body = []
        for below in part["bottom_layer"].unique(maintain_order=True):
            row = {r["top_layer"]: r["value"] for r in part.filter(bottom_layer=below).iter_rows(named=True)}
            body.append([below, *("-" if row.get(c) is None else f"{row[c]:.3f}" for c in columns)])
        common.table([f"{lower.name} (down) / {upper.name} (right)", *columns], body, name)
    if out is not None:
        frame.write_csv(out)
        click.echo(f"All values, with their null levels, are in {out}.")
