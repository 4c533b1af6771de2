"""The networks and data that the sweeps of a study share: donors looked at once, random bottoms drawn once.

Also where work that was stopped left its state: each file is named by all that decides what is in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...data.data import Data
from ...engine.alone import Alone, look, need_scores
from ...engine.anchors import choose
from ...engine.evaluate import own_outcomes
from ...engine.fit.memory import attempt
from ...engine.fit.objectives import Loss
from ...engine.fit.options import MATCH, OF_STEPS, FitSpec
from ...engine.measure import Outcome
from ...engine.senders import NetworkSender
from ...engine.sweep import MEMORY, Sweep, Watch, derive
from ...errors import NetworkError, NonFiniteError
from ...network import Network
from ...support.hashing import cell_hash
from ...support.resume import Pieces, Unfinished
from ..plan import Cell, Shared, sweeps_of


@dataclass
class Bench:
    """The networks and data of a study, with what is worked out once: donors' own outcomes, random bottoms.

    Attributes:
        networks: the donors by name.
        data: what to fit, choose and measure on.
        spec: how to fit.
        device: where.
        memory: bytes that the streams of a sweep may hold, beside the donors and one batch's way through the top;
            where they need more they run in several chunks.
        watch: hears of every look at the validation split.
        losses: the user's own losses by name.
        second: another test set to measure every stitch on.
        unfinished: a folder where sweeps leave their state every minute, and take it up again; None keeps none.
        sums: a folder where the sums of closed forms are left, too, and stay: other families need no pass.
        asked: all cells, also those that are recorded: families are made of these, so that a later run makes the same.
        failing: bottoms and tops that were looked at and gave no numbers, and why.
    """

    networks: dict[str, Network]
    data: Data
    spec: FitSpec
    device: torch.device
    memory: int = MEMORY
    watch: Watch | None = None
    second: Data | None = None
    losses: Mapping[str, Loss] = field(default_factory=dict)
    unfinished: Path | None = None
    sums: Path | None = None
    asked: Sequence[Cell] = ()
    own: dict[str, Outcome] = field(default_factory=dict)
    looked: dict[str, Alone] = field(default_factory=dict)
    few: bool = True
    failing: dict[tuple[str, str], str] = field(default_factory=dict)
    _drawn: dict[tuple[str, str, int], Network] = field(default_factory=dict)
    _chosen: dict[Any, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.data = self.data.on(self.device)

    def drawn(self, shared: Shared) -> Data:
        """The data with the fit samples that a sweep takes: of those within its budget as many as it asks for."""
        data = self.data.for_top(self.networks[shared.top], self.device)
        if shared.budget is not None and shared.budget < data.size("fit"):
            data = data.subset(shared.budget)
        if shared.samples is None:
            return data
        if shared.anchors is not None:
            return data.picked(self._anchors(data, shared))
        if shared.samples < data.size("fit"):
            data = data.subset(shared.samples, seed=derive(shared.seed, "samples"))
        return data

    def _anchors(self, data: Data, shared: Shared) -> Tensor:
        assert shared.samples is not None
        if isinstance(shared.anchors, tuple):
            return torch.tensor(shared.anchors)
        key = shared.top, shared.seed, shared.samples, shared.budget, shared.anchors
        if key not in self._chosen:
            top, how = self.networks[shared.top], str(shared.anchors)
            self._chosen[key] = choose(data, top, shared.samples, how, seed=shared.seed, device=self.device)
        return self._chosen[key]

    def spec_of(self, shared: Shared) -> FitSpec:
        """How the cells of a sweep are fitted: anchors are seen as they are."""
        return self.spec if shared.anchors is None else self.spec.model_copy(update={"augment": False})

    def alone(self, name: str, *, top: bool) -> Alone:
        """What a donor does alone, looked at once, before it is stitched.

        Raises:
            DataError, NonFiniteError: of a top whose output cannot be held against the labels.
        """
        if name not in self.looked or (top and self.looked[name].facts.error is None):
            network = self.networks[name]
            if top:
                need_scores(network, self.data)
            begun = Sweep(NetworkSender(network), network, self.data, self.spec, self.device)
            found, _ = attempt(
                lambda s: look(network, s.data, s.device, top=top, batch_size=2 * s.spec.batch_size, few=self.few),
                begun,
            )
            self.looked[name] = found
            if found.outcome is not None and not found.part:
                self.own.setdefault(name, found.outcome)
        return self.looked[name]

    def known(self, donor: Alone) -> Alone:
        """A donor with its error on the whole test split: as it was read beside the stitches, or else read now."""
        if not donor.part:
            return donor
        if donor.name not in self.own:
            network = self.networks[donor.name]
            begun = Sweep(NetworkSender(network), network, self.data, self.spec, self.device)
            try:
                found, _ = attempt(lambda s: own_outcomes({donor.name: network}, s, "test"), begun)
            except NonFiniteError as error:
                facts = donor.facts._replace(error=None, fit_error=None, fit_samples=0)
                return replace(donor, facts=facts, why=str(error).partition(":")[0], part=0)
            self.own |= found
        return replace(donor, facts=donor.facts._replace(error=self.own[donor.name].error), part=0)

    def donors(self, cell: Cell) -> list[Alone]:
        """What the two donors of a cell do alone; class noise has no bottom, and a donor may be both."""
        top, bottom = (cell.config[side]["name"] for side in ("top", "bottom"))
        below = [] if no_network(cell) or bottom == top else [self.alone(bottom, top=False)]
        return [*below, self.alone(top, top=True)]

    def all_donors(self, cells: Sequence[Cell]) -> list[Alone]:
        """What all donors of the cells do alone, bottoms first.

        Of three networks or more one may fail: it is named in ``failing``, and the others stand.

        Raises:
            DataError, NetworkError, NonFiniteError: as ``alone``.
        """
        tops = dict.fromkeys(cell.config["top"]["name"] for cell in cells)
        bottoms = dict.fromkeys(cell.config["bottom"]["name"] for cell in cells if not no_network(cell))
        found, names = [], dict.fromkeys([*bottoms, *tops])
        for name in names:
            for side in ("top", "bottom") if name in tops else ("bottom",):  # a bottom needs no output
                try:
                    found.append(self.alone(name, top=side == "top"))
                    break
                except (NetworkError, NonFiniteError) as error:
                    self.failing[side, name] = str(error)
                    if len(names) < 3 or all(("top", top) in self.failing for top in tops):
                        raise
        return found

    def fails(self, cell: Cell) -> str:
        """Why a cell is not run: what was found of its donors; empty where all is well."""
        ends = ((side, cell.config[side]["name"]) for side in ("bottom", "top"))
        return next((self.failing[end] for end in ends if end in self.failing), "")

    def sweeps(self, groups: Sequence[Sequence[Cell]]) -> Sequence[Sequence[Cell]]:
        """All sweeps that were asked for, those that are recorded included: states bear the names of all."""
        return sweeps_of(cell for cell in self.asked if not self.fails(cell)) if self.asked else groups

    def below(self, cell: Cell) -> Network | None:
        """The network that sends in a cell; None where none does. Of those that are drawn the last one is kept."""
        shared, control = cell.sweep, cell.sweep.control
        if no_network(cell):
            return None
        if control is None or control.draw is None:
            return self.networks[shared.bottom]
        key = shared.kind, shared.bottom, shared.seed
        if key not in self._drawn:
            self._drawn = {key: control.draw(self.networks[shared.bottom], self.data, shared.seed)}
        return self._drawn[key]


def no_network(cell: Cell) -> bool:
    """Whether a cell has no bottom network: a control stands in for it."""
    return cell.sweep.control is not None and cell.sweep.control.sender is not None


def left(cell: Cell, bench: Bench, start: int = 0) -> Unfinished | None:
    """Where the sweep of a cell leaves the state of a start; which of its cells that is of, the state itself says."""
    if bench.unfinished is None:
        return None
    shared: dict[str, Any] = {key: cell.config[key] for key in ("data", "normalisation", "seed")}
    shared["fit"] = {key: value for key, value in cell.config["fit"].items() if key not in OF_STEPS}
    ends = {side: cell.config[side]["fingerprint"] for side in ("bottom", "top")}
    work = {**shared, **ends, "sweep": str(cell.sweep), "company": cell.company, **({"start": start} if start else {})}
    return Unfinished(bench.unfinished / cell_hash(work), bench.device)


PIECES = ("sums", "test", "second")


def left_together(groups: Sequence[Sequence[Cell]], bench: Bench) -> Pieces | None:
    """Where a family leaves its sums, and what it has measured so far: named by its cells, in their order."""
    if bench.unfinished is None:
        return None
    work = {"family": [cell.hash for group in groups for cell in group]}
    return Pieces(bench.unfinished, f"family-{cell_hash(work)}", bench.device)


def sums_left(cells: Sequence[Cell], sweep: Sweep, bench: Bench) -> Unfinished | None:
    """Where the sums of solved cells are left while they grow; the file is named by all that decides what they are."""
    folder = bench.sums or bench.unfinished
    config = cells[0].config
    solved = all(cell.config["objective"] == MATCH for cell in cells) and config["normalisation"] == "frozen"
    if folder is None or not solved or cells[0].sweep.kind != "plain":
        return None
    fit = {key: config["fit"].get(key) for key in ("samples", "augment", "anchors_by", "positions", "sums")}
    seams = sorted({(cell.config["bottom"]["layer"], cell.config["top"]["layer"]) for cell in cells})
    ends = [[config[side]["fingerprint"], config[side].get("view", "")] for side in ("bottom", "top")]
    work = {
        "ends": ends,
        "seams": [list(seam) for seam in seams],
        "data": config["data"],
        "seed": config["seed"],
        "fit": fit,
        "batch size": sweep.spec.batch_size,
    }
    return Unfinished(folder / f"sums-{cell_hash(work)}", bench.device)
