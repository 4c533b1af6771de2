"""Progress with rate and time left: bars in a terminal and in a notebook, elsewhere a line a minute; and events."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING, Literal

from .kinds import kinds
from .shown import visible

if TYPE_CHECKING:
    from rich.console import Console

Tell = Callable[[str, int, int], None]  # what, done, of how many
APART = 0.05  # seconds between the two marks that a rate is counted from, at least


class Teller:
    """A listener for ``tell=`` that can say a sentence, too: what a donor does alone, a caution.

    Args:
        bar: hears (what, done, of how many).
        speak: hears a sentence.

    Attributes:
        note: hears a sentence about how the work is done; as ``speak`` until it is set to another, or to None.
    """

    def __init__(self, bar: Tell, speak: Callable[[str], None]) -> None:
        self.bar, self.speak = bar, speak
        self.note: Callable[[str], None] | None = speak

    def __call__(self, what: str, done: int, total: int) -> None:
        self.bar(what, done, total)


def say(tell: Tell | None, line: str) -> None:
    """Say a sentence to a listener that hears more than numbers."""
    speak = getattr(tell, "speak", None)
    if speak is not None:
        speak(line)


def notes(tell: Tell | None) -> Callable[[str], None] | None:
    """What a listener hears of how the work is done with; None where it wants no such sentence."""
    found: Callable[[str], None] | None = getattr(tell, "note", getattr(tell, "speak", None))
    return found


@kinds()
@contextmanager
def progress(console: Console | None = None) -> Iterator[Teller]:
    """Show how far work is: pass what it yields as ``tell=``.

    In a terminal and in a notebook each piece of work has one bar: done of how many, rate, time elapsed, time left. A
    file, a pipe, a log or a notebook without ipywidgets gets plain lines: one a minute, one when a piece of work is
    done, and at the end what was not. The errors of the donors alone, and cautions, stand between.

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
    widgets = console.is_jupyter and find_spec("ipywidgets") is not None  # without, rich draws nothing there
    if not (widgets or console.is_terminal):
        with _lines(sys.stdout if console.is_jupyter else console.file) as teller:
            yield teller
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

        def speak(line: str) -> None:
            bars.console.print(Text(line), soft_wrap=True)

        yield Teller(tell, speak)


class _Under:
    """A piece of work under way: its first mark, from which its rate is counted, and its last."""

    def __init__(self, what: str, done: int, now: float) -> None:
        self.what, self.first, self.begun = what, done, now
        self.done = self.total = done

    def mark(self, done: int, total: int) -> None:
        """Note how far it is."""
        self.done, self.total = done, total

    def state(self, now: float) -> str:
        """How far it is; where two marks lie apart in time, its rate, and the time left or, in the end, taken."""
        seconds = now - self.begun
        told = f"{visible(self.what)}: {self.done}/{self.total}"
        if self.done <= self.first or seconds < APART:
            return told
        rate = (self.done - self.first) / seconds
        end = f"{seconds:,.0f} s" if self.done >= self.total else f"{(self.total - self.done) / rate:,.0f} s left"
        return f"{told}, {f'{rate:,.0f}' if rate >= 10 else f'{rate:.2g}'}/s, {end}"


@contextmanager
def _lines(file: IO[str], every: float = 60.0) -> Iterator[Teller]:
    """Plain lines for a log: of work under way one in so many seconds, one when it is done, and what is left undone."""
    begun: dict[str, _Under] = {}
    last = time.monotonic()

    def write(line: str) -> None:
        print(line, file=file, flush=True)

    def tell(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        work = begun.setdefault(what, _Under(what, done, now))
        work.mark(done, total)
        if done >= total:
            del begun[what]
        if done >= total or now - last >= every:
            last = now
            write(work.state(now))

    try:
        yield Teller(tell, write)
    finally:
        for work in begun.values():
            write(work.state(time.monotonic()))


@dataclass(frozen=True)
class Event:
    """Say that something happened.

    Attributes:
        kind: "progress" (a piece of work went on), "look" (a fit was measured on the validation split), or "cell" (a
            stitch or a control is finished and measured on the test split).
        what: the work, or the stitch with its settings.
        step: how much of the work is done, or the steps of the fit so far.
        total: of how many; None where that is not known.
        values: numbers by name: "val/error", "val/loss", "fit/loss" of a look; of a cell its metrics, such as
            "penalty", and "penalty/low" and "penalty/high".

    Examples:
        >>> ms.study.Event("look", "block2", step=40, values={"val/error": 3.0}).values["val/error"]
        3.0
    """

    kind: Literal["progress", "look", "cell"]
    what: str
    step: int = 0
    total: int | None = None
    values: Mapping[str, float] = field(default_factory=dict)


OnEvent = Callable[[Event], None]
