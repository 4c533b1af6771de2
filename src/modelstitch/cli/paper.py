"""``modelstitch paper FIG``."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import common

if TYPE_CHECKING:
    from ..paper.job import Job
    from ..support.ahead import Foretold


@dataclass(frozen=True)
class Call:
    """What a call says of the job; plain, so that another process can open it, too."""

    scale: str
    data: str
    protocols: tuple[str, ...]
    checkpoints: Path | None
    donors: Path | None
    imported: tuple[Path, ...]
    device: str

    @property
    def folder(self) -> Path:
        """Where results go if nothing is said."""
        return Path(f"runs/paper-{self.scale if self.donors is None else self.donors.resolve().name}")

    def opened(self, out: Path, tell: Callable[[str, int, int], None] | None = None) -> Job:
        """The job, in this process or in another one that shares it."""
        from ..models.load import imported_files, register
        from ..paper.data import load, without_paths
        from ..paper.job import open_job, open_own
        from ..paper.protocols import PROTOCOLS
        from ..paper.scales import OWN
        from ..paper.scales import scale as find_scale

        how: dict[str, Any] = {"protocols": self.protocols or tuple(PROTOCOLS), "device": self.device, "tell": tell}
        if self.donors is not None:
            for file in set(self.imported) - set(imported_files()):  # another process has not run them yet
                register(file)
            code = "".join(f" --import {shlex.quote(file.name)}" for file in self.imported)
            command = f"--donors FOLDER{code} --data {without_paths(self.data)}"
            return open_own(self.donors, load(self.data, OWN), out, command=command, **how)
        size = find_scale(self.scale)
        data = load(self.data or size.data, size)
        return open_job(size, data, out, checkpoints=self.checkpoints, given=self.data, **how)


@click.command()
@click.argument("figures", nargs=-1, required=True, metavar="FIGURE...")
@common.imports
@click.option(
    "--scale",
    type=click.Choice(["smoke", "small", "fashion", "medium", "full"]),
    help="smoke (the default): digits, minutes; small: CIFAR-10 on a few cores, hours; "
    "fashion: Fashion-MNIST, where networks without labels are nearly as good, an hour or two; medium: good networks, "
    "two or three days; full: the paper's size, a GPU.",
)
@click.option("--data", "data_name", help="Data: digits for smoke; else parquet:DIR, cifar10:DIR, or folder:DIR.")
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    type=click.Choice(["honest", "paper"]),
    help="Protocol of the fits; both by default.",
)
@click.option(
    "--checkpoints",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder with your own weights, for 2b-imagenet.",
)
@click.option(
    "--donors",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder with trained networks of your own, for figures 2a, 4, 5, connectivity and matrix: "
    "donors.toml, or networks that `modelstitch train` made. Nothing is trained. Needs --data.",
)
@common.device()
@common.folder(words="Folder for the results; runs/paper-SCALE by default.")
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Processes that share the work and the threads. On a GPU they gain most under NVIDIA's multi-process service.",
)
@click.option(
    "--dry-run", is_flag=True, help="Say what would be trained and fitted, and the processor hours it would take here."
)
@click.option("--so-far", is_flag=True, help="Write the pages from what is finished, and run nothing.")
@click.option(
    "--redraw",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Draw and judge again what is in this gallery folder, or in all galleries in it; train nothing.",
)
@common.speaks()
def paper(
    figures: tuple[str, ...],
    scale: str | None,
    data_name: str | None,
    protocols: tuple[str, ...],
    checkpoints: Path | None,
    donors: Path | None,
    device: str,
    out: Path | None,
    workers: int,
    dry_run: bool,
    so_far: bool,
    redraw: Path | None,
) -> None:
    """Run figures of the paper again, and judge its claims by the numbers.

    FIGURE is 2a, 2b, 2b-equal, 2b-imagenet, 2c, 3a, 3b, 3c, 4, 5, 6, 7, 8, 9, table1, thought, connectivity, matrix,
    or all.
    Networks, finished cells and the last minute of what is under way are kept in --out, so that the same command
    continues; the pages are in --out/pages.
    """
    from ..paper.catalogue import FIGURES, OWN_CHECKPOINTS
    from ..paper.catalogue import figure as find

    asked = [find(name).name for name in figures if name != "all"]  # a wrong name should not cost a run
    if redraw is not None:
        _redrawn(list(FIGURES) if "all" in figures else asked, redraw, "all" in figures)
        return
    files: tuple[Path, ...] = ()
    every = [name for name in FIGURES if checkpoints is not None or name not in OWN_CHECKPOINTS]
    if donors is not None:
        _check_own(scale, data_name, checkpoints)
        every, files = _own()
    chosen = every if "all" in figures else asked
    call = Call(scale or "smoke", data_name or "", protocols, checkpoints, donors, files, device)
    out = out or call.folder
    if dry_run:
        common.dry(_ahead(chosen, call, out))
        return
    if not so_far:
        common.ahead(lambda: _ahead(chosen, call, out))
    _run(chosen, call, out, workers, so_far=so_far)


def _own() -> tuple[list[str], tuple[Path, ...]]:
    """The figures that can be had of given networks, and the files that build these."""
    from ..models.load import imported_files
    from ..paper.own import FIGURES

    return list(FIGURES), tuple(imported_files())


def _check_own(scale: str | None, data_name: str | None, checkpoints: Path | None) -> None:
    if data_name is None:
        raise click.UsageError("--donors needs --data: the data that the networks were trained for, as parquet:DIR.")
    for option, value in (("--scale", scale), ("--checkpoints", checkpoints)):
        if value is not None:
            raise click.UsageError(f"{option} does not go with --donors, whose networks are given: leave one out.")


def _redrawn(chosen: Sequence[str], folder: Path, those_there: bool) -> None:
    from ..paper.catalogue import figure as find
    from ..paper.gallery import write_page
    from ..paper.index import galleries, write_index, write_overview

    written: list[Path] = []

    def wrote(path: Path) -> None:
        written.append(path)
        common.say(f"Written: {path}")

    several = galleries(folder) if those_there else []
    for place in several or [folder]:
        for shown in map(find, chosen):
            if not those_there or (place / f"{shown.name}.parquet").is_file():
                wrote(write_page(shown, place))
        wrote(write_index(place))
    if several:
        wrote(write_overview(folder))
    common.result(files=written)


def _ahead(names: Sequence[str], call: Call, out: Path) -> Foretold:
    """What the run will take; the folder is read where it is there, and not made."""
    import tempfile

    from ..paper.estimate import estimate, estimate_own

    with tempfile.TemporaryDirectory() as none:
        job = call.opened(out if out.exists() else Path(none))
        figures = [job.figure(name) for name in names]
        return estimate(figures, job) if job.groups is None else estimate_own(figures, job)


def _run(names: Sequence[str], call: Call, out: Path, workers: int, *, so_far: bool) -> None:
    from functools import partial

    from ..paper.gallery import keep, summary
    from ..paper.index import write_index
    from ..paper.run import run_figure
    from ..paper.scheduler import together

    pages = out / "pages"
    with common.progress() as tell:
        job = call.opened(out, tell)
        figures = [job.figure(name) for name in names]
        if job.other:
            common.remark(
                f"Note: the scale {call.scale!r} is run on other data than its own: {job.other}. Pages say so."
            )

        def alone() -> Iterator[list[str]]:
            for shown in figures:
                records = run_figure(shown, job, so_far=so_far)
                yield summary(shown, records, keep(records, shown, pages))

        every = alone() if workers == 1 or so_far else together(figures, job, partial(call.opened, out), pages, workers)
        found = []
        for lines in every:
            index = write_index(pages)
            common.say("\n".join([*lines, f"  {index}"]))
            found.append(lines)
    common.result(figures=[shown.name for shown in figures], summaries=found, pages=pages)
