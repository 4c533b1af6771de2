"""What figures measure beside stitching, one file a kind. A probe returns plain results: places, and metrics there."""

from __future__ import annotations

from typing import Any

from ...errors import StudyError
from ...support.resume import Pieces
from ..figure import Model, Probe
from ..job import Job
from . import alike, finetune, frozen, grid, path

KINDS: dict[str, Any] = {"similarity": alike, "fine-tune": finetune, "freeze": frozen, "path": path, "matrix": grid}


def measure(probe: Probe, models: tuple[Model, ...], job: Job, pieces: Pieces) -> list[dict[str, Any]]:
    """The results of a probe: each has ``metrics``, and where it was taken under ``bottom`` and ``top``.

    Args:
        pieces: where trainings that were stopped are taken up again.

    Raises:
        StudyError: if the kind is unknown.
    """
    found: list[dict[str, Any]] = _module(probe).measure(probe, models, job, pieces)
    return found


def settings(probe: Probe, models: tuple[Model, ...], job: Job) -> dict[str, Any]:
    """What a kind takes from the scale, written out: a probe that was taken with other settings is another one.

    Raises:
        StudyError: if the kind is unknown.
    """
    found: dict[str, Any] = _module(probe).settings(probe, models, job)
    return found


def _module(probe: Probe) -> Any:
    if probe.kind not in KINDS:
        raise StudyError(f"There is no probe {probe.kind!r}: expected one of {', '.join(KINDS)}.")
    return KINDS[probe.kind]
