"""``modelstitch run``, ``status``, ``report`` and ``export``: studies and their folders."""

from __future__ import annotations

from pathlib import Path

import click

from . import common


@click.command()
@click.argument("spec_file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--device", default="auto", show_default=True, help="cpu, cuda or auto.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default="runs/study", show_default=True)
@click.option(
    "--engine", type=click.Choice(["local", "ray"]), help="Where sweeps run: as the study says, here by default."
)
@click.option(
    "--address", help="Of a Ray cluster that runs; by default RAY_ADDRESS, else one is started on this machine."
)
@common.imports
def run(spec_file: Path, device: str, out: Path, engine: str | None, address: str | None) -> None:
    """Run a study declared in a TOML file. Running it again does only what is missing."""
    from ..api import Comparison
    from ..study.declared import run_study
    from ..study.spec import load_spec

    spec = load_spec(spec_file)
    if engine is not None:
        spec = spec.model_copy(update={"engine": engine})
    if address is not None and spec.engine != "ray":
        raise click.UsageError("--address is of a Ray cluster: use --engine ray beside it.")
    with common.progress() as tell:
        records, plain = run_study(spec, out, device=device, tell=tell, address=address)
    common.penalty_tables(records)
    path = Comparison(records, plain).report(out / "report.html", title=str(plain["name"]))
    common.say(f"The report is {path}.")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def status(folder: Path) -> None:
    """What a study folder holds, and how much is missing."""
    from collections import Counter

    from ..study.store import Store

    store = Store(folder)
    held = store.look()
    counts = Counter((r.bottom.name, r.top.name, r.control) for r in held.records)
    rows = [[f"{bottom} -> {top}", control, str(n)] for (bottom, top, control), n in sorted(counts.items())]
    common.table(["pair", "control", "finished cells"], rows, str(folder))
    common.say(f"{len(held.records)} finished cells.")
    if held.missing:
        common.say(f"{len(held.missing)} cells are missing: the command that made the folder goes on with them.")
    for caution in held.cautions:
        common.say(f"caution: {caution}")
    for path in store.set_aside():
        common.say(f"set aside: {path}")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="The page; report.html in the folder by default."
)
@click.option("--title", default="Stitching report", show_default=True)
def report(folder: Path, out: Path | None, title: str) -> None:
    """Write the HTML page of a study folder, or of an exported Parquet file. Needs no torch and no donors."""
    from ..report.page import page
    from ..study.store import Store, records_from_parquet
    from ..support.files import write_text

    if folder.is_file():
        records, spec, place, missing = records_from_parquet(folder), None, folder.parent, 0
    else:
        held = Store(folder).look()
        records, spec, place, missing = held.records, held.spec, folder, len(held.missing)
        _caution(held.cautions)
    target = out or place / "report.html"
    write_text(target, page(records, title=title, spec=spec, missing=missing))
    common.say(f"The report is {target}.")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
def export(folder: Path, target: Path) -> None:
    """Write a study's records: TARGET.parquet (whole records) or TARGET.csv (the tidy frame)."""
    from ..errors import StudyError
    from ..report.frame import frame
    from ..study.store import Store, records_to_parquet
    from ..support import hashing
    from ..support.files import write_text

    held, digest = Store(folder).look(), ""
    if target.suffix not in (".parquet", ".csv"):
        raise StudyError(f"The target {target} is neither .parquet nor .csv: choose one of the two.")
    _caution(held.cautions)
    if target.suffix == ".parquet":
        records_to_parquet(held.records, target)
    elif not held.records:
        raise StudyError(f"There is nothing to export to {target}: expected finished cells, found none; run the study.")
    else:
        text = frame(held.records).write_csv()
        write_text(target, text)
        digest = f" (sha256 {hashing.of_bytes(text.encode())})"
    common.say(f"The records are in {target}{digest}.")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
def gc(folder: Path, dry_run: bool) -> None:
    """Remove from a study folder what its plan does not name: cells of replaced donors, data or options, and what was set aside."""
    from ..study.store import Store

    store = Store(folder)
    gone = [path.name for path in store.stale()] if dry_run else store.remove_stale()
    for name in gone:
        common.say(name)
    common.say(f"{len(gone)} files {'would be' if dry_run else 'were'} removed from {folder}.")


def _caution(sentences: list[str]) -> None:
    for sentence in sentences:
        common.say(f"caution: {sentence}", err=True)
