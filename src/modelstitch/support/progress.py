"""Progress bars with rate and time left, in a terminal and in a notebook.

Where neither is, the last state is written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from .shown import visible

if TYPE_CHECKING:
    from rich.console import Console

Tell = Callable[[str, int, int], None]  # what, done, of how many


class Teller:
    """A listener for ``tell=`` that can say a sentence, too: what a donor does alone, a caution.

    Args:
        bar: hears (what, done, of how many).
        speak: hears a sentence.
    """

    def __init__(self, bar: Tell, speak: Callable[[str], None]) -> None:
        self.bar, self.speak = bar, speak

    def __call__(self, what: str, done: int, total: int) -> None:
        self.bar(what, done, total)


def say(tell: Tell | None, line: str) -> None:
    """Say a sentence to a listener that hears more than numbers; a plain function does not."""
    speak = getattr(tell, "speak", None)
    if speak is not None:
        speak(line)


@contextmanager
def progress(console: Console | None = None) -> Iterator[Teller]:
    """Draw progress bars: pass what it yields as ``tell=``.

    Each piece of work has one bar: done of how many, rate, time elapsed, time left. The errors of the donors alone, and
    cautions, stand above the bars.

    Args:
        console: where to draw; by default standard error, or the cell's output in a notebook.

    Yields:
        A listener for ``tell=``.

    Examples:
        >>> with ms.progress() as tell:
        ...     found = ms.stitch(bottom, top, at="block1", data=data, objective="match", tell=tell)
    """
    from rich.console import Console

    console = console or Console(stderr=True)
    if console.is_jupyter and find_spec("ipywidgets") is None:
        yield Teller(_line(), print)  # rich draws nothing there
        return
    from rich import progress as rich
    from rich.table import Column
    from rich.text import Text

    class RateColumn(rich.ProgressColumn):
        """Units of work a second, over the whole task once it is done."""

        def render(self, task: rich.Task) -> Text:
            return rich.TaskProgressColumn.render_speed(task.finished_speed or task.speed)

    columns = (
        rich.TextColumn(
            "{task.description}", markup=False, table_column=Column(overflow="fold")
        ),  # two lines, if need be
        rich.BarColumn(bar_width=24 if console.width >= 100 else 8),
        *(
            column(table_column=Column(no_wrap=True))  # numbers are not cut
            for column in (rich.MofNCompleteColumn, RateColumn, rich.TimeElapsedColumn, rich.TimeRemainingColumn)
        ),
    )
    with rich.Progress(*columns, console=console) as bars:
        tasks: dict[str, rich.TaskID] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(visible(what), total=total)
            bars.update(tasks[what], completed=done, total=total)
            if done >= total:
                del tasks[what]  # the same work may begin again

        yield Teller(tell, lambda line: bars.console.print(Text(line), soft_wrap=True))


def _line() -> Tell:
    """One line of plain text a piece of work, written over itself twice a second: what every notebook can show."""
    begun: dict[str, float] = {}
    last = 0.0

    def tell(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        start = begun.setdefault(what, now)
        if now - last < 0.5 and done < total:
            return
        last = now
        rate = done / max(now - start, 1e-9)
        left = (total - done) / rate if done else float("inf")
        end = "\n" if done >= total else ""
        print(f"\r{visible(what)}: {done}/{total}, {rate:,.0f}/s, {left:,.0f} s left", end=end, flush=True)
        if done >= total:
            del begun[what]

    return tell
