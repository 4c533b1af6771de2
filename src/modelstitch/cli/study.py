"""``modelstitch run``, ``status``, ``report`` and ``export``: studies and their folders."""

from __future__ import annotations

from pathlib import Path

import click

from ..results import FIGURES
from . import common
from .options import asked as options_of


@click.command()
@click.argument("spec_file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@common.device()
@common.folder("runs/study")
@click.option("--engine", type=click.Choice(["local", "ray"]), help="Where sweeps run; by default what the study says.")
@click.option(
    "--address",
    help="Address of a running Ray cluster; by default RAY_ADDRESS, else a cluster is started on this machine.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Processes that share the work and the threads.",
)
@click.option(
    "--shard",
    "share",
    metavar="I/N",
    help="Run only the cells whose hash modulo N is I (0 to N - 1); all shards share one --out.",
)
@options_of("limit")
@common.dry_run
@common.speaks()
@common.imports
def run(
    spec_file: Path,
    device: str,
    out: Path,
    engine: str | None,
    address: str | None,
    workers: int,
    share: str | None,
    limit: int | None,
    dry_run: bool,
) -> None:
    """Run a study declared in a TOML file. Run it again, and it does only what is missing."""
    from ..results import Results
    from ..study.declared import data_of, plan_study, run_study
    from ..study.plan import Shard
    from ..study.spec import load_spec
    from ..study.store import Store

    shard = None if share is None else Shard.read(share)
    spec = load_spec(spec_file)
    said = {"engine": engine, "limit": limit}
    spec = spec.model_copy(update={name: value for name, value in said.items() if value is not None})
    if address is not None and spec.engine != "ray":
        raise click.UsageError("--address is of a Ray cluster: use --engine ray beside it.")
    if dry_run:
        needs = plan_study(spec, out, device=device, shard=shard)
        common.dry(needs)
        return
    if workers > 1 and spec.engine == "ray":
        raise click.UsageError(
            "--workers are processes of this machine: a Ray cluster has its own; use one of the two."
        )
    with common.progress() as tell:
        records, plain = run_study(spec, out, device=device, tell=tell, address=address, shard=shard, workers=workers)
    common.penalty_tables(records)
    if shard is not None:
        missing = Store(out).missing()
        common.say(
            f"Shard {shard}: {len(records):,} cells are finished, of the whole study "
            f"{f'{missing:,} are missing' if missing else 'none is missing'}; `modelstitch report {out}` makes the "
            f"page of all shards."
        )
        common.answer(Results(records, plain), shard=str(shard), out=out)
        return
    found = Results(records, plain)
    data, _ = data_of(spec)  # once more, for the samples on the page: a run may read them in other processes
    path = found.report(out / "report.html", title=str(plain["name"]), data=data)
    common.say(f"The report is {path}.")
    common.answer(found, path)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--watch", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="Repeat every so many seconds."
)
@click.option("--json", "as_json", is_flag=True, help="Write one line of JSON, for other programs.")
@common.speaks(as_json=False, quiet=False)
def status(folder: Path, watch: float | None, as_json: bool) -> None:
    """Show what a study folder holds (done, running, failed, missing, stale, set aside) and the time left."""
    import json
    import time

    from ..study.status import status_of

    while True:
        found = status_of(folder)
        if as_json:
            common.say(json.dumps(found.plain(), ensure_ascii=False))
        else:
            rows = [[f"{bottom} -> {top}", control, str(n)] for (bottom, top, control), n in sorted(found.done.items())]
            common.table(["pair", "control", "finished cells"], rows, str(folder))
            for sentence in found.sentences():
                common.say(sentence)
        if watch is None or (not found.missing and not found.running):
            return
        time.sleep(watch)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of the page; report.html in the folder by default.",
)
@click.option("--title", default="Stitching report", show_default=True, help="Heading of the page.")
@common.shown
@options_of("limit")
@common.speaks(quiet=False)
def report(folder: Path, out: Path | None, title: str, data_name: str | None, limit: int | None) -> None:
    """Write the HTML page of a study folder, or of an exported Parquet file.

    Needs no torch and no donors; the data, where images or texts are to stand on it.
    """
    found = common.found_in(folder)
    place = folder.parent if folder.is_file() else folder
    data = None if data_name is None else common.data_for(data_name, (), limit)
    page = found.report(out or place / "report.html", title=title, data=data)
    common.say(f"The report is {page}.")
    common.result(report=page)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--what",
    type=click.Choice(FIGURES),
    help="Kind of figure; penalty by default, of similarities matrix, of three networks or more family.",
)
@click.option("--pair", nargs=2, metavar="BOTTOM TOP", help="Pair to draw; the first by default.")
@common.figure(required=True)
@click.option(
    "--style",
    type=click.Choice(["screen", "paper"]),
    default="screen",
    show_default=True,
    help="For a screen, or for print: small type, fonts embedded.",
)
@common.speaks(quiet=False)
def figure(folder: Path, what: str | None, pair: tuple[str, str] | None, out: Path, style: str) -> None:
    """Draw a figure of a study folder, or of an exported Parquet file. Needs no torch and no donors."""
    found = common.found_in(folder)
    drawn = found.draw(out, what or (None if found.similarities else "penalty"), pair=pair, style=style)
    common.say(f"The figure is {drawn}.")
    common.result(figure=drawn, missing=found.missing)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@common.speaks(quiet=False)
def export(folder: Path, target: Path) -> None:
    """Write a study's records: TARGET.parquet or TARGET.json (whole records) or TARGET.csv (the tidy frame)."""
    from ..support import hashing

    written = common.found_in(folder).save(target)
    digest = hashing.of_file(written)
    told = "" if target.suffix == ".parquet" else f" (sha256 {digest})"
    common.say(f"The records are in {written}{told}.")
    common.result(file=written, sha256=digest)


@click.command()
@click.argument("one", type=click.Path(path_type=Path, exists=True))
@click.argument("other", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File for all rows, as CSV.")
@common.speaks(quiet=False)
def diff(one: Path, other: Path, out: Path | None) -> None:
    """Compare two runs, each a study folder or an exported Parquet file.

    Print what was asked differently, and every penalty that differs.
    """
    from ..report.figures.style import number
    from ..report.frame import differences
    from ..support.files import write_text
    from ..support.words import differing

    first, second = common.found_in(one), common.found_in(other)
    asked = {} if one.is_file() or other.is_file() else differing(first.spec, second.spec)
    for key, (was, now) in asked.items():
        common.say(f"{key}: {was} in {one}, {now} in {other}")
    rows = differences(first.records, second.records)
    counts = rows.group_by("state", maintain_order=True).len()
    common.say(", ".join(f"{n} {state}" for state, n in counts.iter_rows()) or "Neither has a cell.")
    apart = rows.filter(rows["state"] != "same")
    apart = apart.sort(apart["difference"].abs(), descending=True, nulls_last=True)
    if len(apart):
        common.table(
            ["stitch", "control", str(one), str(other), "difference", "state"],
            [
                [
                    f"{r['bottom']}@{r['bottom_layer']} -> {r['top']}@{r['top_layer']}",
                    r["control"],
                    *(
                        "-" if r[key] is None else number(r[key], 2, signed=True)
                        for key in ("one", "other", "difference")
                    ),
                    r["state"],
                ]
                for r in apart.head(_MOST_ROWS).iter_rows(named=True)
            ],
        )
    if len(apart) > _MOST_ROWS:
        common.say(f"{len(apart) - _MOST_ROWS} more differ: --out FILE.csv has all of them.")
    if out is not None:
        write_text(out, rows.write_csv())
        common.say(f"All rows are in {out}.")
    common.result(asked=asked, rows=rows.to_dicts(), file=out)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@common.speaks(quiet=False)
def gc(folder: Path, dry_run: bool) -> None:
    """Remove stale cells from a study folder.

    These are the cells that its plan does not name, of replaced donors, data or options, and files that were set aside.
    """
    from ..study.store import Store

    store = Store(folder)
    gone = [path.name for path in store.stale()] if dry_run else store.remove_stale()
    for name in gone:
        common.say(name)
    common.say(f"{len(gone)} files {'would be' if dry_run else 'were'} removed from {folder}.")
    common.result(files=gone, removed=not dry_run)


_MOST_ROWS = 40
