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
from . import catalogue, own
from .data import complete, other, without_paths
from .donors import Workshop
from .figure import Figure, Model
from .given import networks
from .own import Groups
from .protocols import PROTOCOLS
from .scales import OWN, Scale


@dataclass
class Job:
    """What all figures of one call share.

    Attributes:
        other: the data in words where they are not the scale's own.
        given: the data's spec where the user named one, without paths.
        groups: the networks of the user's own, where figures are of these.
        command: the options that a page names beside the figure, where they are not those of a scale.
    """

    workshop: Workshop
    store: Store
    device: torch.device
    protocols: tuple[str, ...] = tuple(PROTOCOLS)
    tell: Tell | None = None
    other: str = ""
    given: str = ""
    groups: Groups | None = None
    command: str = ""
    _seen: dict[tuple[float, int], Data] = field(default_factory=dict)

    def figure(self, name: str) -> Figure:
        """The figure of that name: the paper's, or on the networks that are given."""
        return catalogue.figure(name) if self.groups is None else own.figure(name, self.groups)

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


def open_own(
    folder: Path,
    data: Data,
    out: Path,
    *,
    protocols: Sequence[str] = tuple(PROTOCOLS),
    device: str = "auto",
    tell: Tell | None = None,
    command: str = "",
) -> Job:
    """A job in the folder ``out`` for the networks that a folder holds: nothing is trained.

    Args:
        folder: with ``donors.toml``, or networks that ``modelstitch train`` made.
        command: the options that pages name.

    Raises:
        StudyError: if ``out`` was made with other data.
        SourceError: if the folder does not say exactly what its networks are.
        DataError: if the data lack a class.
    """
    where = pick_device(device)
    complete(data)
    found, groups, errors = networks(folder, data)
    store = Store(out, {"paper": "networks of one's own", "scale": OWN.name, "data": data.fingerprint})
    with store.begun():
        data = data.on(where)
    workshop = Workshop(OWN, data, out / "donors", str(where), None, tell, found, errors)
    return Job(workshop, store, where, tuple(protocols), tell, groups=groups, command=command)
