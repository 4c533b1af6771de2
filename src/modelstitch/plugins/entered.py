"""Entry points of other packages, entered by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from ..data.load import READERS, Reader
from ..data.tasks import METRICS, TASKS, Task
from ..errors import StitchError, first_line
from ..measures import MEASURES, Measure
from ..stitchers import FAMILIES, Stitcher
from ..support.words import hint


def _family(found: Any) -> str:
    if not (isinstance(found, type) and issubclass(found, Stitcher) and isinstance(found.family, str)):
        raise TypeError("a class of ms.stitchers.Stitcher with its name as `family`")
    return found.family


def _measure(found: Any) -> str:
    if not isinstance(found, Measure):
        raise TypeError("a Measure")
    return found.name


def _task(found: Any) -> str:
    if not isinstance(found, Task):
        raise TypeError("a modelstitch.Task")
    return found.name


def _reader(found: Any) -> str:
    if not isinstance(found, Reader):
        raise TypeError("a modelstitch.data.load.Reader")
    return found.written.partition(":")[0]


@dataclass(frozen=True)
class _Entrance:
    """A table, and how what enters it is checked and called."""

    table: dict[str, Any]
    key: Callable[[Any], str]


GROUPS = {
    "families": _Entrance(FAMILIES, _family),
    "measures": _Entrance(MEASURES, _measure),
    "tasks": _Entrance(TASKS, _task),
    "metrics": _Entrance(METRICS, _task),
    "readers": _Entrance(READERS, _reader),
}
_PACKAGE = __name__.partition(".")[0]
_entered: dict[tuple[str, str], Any] = {}  # (kind, key): what a plug-in put there


@dataclass(frozen=True)
class Offer:
    """Say what an installed package offers.

    Attributes:
        name: by which ``use`` takes it.
        kind: one of ``GROUPS``.
        package: the distribution, with its version.
        value: the object, as ``module:name``.

    Examples:
        >>> ms.plugins.Offer("ridge", "families", "my-package 1.0", "my_package:Ridge").kind in ms.plugins.GROUPS
        True
    """

    name: str
    kind: str
    package: str
    value: str


def offered() -> list[Offer]:
    """List what installed packages offer; nothing is imported.

    Returns:
        One row for each entry point in ``GROUPS``.

    Examples:
        >>> isinstance(ms.plugins.offered(), list)
        True
    """
    return [Offer(point.name, _kind(point), _package(point), point.value) for point in _points()]


def use(*names: str) -> list[str]:
    """Take plug-ins of installed packages, by name: their code is imported and runs.

    Args:
        names: as ``offered`` lists them.

    Returns:
        What they are called from now on: a family, a measure, a task, a metric, a kind of data.

    Raises:
        StitchError: no package offers one of that name, several do, it cannot be imported, it is no family, measure,
            task, metric or reader, or its name is taken.

    Examples:
        >>> ms.plugins.use("ridge")
        Traceback (most recent call last):
        modelstitch.errors.StitchError: No installed package offers the plug-in 'ridge': ...
    """
    return [_used(name) for name in names]


def _used(name: str) -> str:
    points = [point for point in _points() if point.name == name]
    if not points:
        known = sorted({point.name for point in _points()})
        offered = hint(name, known, f"offered are {', '.join(known) or 'none'}.", count=2, alike=0.6)
        raise StitchError(f"No installed package offers the plug-in {name!r}: {offered}")
    if len(points) > 1:
        both = " and ".join(f"{point.value} of {_package(point)}" for point in points)
        raise StitchError(f"The plug-in {name!r} is offered twice, as {both}: expected one; uninstall the other.")
    (point,) = points
    kind = _kind(point)
    group = GROUPS[kind]
    try:
        found = point.load()
        key = group.key(found)
    except Exception as error:  # whatever another's code raises
        raise StitchError(
            f"The plug-in {name!r} of {_package(point)} cannot be used ({type(error).__name__}: {first_line(error)})."
        ) from error
    if key in group.table and _entered.get((kind, key)) is not found:
        raise StitchError(
            f"The plug-in {name!r} of {_package(point)} is called {key!r}, as one of the {kind} is already: "
            "expected another name."
        )
    group.table[key] = _entered[(kind, key)] = found
    return key


def _points() -> list[EntryPoint]:
    return [point for kind in GROUPS for point in entry_points(group=f"{_PACKAGE}.{kind}")]


def _kind(point: EntryPoint) -> str:
    return point.group.rpartition(".")[2]


def _package(point: EntryPoint) -> str:
    return "an unknown package" if point.dist is None else f"{point.dist.name} {point.dist.version}"
