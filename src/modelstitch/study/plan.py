"""From a question to cells: every stitch that is to be fitted, each once, named by the hash of its configuration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import StudyError
from ..fit.options import FitSpec
from ..notation import parse
from .canonical import cell_hash


@dataclass(frozen=True)
class Place:
    """A block cut of a donor: its layer, the fraction of weighted operations below it, and its position."""

    layer: str
    depth: float
    index: int
    joint: tuple[str, tuple[int, ...]]  # kind and shape


@dataclass(frozen=True)
class Donor:
    """What a plan needs to know of a network."""

    name: str
    fingerprint: str
    blocks: tuple[Place, ...]
    cuts: tuple[Place, ...]

    def place(self, layer: str) -> Place:
        """The exact cut of that name.

        Raises:
            StudyError: if there is none.
        """
        for place in (*self.blocks, *self.cuts):
            if place.layer == layer:
                return place
        raise StudyError(f"The donor {self.name!r} has no exact cut {layer!r}: see `modelstitch layers`.")


@dataclass(frozen=True)
class Cell:
    """One stitch to fit."""

    hash: str
    config: dict[str, Any]

    @property
    def sweep(self) -> tuple[str, str, str, int, str]:
        """Cells with the same key share one bottom: (control kind, bottom, top, seed, normalisation)."""
        config = self.config
        control = config["control"]
        shared = control if control in ("random", "class-noise", "shuffled") else "plain"
        return shared, config["bottom"]["name"], config["top"]["name"], config["seed"], config["normalisation"]


@dataclass(frozen=True)
class Axes:
    """The axes of a study's grid."""

    layers: str | tuple[str, ...]
    families: tuple[str, ...]
    objectives: tuple[str, ...]
    controls: tuple[str, ...]
    seeds: tuple[int, ...]
    fit: FitSpec
    normalisation: str = "frozen"


def plan(pairs: Iterable[tuple[Donor, Donor]], axes: Axes, data: dict[str, Any]) -> list[Cell]:
    """All cells of the pairs and their controls, equal work once, in an order that shares bottoms."""
    found: dict[str, Cell] = {}
    for bottom, top in pairs:
        for seed in axes.seeds:
            for cell in _pair(bottom, top, seed, axes, data):
                found.setdefault(cell.hash, cell)
    cells = list(found.values())
    order = {key: i for i, key in enumerate(dict.fromkeys(cell.sweep for cell in cells))}
    return sorted(cells, key=lambda cell: order[cell.sweep])


def seams(bottom: Donor, top: Donor, layers: str | Sequence[str]) -> list[tuple[Place, Place]]:
    """The seams of a pair: "matching", "all", or written ones.

    Matching: the same block of the same architecture; else for each block of the top the block of the bottom that is
    nearest in depth.

    Raises:
        StudyError: if the donors have no block cuts, or a written seam cannot be read.
    """
    if not isinstance(layers, str):
        read = [parse(text) for text in layers]
        return [(bottom.place(seam.bottom_layer), top.place(seam.top_layer)) for seam in read]
    for donor in (bottom, top):
        if not donor.blocks:
            raise StudyError(
                f"The donor {donor.name!r} has no exact block cut: expected one at least; see `modelstitch layers`."
            )
    if layers == "all":
        return [(b, t) for b in bottom.blocks for t in top.blocks]
    if [b.layer for b in bottom.blocks] == [t.layer for t in top.blocks]:
        return list(zip(bottom.blocks, top.blocks))
    return [(min(bottom.blocks, key=lambda b: (abs(b.depth - t.depth), b.index)), t) for t in top.blocks]


def _pair(bottom: Donor, top: Donor, seed: int, axes: Axes, data: dict[str, Any]) -> Iterable[Cell]:
    own = seams(bottom, top, axes.layers)
    at_top = list(dict.fromkeys(t for _, t in own))
    for control in ("pair", *axes.controls):
        places: list[tuple[Place, Place]] = own
        sender = bottom
        if control in ("self", "class-noise"):
            places, sender = [(t, t) for t in at_top], top
        if control in ("identity", "recalibration"):
            # No map and nothing drawn: one cell serves all seeds, families and objectives.
            policy = "recalibrated" if control == "recalibration" else axes.normalisation
            if seed == axes.seeds[0]:
                yield from (
                    _cell(sender, top, b, t, "identity", "match", control, seed, axes, data, policy)
                    for b, t in places
                    if b.joint == t.joint
                )
            continue
        for b, t in places:
            for family in axes.families:
                for objective in axes.objectives:
                    yield _cell(sender, top, b, t, family, objective, control, seed, axes, data)


def _cell(
    bottom: Donor,
    top: Donor,
    b: Place,
    t: Place,
    family: str,
    objective: str,
    control: str,
    seed: int,
    axes: Axes,
    data: dict[str, Any],
    normalisation: str | None = None,
) -> Cell:
    noise = control == "class-noise"
    config = {
        "bottom": {
            "name": "class-noise" if noise else bottom.name,
            "fingerprint": "" if noise else bottom.fingerprint,
            "layer": b.layer,
            "depth": b.depth,
            "index": b.index,
        },
        "top": {
            "name": top.name, "fingerprint": top.fingerprint, "layer": t.layer, "depth": t.depth, "index": t.index,
        },
        "family": family,
        "objective": objective,
        "init": axes.fit.init if objective != "match" else "closed",
        "control": control,
        "seed": seed,
        "data": data,
        "normalisation": normalisation or axes.normalisation,
        "fit": axes.fit.model_dump(mode="json"),
    }  # fmt: skip
    return Cell(cell_hash(config), config)
