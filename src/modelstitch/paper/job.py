"""What all figures of one call share: the networks, the data, the store, the device and the protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from .. import Data
from ..study import Store
from ..support.device import pick_device
from ..support.progress import Tell
from .data import other, without_paths
from .donors import Workshop
from .figure import Model
from .protocols import PROTOCOLS
from .scales import Scale


@dataclass
class Job:
    """What all figures of one call share.

    Attributes:
        other: the data in words where they are not the scale's own.
        given: the data's spec where the user named one, without paths.
    """

    workshop: Workshop
    store: Store
    device: torch.device
    protocols: tuple[str, ...] = tuple(PROTOCOLS)
    tell: Tell | None = None
    other: str = ""
    given: str = ""
    _seen: dict[tuple[float, int], Data] = field(default_factory=dict)

    @property
    def scale(self) -> Scale:
        """The size at which figures are run."""
        return self.workshop.scale

    @property
    def data(self) -> Data:
        """All data, with as much to measure on as the scale measures on."""
        return self.seen_by(Model())

    def seen_by(self, model: Model) -> Data:
        """As ``data``, with the samples to fit on that a network was trained on."""
        key = (self.scale.share(model.samples), model.part)
        if key not in self._seen:
            self._seen[key] = self.workshop.own(model).shorter(**self.scale.measured_on)
        return self._seen[key]


def open_job(
    scale: Scale,
    data: Data,
    out: Path,
    *,
    protocols: Sequence[str] = tuple(PROTOCOLS),
    device: str = "auto",
    checkpoints: Path | None = None,
    tell: Tell | None = None,
    given: str = "",
) -> Job:
    """A job in the folder ``out``: donors in ``donors``, finished cells in ``cells``.

    Args:
        given: the data's spec where the user named one; pages print it without paths.

    Raises:
        StudyError: if ``out`` was made at another scale or with other data (both are named).
    """
    where = pick_device(device)
    identity = {"paper": "figures", "scale": scale.name, "data": data.fingerprint, "nets": dict(scale.nets)}
    store = Store(out, {**identity, "about": {"data": data.name}})
    with store.begun():
        data = data.on(where)
    workshop = Workshop(scale, data, out / "donors", str(where), checkpoints, tell)
    return Job(workshop, store, where, tuple(protocols), tell, other(data, scale), without_paths(given))
