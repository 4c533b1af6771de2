"""``modelstitch examples``: which test samples break at which stitches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import common
from .options import asked as options_of

if TYPE_CHECKING:
    import polars as pl

    from ..data.data import Data
    from ..results import Results

_TABLES = {"break": "breaks", "class": "by_class", "difficulty": "difficulty"}
_MOST = 12


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--by",
    type=click.Choice(list(_TABLES)),
    default="break",
    show_default=True,
    help="What to tell: where each sample breaks, the penalty of each class, or how hard samples are for all networks.",
)
@click.option("--control", default="pair", show_default=True, help="Of these stitches; not with --by difficulty.")
@common.shown
@options_of("limit")
@click.option("-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="File for all rows, as CSV.")
@common.speaks(quiet=False)
def examples(folder: Path, by: str, control: str, data_name: str | None, limit: int | None, out: Path | None) -> None:
    """Tell of each test sample of a study folder, or of an exported Parquet file, where it breaks.

    A sample, or a token of a text, breaks where the stitched model is wrong and the top alone is right. Needs no torch
    and no donors; the data, where texts are to be shown.
    """
    from ..support.files import write_text

    found = common.found_in(folder)
    if data_name is not None and by != "break":
        raise click.UsageError("--data shows the texts that break: use it with --by break.")
    if by == "difficulty":
        rows, shown = _by_difficulty(found)
    elif by == "class":
        rows = found.by_class(control)
        shown = rows.sort("low", descending=True)
    else:
        rows, shown = _by_break(found, control, None if data_name is None else common.data_for(data_name, (), limit))
    constant = ("family", "objective", "init", "normalisation", "samples", "control", "unit", "top_right")
    names = [name for name in shown.columns if name not in constant and shown[name].null_count() < shown.height]
    body = [[_text(row[name]) for name in names] for row in shown.head(_MOST).iter_rows(named=True)]
    common.table(names, body, words=("text",))
    if shown.height > _MOST and out is None:
        common.say(f"These are {_MOST} of {rows.height:,} rows: -o FILE.csv has all of them.")
    if out is not None:
        write_text(out, rows.write_csv())
        common.say(f"All rows are in {out}.")
    common.result(rows=rows.to_dicts(), file=out)


def _by_difficulty(found: Results) -> tuple[pl.DataFrame, pl.DataFrame]:
    """How hard samples are for all networks, said beforehand: all rows, and those to show first."""
    from ..report.sentences.samples import of_family

    rows = found.difficulty()
    for remark in of_family(rows):
        common.say(remark.text)
    return rows, rows.sort("broken", "sample", descending=[True, False])


def _by_break(found: Results, control: str, data: Data | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Where samples break that the top gets right, each pair said beforehand."""
    from ..report.sentences.samples import of_pair

    rows = found.breaks(control, data)
    for (bottom, top), own in rows.group_by("bottom", "top", maintain_order=True):
        common.say(f"{bottom} -> {top}")
        for remark in of_pair(own, None):
            common.say(f"  {remark.text}")
    order = ["flipped", "first_depth", "sample"]
    return rows, rows.filter("top_right").sort(order, descending=[True, False, False])


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
