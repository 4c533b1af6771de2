"""``modelstitch align OLD NEW``."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from . import common

_numbers = common.numbers("whole numbers such as 10,100,1000", most=10**12)


@click.command()
@click.argument("old", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("new", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--family",
    "families",
    multiple=True,
    help="Family of the map: affine, orthogonal, low-rank:RANK, mlp, ...; affine by default. May be repeated.",
)
@click.option("--pairs", callback=_numbers, metavar="N,N,...", help="Pairs to fit to; all but the queries by default.")
@click.option(
    "--anchors",
    type=click.Choice(["random", "k-means", "farthest"]),
    default="random",
    show_default=True,
    help="How pairs to fit to are chosen, by the old embeddings.",
)
@click.option("--queries", type=click.IntRange(2), default=1000, show_default=True, help="Samples held out as queries.")
@click.option(
    "--k", callback=_numbers, default="1,10,100", show_default=True, metavar="K,K,...", help="Numbers of neighbours."
)
@click.option(
    "--metric",
    type=click.Choice(["cosine", "dot", "euclidean"]),
    default="cosine",
    show_default=True,
    help="What is near.",
)
@click.option(
    "--ids",
    nargs=2,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="OLD_IDS NEW_IDS",
    help="Ids of the rows, as .npy files; a Parquet file brings its own in a column 'id'.",
)
@common.seed
@common.folder("runs/align")
@common.dry_run
@common.speaks()
def align(
    old: Path,
    new: Path,
    families: tuple[str, ...],
    pairs: tuple[int, ...] | None,
    ids: tuple[Path, Path] | None,
    dry_run: bool,
    seed: int,
    out: Path,
    **asked: Any,
) -> None:
    """Map the embeddings OLD of one model into the space of another's, NEW, and say what a search keeps.

    OLD and NEW are .npy or Parquet files with a row for each sample, in the same order. Prints the recall of searches
    without embedding anew, and what a query takes; writes recall.csv, report.html and each fitted map to the --out
    folder.
    """
    from ..arrays import query_time, rehearse
    from ..arrays.given import paired, vectors
    from ..arrays.rehearsal import foretell_rehearsal
    from ..report.align import align_page, align_tables, summary
    from ..stitchers.families import family_of
    from ..support.files import write_text

    below, above = ids or (None, None)
    one, two = vectors(old, "the old embeddings", below), vectors(new, "the new embeddings", above)
    paired(one, two)
    asked |= {"family": families or ("affine",), "pairs": pairs, "seed": seed}
    for family in asked["family"]:
        family_of(family)
    foretold = partial(foretell_rehearsal, one, two, **asked)
    if dry_run:
        common.dry(foretold())
        return
    common.kept_in(out)
    common.ahead(foretold)
    with common.progress() as tell:
        found = rehearse(one, two, **asked, tell=tell)
    frame = found.frame
    common.tables_of(align_tables(frame))
    said = summary(frame)
    sample = one.block(slice(0, min(len(one), 300)))
    for family, w in found.aligners.items():
        file = out / f"{family.replace(':', '-')}.safetensors"
        w.save(file)
        took = query_time(w, sample)
        said.append(
            f"A query through {family} takes {took.microseconds:.0f} microseconds, {took.ratio:.2f} times the bare "
            f"product of a matrix with a vector; the map is {file}."
        )
    for line in [*said, *(f"note: {note}" for note in found.notes)]:
        common.say(line)
    write_text(out / "recall.csv", frame.write_csv())
    command = shlex.join(["modelstitch", *sys.argv[1:]])
    about = [(side.name, f"{len(side):,} x {side.width:,} {side.values.dtype}") for side in (one, two)]
    write_text(out / "report.html", align_page(frame, sentences=said, notes=found.notes, about=about, command=command))
    common.say(f"All values are in {out / 'recall.csv'}; the report is {out / 'report.html'}.")
    common.result(rows=frame.to_dicts(), notes=found.notes, report=out / "report.html", files=[out / "recall.csv"])
