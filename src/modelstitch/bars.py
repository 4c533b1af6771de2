"""Progress bars with rate and time left, in a terminal and in a notebook; where neither is, the last state is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

Tell = Callable[[str, int, int], None]  # what, done, of how many


@contextmanager
def progress(console: Console | None = None) -> Iterator[Tell]:
    """A listener for ``tell=`` that draws one bar a piece of work: done of how many, a second, elapsed, time left.

    Args:
        console: where to draw; by default standard error, or the cell's output in a notebook.

    Example::

        with modelstitch.progress() as tell:
            modelstitch.compare(bottom, top, data, tell=tell)
    """
    from rich.console import Console

    console = console or Console(stderr=True)
    if console.is_jupyter and find_spec("ipywidgets") is None:
        yield _line()  # rich draws nothing there
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """Units of work a second, over the whole task once it is done."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s")

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), MofNCompleteColumn(), Rate(),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, Any] = {}
        finished: set[str] = set()

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks or what in finished:
                tasks[what] = bars.add_task(what, total=total)
                finished.discard(what)
            bars.update(tasks[what], completed=done, total=total)
            if done >= total:
                finished.add(what)

        yield tell


def _line() -> Tell:
    """One line of plain text a piece of work, written over itself twice a second: what every notebook can show."""
    begun: dict[str, float] = {}
    shown = 0.0

    def tell(what: str, done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        start = begun.setdefault(what, now)
        if now - shown < 0.5 and done < total:
            return
        shown = now
        rate = done / max(now - start, 1e-9)
        left = (total - done) / rate if done else float("inf")
        end = "\n" if done >= total else ""
        print(f"\r{what}: {done}/{total}, {rate:,.0f}/s, {left:,.0f} s left", end=end, flush=True)
        if done >= total:
            del begun[what]

    return tell
