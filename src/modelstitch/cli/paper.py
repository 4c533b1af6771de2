"""``modelstitch paper FIG``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import common

if TYPE_CHECKING:
    from ..paper.figure import Figure
    from ..paper.job import Job


@click.command()
@click.argument("figures", nargs=-1, required=True, metavar="FIGURE...")
@click.option(
    "--scale",
    type=click.Choice(["smoke", "small", "medium", "full"]),
    default="smoke",
    show_default=True,
    help="smoke: digits, minutes; small: CIFAR-10 on a few cores, hours; medium: good networks, two or three days; "
    "full: the paper's size, a GPU.",
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
@click.option("--device", default="auto", show_default=True, help="Device: cpu, cuda or auto.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the results; runs/paper-SCALE by default.",
)
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
@click.option(
    "--redraw",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Draw and judge again what is in this gallery folder; train nothing.",
)
def paper(
    figures: tuple[str, ...], out: Path | None, workers: int, dry_run: bool, redraw: Path | None, **opening: Any
) -> None:
    """Run figures of the paper again, and judge its claims by the numbers.

    FIGURE is 2a, 2b, 2b-imagenet, 2c, 3a, 3b, 3c, 4, 5, 6, 7, 8, 9, table1, thought, connectivity, matrix, or all.
    Networks, finished cells and the last minute of what is under way are kept in --out, so that the same command
    continues; the pages are in --out/pages.
    """
    from ..paper.catalogue import FIGURES, OWN_CHECKPOINTS
    from ..paper.catalogue import figure as find

    own = OWN_CHECKPOINTS if opening["checkpoints"] is None and redraw is None else ()
    asked = [find(name) for name in figures if name != "all"]  # a wrong name should not cost a run
    chosen = [find(name) for name in FIGURES if name not in own] if "all" in figures else asked
    if redraw is not None:
        from ..paper.gallery import write_index, write_page
        from ..paper.shared import complete

        for shown in chosen:
            if "all" not in figures or (redraw / f"{shown.name}.parquet").is_file():
                complete(shown, redraw)
                common.say(f"Written: {write_page(shown, redraw)}")
        common.say(f"Written: {write_index(redraw)}")
        return
    opening["out"] = out or Path(f"runs/paper-{opening['scale']}")
    if dry_run:
        _told_only(chosen, opening)
    else:
        _run(chosen, opening, workers)


def _told_only(figures: Sequence[Figure], opening: dict[str, Any]) -> None:
    """What the run would take; the folder is read where it is there, and not made."""
    import tempfile

    from ..paper.estimate import estimate

    with tempfile.TemporaryDirectory() as none:
        job = _job(**opening | ({} if opening["out"].exists() else {"out": Path(none)}))
        common.say("\n".join(estimate(figures, job).sentences()))


def _run(figures: Sequence[Figure], opening: dict[str, Any], workers: int) -> None:
    from functools import partial

    from ..paper.gallery import keep, summary, write_index
    from ..paper.run import run_figure
    from ..paper.scheduler import together

    opened: Callable[..., Job] = partial(_job, **opening)
    pages = opening["out"] / "pages"
    with common.progress() as tell:
        job = opened(tell)
        if job.other:
            common.say(
                f"Note: the scale {opening['scale']!r} is run on other data than its own: {job.other}. Pages say so.",
                err=True,
            )

        def alone() -> Iterator[list[str]]:
            for shown in figures:
                records = run_figure(shown, job)
                yield summary(shown, records, keep(records, shown, pages))

        for lines in alone() if workers == 1 else together(figures, job, opened, pages, workers):
            common.say("\n".join([*lines, f"  {write_index(pages)}"]))


def _job(
    tell: Callable[[str, int, int], None] | None = None,
    *,
    scale: str,
    data_name: str | None,
    protocols: tuple[str, ...],
    **opening: Any,
) -> Job:
    """The command's job, in this process or in another one that shares it."""
    from ..paper.data import load
    from ..paper.job import open_job
    from ..paper.protocols import PROTOCOLS
    from ..paper.scales import scale as find_scale

    size = find_scale(scale)
    data = load(data_name or size.data, size)
    return open_job(size, data, protocols=protocols or tuple(PROTOCOLS), tell=tell, given=data_name or "", **opening)
