"""From a question to cells: every stitch that is to be fitted, each once, named by the hash of its configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, NamedTuple

from ..engine.controls import CONTROLS, Control
from ..engine.fit.options import MATCH, OF_STEPS, SOLVED, FitSpec
from ..engine.fit.whiten import by_muon
from ..errors import StudyError
from ..network.layers import matching
from ..notation import is_pattern, matched, parse
from ..stitchers import family_of
from ..support.hashing import cell_hash
from ..support.words import hint, some
from .question import Question

PLAIN = "plain"


@dataclass(frozen=True)
class Place:
    """A block cut of a donor: its layer, the fraction of weighted operations below it, and its position."""

    layer: str
    depth: float
    index: int
    joint: tuple[str, tuple[int, ...]]  # kind and shape


@dataclass(frozen=True)
class PlannedDonor:
    """What a plan needs to know of a network."""

    name: str
    fingerprint: str
    blocks: tuple[Place, ...]
    cuts: tuple[Place, ...]
    budget: int | None = None  # it was trained on the first so many fit samples; None: all, or unknown
    view: str = ""  # how it sees a sample; empty where it sees it as the data give it
    aliases: tuple[tuple[str, str], ...] = ()  # (another name, the listed name) of its exact cuts

    @property
    def known(self) -> dict[str, None]:
        """Names and aliases of the exact cuts."""
        return dict.fromkeys([*(place.layer for place in (*self.blocks, *self.cuts)), *dict(self.aliases)])

    def places(self, layer: str) -> list[Place]:
        """The exact cut of that name or alias, or the block cuts that a pattern such as ``layer*`` fits.

        Raises:
            StitchError: if there is none.
        """
        blocks = [place.layer for place in self.blocks]
        return [self.place(name) for name in matched(layer, blocks, self.known, self.name)]

    def place(self, layer: str) -> Place:
        """The exact cut of that name or alias.

        Raises:
            StudyError: if there is none.
        """
        named = dict(self.aliases)
        listed = named.get(layer, layer)
        for place in (*self.blocks, *self.cuts):
            if place.layer == listed:
                return place
        cuts = dict.fromkeys(place.layer for place in (*self.blocks, *self.cuts))
        where = f"see `modelstitch layers` (it has {some(cuts)})."
        raise StudyError(
            f"The donor {self.name!r} has no exact cut {layer!r}: {hint(layer, self.known, where, count=2, alike=0.4)}"
        )


@dataclass(frozen=True)
class Cell:
    """One stitch to fit.

    Attributes:
        company: stands for the cells that it is fitted together with in the whole plan: the unfinished state of one
            plan is not another's, and no two processes of one plan share a state.
    """

    hash: str
    config: dict[str, Any]
    company: str = ""

    @property
    def starts(self) -> int:
        """How many starts its fit may take, of which the best counts."""
        return int(self.config.get("starts", 1))

    @property
    def sweep(self) -> Shared:
        """Cells with the same key share one bottom and one set of fit samples."""
        config = self.config
        control = config["control"]
        row = CONTROLS.get(control)
        kind = control if row is not None and row.apart else PLAIN
        return Shared(
            kind,
            config["bottom"]["name"],
            config["top"]["name"],
            config["seed"],
            config["normalisation"],
            config["fit"]["samples"],
            config["data"].get("budget"),
            tuple(by) if isinstance(by := config["fit"].get("anchors_by"), list) else by,
        )


class Shared(NamedTuple):
    """What the cells of a sweep have in common.

    Attributes:
        kind: a control whose bottom or samples are its own, or "plain" for all others.
        bottom, top: names.
        seed, normalisation: as in the cells.
        samples: fit examples drawn; None is all of them.
        budget: the first so many fit examples are drawn from; None is all of them.
        anchors: how the samples are chosen where they are anchors, or which they are; None where they are none.
    """

    kind: str
    bottom: str
    top: str
    seed: int
    normalisation: str
    samples: int | None
    budget: int | None
    anchors: str | tuple[int, ...] | None = None

    @property
    def control(self) -> Control | None:
        """The row of the control that the sweep is of; None where it is plain."""
        return CONTROLS.get(self.kind)


def sweeps_of(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Cells in the groups that are fitted side by side: those of one sweep key.

    Under "batch" the bottom's statistics move for as long as any cell of the group is fitted, and objectives differ in
    how long that is: one objective a group, so that a cell does not depend on its company.
    """
    found: dict[Shared, dict[str, list[Cell]]] = {}
    for cell in cells:
        moving = cell.config["normalisation"] == "batch"
        found.setdefault(cell.sweep, {}).setdefault(cell.config["objective"] if moving else "", []).append(cell)
    return [group for groups in found.values() for group in groups.values()]


def plan(
    pairs: Iterable[tuple[PlannedDonor, PlannedDonor]],
    question: Question,
    data: dict[str, Any],
    *,
    others: Mapping[str, PlannedDonor] | None = None,
    codes: Mapping[str, str] | None = None,
) -> list[Cell]:
    """All cells of the pairs and their controls, equal work once, in an order that shares bottoms.

    Args:
        pairs: (bottom, top).
        question: with its controls spelled out.
        data: what records state about the data.
        others: top: another seed of it, for controls that it sends in.
        codes: family: hash of its code, of a user's own.
    """
    grid = _Grid(question, data, others or {}, codes or {})
    found: dict[str, Cell] = {}
    for bottom, top in pairs:
        own = top.budget if question.fit.budget == "top" and top.budget is not None else data["fit"]
        variants = question.curve(min(own, data["fit"]))
        most = max(variants, key=lambda variant: variant.fit.samples or 0)
        for variant, seed in product(variants, question.seeds):
            unfitted = variant is most and seed == question.seeds[0]
            for cell in _pair(bottom, top, seed, replace(grid, question=variant), unfitted=unfitted):
                found.setdefault(cell.hash, cell)
    return in_company(found.values())


def in_company(cells: Iterable[Cell]) -> list[Cell]:
    """Cells by sweeps, each with what stands for those that it is fitted together with.

    The states of a share are its own.
    """
    names = [(cell_hash({"cells": [cell.hash for cell in part]}), part) for part in sweeps_of(cells)]
    return [replace(cell, company=company) for company, part in names for cell in part]


def seams(bottom: PlannedDonor, top: PlannedDonor, layers: str | Sequence[str]) -> list[tuple[Place, Place]]:
    """The seams of a pair: "matching", "all", or written ones.

    Matching: see ``modelstitch.network.layers.matching``.

    Raises:
        StudyError: if the donors have no block cuts, or the layers or a written seam cannot be read.
    """
    if not isinstance(layers, str):
        return list(dict.fromkeys(seam for text in layers for seam in _written(bottom, top, text)))
    for donor in (bottom, top):
        if not donor.blocks:
            raise StudyError(
                f"The donor {donor.name!r} has no exact block cut: expected one at least; `modelstitch layers "
                f"--all` says what bypasses each layer."
            )
    if layers not in ("all", "matching"):
        raise StudyError(f"The layers {layers!r} are unknown: expected 'matching', 'all' or a list of seams.")
    if layers == "all":
        return [(b, t) for b in bottom.blocks for t in top.blocks]
    below, above = ([(place.layer, place.joint[0], place.depth) for place in end.blocks] for end in (bottom, top))
    return [(bottom.blocks[at], top.blocks[here]) for at, here in matching(below, above)]


def _written(bottom: PlannedDonor, top: PlannedDonor, text: str) -> list[tuple[Place, Place]]:
    """The seams that a text stands for: one, or with patterns every layer to every layer.

    A pattern alone joins layers of one name.
    """
    seam = parse(text)
    if seam.bottom_layer == seam.top_layer and is_pattern(seam.top_layer) and seam.top_layer not in top.known:
        same = {place.layer: place for place in top.places(seam.top_layer)}
        found = [(place, same[place.layer]) for place in bottom.places(seam.bottom_layer) if place.layer in same]
        if not found:
            raise StudyError(
                f"The layers {text!r} are of no name that {bottom.name!r} and {top.name!r} have in common: expected "
                "such names, or a pattern for each side, 'layer* -> blocks.*'."
            )
        return found
    return list(product(bottom.places(seam.bottom_layer), top.places(seam.top_layer)))


@dataclass(frozen=True)
class _Grid:
    """What all cells of a plan have in common."""

    question: Question
    data: dict[str, Any]
    others: Mapping[str, PlannedDonor]
    codes: Mapping[str, str]


def _pair(bottom: PlannedDonor, top: PlannedDonor, seed: int, grid: _Grid, *, unfitted: bool) -> Iterable[Cell]:
    question = grid.question
    own = seams(bottom, top, question.layers)
    for name in ("pair", *(question.controls or ())):
        control = CONTROLS.get(name)
        found = (bottom, own) if control is None else _sent(control, bottom, top, own, grid.others)
        if found is None:
            continue  # no other seed was given for this top
        sender, places = found
        if control is None or control.fitted:
            for (b, t), family, objective in product(places, question.families, question.objectives):
                yield _cell(sender, top, b, t, family, objective, name, seed, grid)
        elif unfitted:
            # No map and nothing drawn: one cell serves all seeds, families, objectives and numbers of fit samples.
            for b, t in places:
                if b.joint == t.joint:
                    yield _cell(sender, top, b, t, "identity", MATCH, name, seed, grid)


def _sent(
    control: Control,
    bottom: PlannedDonor,
    top: PlannedDonor,
    own: Sequence[tuple[Place, Place]],
    others: Mapping[str, PlannedDonor],
) -> tuple[PlannedDonor, Sequence[tuple[Place, Place]]] | None:
    """What sends in a control, and its seams; None where it is not there."""
    at_top = list(dict.fromkeys(t for _, t in own))
    if control.sends == "top":
        return top, [(t, t) for t in at_top]
    if control.sends == "another seed":
        found = others.get(top.name)
        return None if found is None else (found, _beside(found, top, at_top))
    return bottom, own


def _beside(other: PlannedDonor, top: PlannedDonor, at_top: Sequence[Place]) -> list[tuple[Place, Place]]:
    """The seams of another seed of the top: the same layers on both sides.

    Raises:
        StudyError: if it has other layers.
    """
    named = {place.layer: place for place in (*other.blocks, *other.cuts)}
    missing = [place.layer for place in at_top if place.layer not in named]
    if missing:
        raise StudyError(
            f"The donor {other.name!r} is no other seed of {top.name!r}: expected the same architecture, found no "
            f"exact cut {missing[0]!r}."
        )
    return [(named[place.layer], place) for place in at_top]


def _cell(
    bottom: PlannedDonor,
    top: PlannedDonor,
    b: Place,
    t: Place,
    family: str,
    objective: str,
    control: str,
    seed: int,
    grid: _Grid,
) -> Cell:
    question, data, row = grid.question, grid.data, CONTROLS.get(control)
    instead = row.stands_as if row is not None and row.sender is not None else ""
    if top.budget is not None and question.fit.budget == "top":  # fitted on what the top was trained on, and no more
        data = {**data, "fit": min(top.budget, data["fit"]), "budget": top.budget}
    config: dict[str, Any] = {
        "bottom": _end(bottom, b, instead),
        "top": _end(top, t),
        "family": family,
        **({} if question.unfreeze is None else {"unfreeze": question.unfreeze}),
        **({"family_code": grid.codes[family]} if family in grid.codes else {}),
        "objective": objective,
        "init": "closed" if objective in SOLVED else question.fit.init,
        "control": control,
        **({"starts": question.starts} if question.starts > 1 and _restarted(row, objective) else {}),
        "seed": seed,
        "data": data,
        "normalisation": (row.normalisation if row is not None else None) or question.normalisation,
    }
    config["fit"] = _fit(question.fit, config, data["val"])
    return Cell(cell_hash(config), config)


def _end(donor: PlannedDonor, place: Place, instead: str = "") -> dict[str, Any]:
    """One side of a seam; what sends instead of a network has a name alone."""
    plain = {"name": donor.name, "fingerprint": donor.fingerprint, "layer": place.layer}
    plain |= {"name": instead, "fingerprint": ""} if instead else {"view": donor.view} if donor.view else {}
    return {**plain, "depth": place.depth, "index": place.index}


def _restarted(control: Control | None, objective: str) -> bool:
    """Whether a cell may take several starts: its fit takes steps, and tells nothing where it fails."""
    return control is not None and control.positive and objective not in SOLVED


def _fit(spec: FitSpec, config: Mapping[str, Any], val: int) -> dict[str, Any]:
    """How a cell is fitted, as it is named by: some options only where they may change what is kept."""
    stated = {key: value for key, value in spec.model_dump(mode="json").items() if key not in OF_STEPS}
    if config["objective"] in SOLVED:
        return stated
    if by_muon(spec, family_of(config["family"])[0], config["normalisation"]):
        stated["optimizer"] = spec.optimizer
    if spec.look < val:
        stated["look"] = spec.look
    if spec.stop_early and spec.steps > 2 * spec.eval_every:  # with three looks after the start
        stated["stop_early"] = True
    return stated


def title_of(config: Mapping[str, Any]) -> str:
    """A cell as events call it, from its first look to its penalty."""
    bottom, top, samples = config["bottom"], config["top"], config["fit"].get("samples")
    control = "" if config["control"] == "pair" else f"{config['control']}, "
    how = f"{control}{config['family']} {config['objective']}, seed {config['seed']}"
    few = "" if samples is None else f", {samples} examples"
    return f"{bottom['name']}@{bottom['layer']} -> {top['name']}@{top['layer']}/{how}{few}"


class Shard(NamedTuple):
    """The cells whose hash, taken as a number, leaves ``number`` when it is divided by ``of``.

    Shards of one ``of`` take every cell once. Which shard takes a cell depends on nothing but the cell.
    """

    number: int
    of: int

    @classmethod
    def read(cls, text: str) -> Shard:
        """Read "2/8", the third of eight.

        Raises:
            StudyError: if it is no such share.
        """
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip(), re.ASCII)
        number, of = (int(part) for part in found.groups()) if found else (0, 0)
        if number >= of:
            raise StudyError(
                f"The shard {text!r} is none: expected I/N with I from 0 to N - 1, such as 0/8 for the first of eight."
            )
        return cls(number, of)

    def takes(self, cell: str) -> bool:
        """Whether the cell of that hash is one of its own."""
        return int(cell, 16) % self.of == self.number

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"
