"""Who hears what happens: the user's hook, and the files of TensorBoard, which are written through it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engine.fit.tensorboard import writing
from ..engine.sweep import Watch
from ..records.record import Record
from ..support.progress import Event, OnEvent, Tell, Teller


@dataclass(frozen=True)
class Heard:
    """The ways by which events come.

    Attributes:
        tell: hears progress.
        watch: hears of every look at the validation split; None where nobody wants to.
        finished: hears of every finished cell.
    """

    tell: Tell | None
    watch: Watch | None
    hooks: tuple[OnEvent, ...] = ()

    def finished(self, record: Record) -> None:
        """A cell is done."""
        for hook in self.hooks:
            hook(event_of(record))


@contextmanager
def hearing(on_event: OnEvent | None, tensorboard: str | Path | None, tell: Tell | None) -> Iterator[Heard]:
    """Listeners for a run.

    Args:
        on_event: the user's hook.
        tensorboard: a folder for curves.
        tell: as the user gave it.

    Raises:
        MissingExtraError: a folder is given, and TensorBoard is not installed.
    """
    with ExitStack() as stack:
        hooks = tuple(
            hook
            for hook in (on_event, None if tensorboard is None else stack.enter_context(writing(tensorboard)))
            if hook is not None
        )

        def watch(what: str, step: int, values: dict[str, float]) -> None:
            for hook in hooks:
                hook(Event("look", what, step, values=values))

        def told(what: str, done: int, total: int) -> None:
            if tell is not None:
                tell(what, done, total)
            for hook in hooks:
                hook(Event("progress", what, done, total))

        def speak(line: str) -> None:
            if tell is not None and (spoken := getattr(tell, "speak", None)) is not None:
                spoken(line)

        yield Heard(Teller(told, speak), watch, hooks) if hooks else Heard(tell, None)


def event_of(record: Record) -> Event:
    """A finished cell as an event."""
    values: dict[str, float] = {}
    for metric in record.metrics:
        ends = {"": metric.value, "/low": metric.low, "/high": metric.high}
        values |= {f"{metric.name}{end}": value for end, value in ends.items() if value is not None}
    return Event("cell", title_of(record.config), values=values)


def title_of(config: Mapping[str, Any]) -> str:
    """A cell as events call it, from its first look to its penalty."""
    bottom, top, samples = config["bottom"], config["top"], config["fit"].get("samples")
    control = "" if config["control"] == "pair" else f"{config['control']}, "
    how = f"{control}{config['family']} {config['objective']}, seed {config['seed']}"
    few = "" if samples is None else f", {samples} examples"
    return f"{bottom['name']}@{bottom['layer']} -> {top['name']}@{top['layer']}/{how}{few}"
