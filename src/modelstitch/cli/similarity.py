"""``modelstitch similarity BOTTOM TOP`` and ``modelstitch matrix BOTTOM TOP``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import common
from .options import asked, donors

if TYPE_CHECKING:
    from ..network import Network


def _shared(function: Callable[..., Any]) -> Callable[..., Any]:
    """Networks and data, and how layers are held against each other."""
    options: list[Callable[..., Any]] = [
        donors,
        click.option(
            "--measure",
            "measures",
            multiple=True,
            help="Measure: cka, cca, procrustes, r2, cka_minibatch, rsa, ... May be repeated.",
        ),
        click.option(
            "--bottom-layer",
            "bottom_layers",
            multiple=True,
            help="Layer of BOTTOM; all blocks by default. May be repeated.",
        ),
        click.option(
            "--top-layer", "top_layers", multiple=True, help="Layer of TOP; all blocks by default. May be repeated."
        ),
        click.option(
            "--view",
            type=click.Choice(["pool", "flatten"]),
            default="pool",
            show_default=True,
            help="How a sample becomes one row: pool (mean over positions) or flatten (all positions and channels).",
        ),
        click.option(
            "--shuffles",
            type=click.IntRange(0),
            default=20,
            show_default=True,
            help="Number of shuffled pairings for the null level; 0 leaves it out.",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.command()
@_shared
@click.option(
    "--split", type=click.Choice(["val", "fit", "test"]), default="val", show_default=True, help="Split to measure on."
)
@common.dry_run
@common.speaks()
@common.shared(out="runs/similarity")
def similarity(split: str, dry_run: bool, seed: int, device: str, out: Path, **given: Any) -> None:
    """Measure how similar every block of BOTTOM is to every block of TOP, each value beside its null level.

    Prints the tables and writes similarity.csv and report.html to the --out folder.
    """
    from ..layerwise import plan_similarity
    from ..layerwise import similarity as measure_all
    from ..layerwise.plan import DEFAULT
    from ..report.figures.marks import with_weights
    from ..report.similarities import best_pairs
    from ..report.summary import similarity_summaries
    from ..support.files import write_text

    lower, upper, data = common.opened(given, scored=False)
    chosen = {**_chosen(lower, upper, given, DEFAULT), "split": split}
    needs = plan_similarity(lower, upper, data, **chosen).describe()
    if dry_run:
        common.dry([needs, "Nothing was measured or written."])
        return
    common.remark(needs)
    with common.progress() as tell:
        found = measure_all(lower, upper, data, **chosen, seed=seed, device=device, tell=tell)
    frame = found.frame
    common.tables_of(similarity_summaries(frame, found.weights))
    for said in best_pairs(found.similarities):
        common.say(said)
    for note in found.notes:
        common.remark(f"note: {note}")
    write_text(out / "similarity.csv", with_weights(frame, found.weights).write_csv())
    page = found.report(out / "report.html", command=shlex.join(["modelstitch", *sys.argv[1:]]))
    common.say(f"All values, with their null levels, are in {out / 'similarity.csv'}; the report is {page}.")
    common.answer(found, page, files=[out / "similarity.csv"])


@click.command()
@_shared
@click.option(
    "--family",
    "families",
    multiple=True,
    help="Family of the stitcher: identity, permutation, scaled-permutation, orthogonal, scaled-orthogonal, "
    "l-ortho, standard-orthogonal, "
    "low-rank:RANK, affine; affine "
    "by default. May be repeated.",
)
@click.option("--positions", type=click.IntRange(1), help="Positions of each sample to fit on, at most.")
@asked("samples", "augment")
@click.option(
    "--sums",
    type=click.Choice(["float64", "float32"]),
    default="float64",
    show_default=True,
    help="Precision of the sums; float32 needs half the memory and less time.",
)
@asked("expected_error", "error_tolerance")
@common.dry_run
@common.speaks()
@common.shared(out="runs/matrix")
def matrix(
    families: tuple[str, ...],
    samples: int | None,
    positions: int | None,
    augment: bool,
    sums: str,
    expected_error: Any,
    error_tolerance: float | None,
    dry_run: bool,
    seed: int,
    device: str,
    out: Path,
    **given: Any,
) -> None:
    """Stitch every block of BOTTOM to every block of TOP in closed form, and measure similarity, too.

    Print the penalties, and write matrix.csv, similarity.csv and report.html to the --out folder. The sums behind the
    stitches are kept there: an interrupted command goes on from them, and one for other families needs no pass. Tables
    and page are those of the latest command: name all families at once to see them side by side, or use another --out.
    """
    from ..api import matrix as stitch_all
    from ..api import plan_compare
    from ..errors import StitchError
    from ..layerwise import plan_similarity
    from ..layerwise import similarity as measure_all
    from ..report.figures.marks import marked_frame, with_weights
    from ..report.summary import grid_summaries
    from ..support.files import write_text

    lower, upper, data = common.opened(given)
    alike_by = _chosen(lower, upper, given, ("cka", "cca"))
    bottoms, tops = layers = alike_by["layers"]
    asked: dict[str, Any] = {"family": families or ("affine",), "device": device}
    asked |= {"samples": samples, "positions": positions, "augment": augment, "sums": sums}
    passes = plan_similarity(lower, upper, data, **alike_by).describe()
    if dry_run:
        seams = [(b, t) for b in bottoms for t in tops]
        more: dict[str, Any] = {"objective": "match", "controls": (), "both": False, "seeds": (seed,)}
        needs = plan_compare(lower, upper, data, layers=seams, **more, **asked)
        common.dry([passes, *needs.sentences()], needs)
        return
    common.remark(passes)
    with common.progress() as tell:
        errors: dict[str, Any] = {"expected_error": expected_error, "error_tolerance": error_tolerance}
        found = stitch_all(
            lower, upper, data, layers=layers, seed=seed, tell=tell, kept=out / "sums", **errors, **asked
        )
        alike = None
        try:
            alike = measure_all(lower, upper, data, **alike_by, seed=seed, device=device, tell=tell)
        except StitchError as error:  # the stitches stand without
            refused = f"No measures: {error}"
    penalties = found.frame.filter(metric="penalty")
    unit = penalties["unit"][0]
    shown = marked_frame(penalties, common.called(lower), common.called(upper))
    common.tables_of(grid_summaries(shown, "family", lambda family: f"penalty of {family}, {unit}", digits=1))
    write_text(out / "matrix.csv", with_weights(found.frame, found.weights).write_csv())
    command = shlex.join(["modelstitch", *sys.argv[1:]])
    tables = [out / "matrix.csv"]
    if alike is not None:
        tables.append(out / "similarity.csv")
        write_text(tables[-1], with_weights(alike.frame, alike.weights).write_csv())
        for note in alike.notes:
            common.remark(f"note: {note}")
    else:
        common.say(refused, err=True)
    common.cautions([*(f"caution: {note}" for note in found.cautions), *found.notes])
    found.cautions += [] if alike is not None else [refused]
    page = found.report(out / "report.html", similarities=alike, command=command)
    common.say(f"All values are in {' and '.join(map(str, tables))}; the report is {page}.")
    common.answer(found, page, files=tables, similarities=[] if alike is None else alike.frame.to_dicts())


def _chosen(lower: Network, upper: Network, given: dict[str, Any], measures: Sequence[str]) -> dict[str, Any]:
    """How layers are held against each other; all blocks, and these measures, where nothing else is said."""
    layers = list(given["bottom_layers"] or lower.blocks), list(given["top_layers"] or upper.blocks)
    return {
        "measures": list(given["measures"] or measures),
        "layers": layers,
        **{key: given[key] for key in ("view", "shuffles")},
    }
