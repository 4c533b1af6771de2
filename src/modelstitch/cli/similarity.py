"""``modelstitch similarity NETWORKS...`` and ``modelstitch matrix BOTTOM TOP``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import common
from .options import asked, donors, several

if TYPE_CHECKING:
    from ..data.data import Data
    from ..network import Network


_CLOSED = ("family", "samples", "positions", "augment", "sums", "expected_error", "error_tolerance")  # of the question


def _shared(function: Callable[..., Any]) -> Callable[..., Any]:
    """Networks and data, and how layers are held against each other."""
    options: list[Callable[..., Any]] = [
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
@several
@_shared
@click.option("--layer", "layers", multiple=True, help="Layer of all networks; all blocks by default. May be repeated.")
@click.option(
    "--groups", help="Groups of the networks, one for each in their order: --groups simclr,simclr,supervised."
)
@click.option(
    "--split", type=click.Choice(["val", "fit", "test"]), default="val", show_default=True, help="Split to measure on."
)
@common.activations
@common.dry_run
@common.speaks()
@common.shared(out="runs/similarity")
def similarity(
    networks: tuple[str, ...],
    layers: tuple[str, ...],
    groups: str | None,
    split: str,
    dry_run: bool,
    seed: int,
    device: str,
    out: Path,
    activations: Path | None,
    **given: Any,
) -> None:
    """Measure how similar every block of each of NETWORKS is to every block of the others, beside its null level.

    NETWORKS are two, BOTTOM and TOP, or more of them as one family; or one folder that holds several: those that
    `modelstitch train` made, or that its donors.toml names. Prints the tables and writes similarity.csv,
    similarity.parquet and report.html to the --out folder.
    """
    from ..layerwise import foretell_similarity
    from ..layerwise import similarity as measure_all
    from ..layerwise.plan import DEFAULT
    from ..report.marks import with_weights
    from ..report.similarities import best_pairs
    from ..report.summary import similarity_summaries
    from ..support.files import write_text

    opened, data, architectures = _opened(networks, given)
    chosen = _asked(opened, layers, given, DEFAULT) | {"split": split}
    first, second = opened if len(opened) == 2 else (opened[0], None)
    kin = _groups(groups, opened, architectures)
    foretold = partial(foretell_similarity, first, second, data, **chosen, device=device)
    if dry_run:
        common.dry(foretold())
        return
    common.kept_in(out)
    common.ahead(foretold)
    with common.progress() as tell:
        machine: dict[str, Any] = {"seed": seed, "device": device, "tell": tell, "activations": activations}
        found = measure_all(first, second, data, **chosen, groups=kin, **machine)
    frame = found.frame
    common.tables_of(similarity_summaries(frame, found.weights))
    for said in [*best_pairs(found.similarities), *(found.family().sentences() if kin else [])]:
        common.say(said)
    common.cautions([f"caution: {said}" for said in found.cautions])
    for note in found.notes:
        common.remark(f"note: {note}")
    write_text(out / "similarity.csv", with_weights(frame, found.weights).write_csv())
    found.save(out / "similarity.parquet")
    page = found.report(out / "report.html", command=shlex.join(["modelstitch", *sys.argv[1:]]))
    common.say(f"All values, with their null levels, are in {out / 'similarity.csv'}; the report is {page}.")
    common.answer(found, page, files=[out / "similarity.csv", out / "similarity.parquet"])


def _opened(names: tuple[str, ...], given: dict[str, Any]) -> tuple[tuple[Any, ...], Data, dict[str, str]]:
    """The networks, as ``similarity`` takes them, the data, and the architectures of the networks of a folder."""
    held = _take(given)
    layers = [f"--{side}-layer" for side in ("bottom", "top") if given[f"{side}_layers"]]
    if layers and len(names) != 2:
        raise click.UsageError(f"{layers[0]} is of two networks, found {len(names)}: name layers with --layer.")
    if len(names) > 1:
        made, data = common.all_opened(names, held, scored=False)
        return (made if len(names) == 2 else (list(made),)), data, {}
    data = common.data_for(held["data_name"], names, held["limit"])
    from ..paper.given import networks

    found, groups, _ = networks(Path(names[0]), data)
    return (list(found.values()),), data, {name: kind for kind, own in groups.alike.items() for name in own}


def _take(given: dict[str, Any]) -> dict[str, Any]:
    return {key: given.pop(key) for key in ("data_name", "limit", "bottom_weights", "top_weights", "random_weights")}


def _asked(
    opened: tuple[Any, ...], layers: tuple[str, ...], given: dict[str, Any], measures: Sequence[str]
) -> dict[str, Any]:
    if len(opened) == 2:
        sides = {side: given[side] or layers for side in ("bottom_layers", "top_layers")}
        return _chosen(*opened, {**given, **sides}, measures)
    more = {"layers": list(layers)} if layers else {}
    return {
        "measures": list(given["measures"] or measures),
        **more,
        **{key: given[key] for key in ("view", "shuffles")},
    }


def _groups(text: str | None, opened: tuple[Any, ...], architectures: dict[str, str]) -> dict[str, str] | None:
    """{network: group} from one word for each network; of a folder the architectures, where they can be told apart."""
    from ..report.family import check_groups

    names = [network.name for network in (opened[0] if len(opened) == 1 else opened)]
    if text is None:
        kinds = [architectures[name] for name in names if name in architectures]
        apart = len(kinds) == len(names) and 1 < len(set(kinds)) < len(names)
        return dict(zip(names, kinds)) if apart else None
    words = [word.strip() for word in text.split(",")]
    if len(words) != len(names):
        raise click.BadParameter(
            f"expected one group for each of the {len(names)} networks, in their order ({', '.join(names)}), found "
            f"{len(words)}.",
            param_hint="--groups",
        )
    return check_groups(dict(zip(names, words)), names)


@click.command()
@donors
@_shared
@asked(*_CLOSED)
@common.activations
@common.dry_run
@common.speaks()
@common.shared(out="runs/matrix")
def matrix(
    dry_run: bool,
    seed: int,
    device: str,
    out: Path,
    activations: Path | None,
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
    from ..layerwise import foretell_similarity
    from ..layerwise import similarity as measure_all
    from ..report.marks import marked_frame, with_weights
    from ..report.summary import grid_summaries
    from ..support.files import write_text

    lower, upper, data = common.opened(given)
    alike_by = _chosen(lower, upper, given, ("cka", "cca"))
    bottoms, tops = layers = alike_by["layers"]
    question = {name: given[name] for name in _CLOSED}
    foretold = partial(foretell_similarity, lower, upper, data, **alike_by, device=device)
    if dry_run:
        seams = [(b, t) for b in bottoms for t in tops]
        more: dict[str, Any] = {"objective": "match", "controls": (), "both": False, "seeds": (seed,)}
        needs = plan_compare(lower, upper, data, layers=seams, device=device, **more, **question)
        common.dry(foretold(), needs)
        return
    common.kept_in(out)
    common.ahead(foretold)
    with common.progress() as tell:
        kept: dict[str, Any] = {"seed": seed, "activations": activations, "device": device, "tell": tell}
        found = stitch_all(lower, upper, data, layers=layers, kept=out / "sums", **kept, **question)
        alike = None
        try:
            alike = measure_all(lower, upper, data, **alike_by, **kept)
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
