"""A question with the things that it names, and the cells that it makes of them.

Networks, data and functions go by their names, fingerprints and hashes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..data.data import Data, check_data
from ..engine.activations import keeping
from ..engine.alone import need_scores
from ..engine.entry import check_entry
from ..engine.fit.objectives import Loss, checked, name_of
from ..engine.sweep import MEMORY, Watch
from ..errors import DataError, ShapeError, StitchError, StudyError
from ..network import Network, apart, check_networks
from ..stitchers import Site, family_of, own_codes
from ..support.device import pick_device
from ..support.kinds import as_found
from ..support.user_code import in_words
from ..support.words import counted
from .keywords import CompareOptions
from .plan import Cell, Place, PlannedDonor, in_company, plan
from .question import Question, read
from .sweeps.bench import Bench


@dataclass(frozen=True)
class Prepared:
    """A question that was read and checked, and the things that it names.

    Attributes:
        networks: other seeds are among them.
        data: to fit, choose and measure on.
        second: another test set to measure on.
        losses: objectives of the user's own, by name.
    """

    question: Question
    networks: list[Network]
    data: Data
    second: Data | None = None
    losses: Mapping[str, Loss] = field(default_factory=dict)

    @property
    def named(self) -> dict[str, Network]:
        """The networks by name."""
        return {network.name: network for network in self.networks}

    def plain(self) -> dict[str, Any]:
        """What the folder of a comparison is named by, as plain values."""
        question = self.question
        codes = dict(own_codes(question.families))
        unsaid = {"networks", "both", "other_seeds", *(() if question.samples else ("samples",))}
        return {
            **{key: value for key, value in question.identity().items() if key not in unsaid},
            "donors": {network.name: network.fingerprint() for network in self.networks},
            "pairs": [list(pair) for pair in question.ordered_pairs()],
            "data": self.data.fingerprint,
            **({"task": task} if (task := self.data.describe().get("task")) else {}),
            **({"family codes": codes} if codes else {}),
            **({"other seeds": question.other_seeds} if question.other_seeds else {}),
        }

    def planned(self) -> tuple[dict[str, PlannedDonor], list[Cell]]:
        """What a plan knows of the networks, by name, and all cells; what cannot be run is refused.

        Raises:
            StudyError: two donors share a name.
            DataError: the networks or the controls do not fit the data.
        """
        named, pairs = self.named, self.question.ordered_pairs()
        if len(named) < len(self.networks):
            names = [network.name for network in self.networks]
            twice = next(name for name in names if names.count(name) > 1)
            raise StudyError(
                f"Two donors have the same name {twice!r}: expected distinct names; give each Network a name=."
            )
        check_entry(self.networks, self.data, second=self.second)
        question = self.question.for_labels(self.data.task)
        for name in dict.fromkeys(top for _, top in pairs):
            need_scores(named[name], self.data)
            if question.unfreeze is not None and question.unfreeze.startswith("after:"):
                named[name].cut(question.unfreeze.removeprefix("after:"))  # refuses a layer that is none
        donors = {name: describe_donor(network) for name, network in named.items()}
        cells = plan(
            [(donors[b], donors[t]) for b, t in pairs],
            question,
            data_config(self.data, self.second),
            others={top: donors[name] for top, name in question.other_seeds.items() if name in donors},
            codes=dict(own_codes(question.families)),
        )
        _check_anchors(cells, named)
        return donors, cells

    def keeping(self, folder: str | Path, cells: Sequence[Cell]) -> Prepared:
        """The same, of networks whose activations at the cells' layers are kept in a folder.

        Raises:
            StudyError: samples are augmented, so that none comes twice.
        """
        if self.question.fit.augment and self.data.augment is not None:
            raise StudyError(
                f"Activations of {self.data.name} cannot be kept, since its fit samples are augmented anew each time: "
                "expected the same samples at every read; ask with augment=False, or leave activations= out."
            )
        layers: dict[str, dict[str, None]] = {}
        for cell in cells:
            for side in ("bottom", "top"):
                layers.setdefault(cell.config[side]["name"], {})[cell.config[side]["layer"]] = None
        kept = [
            keeping(network, folder, layers[network.name]) if network.name in layers else network
            for network in self.networks
        ]
        return replace(self, networks=kept)

    def bench(self, device: str, memory: float | None = None, watch: Watch | None = None) -> Bench:
        """What the cells work on; ``memory`` is the budget of a sweep in gigabytes, 2 by default.

        Raises:
            StudyError: the budget is not above 0.
        """
        where = pick_device(device)
        return Bench(self.named, self.data, self.question.fit, where, _budget(memory), watch, self.second, self.losses)


def compared(
    bottom: Network | Sequence[Network], top: Network | None, data: Data | None, asked: dict[str, Any]
) -> Prepared:
    """Read what ``modelstitch.compare`` was asked: of two networks, or of a list of them.

    Raises:
        StitchError: what is asked cannot be answered of these networks and data.
    """
    if isinstance(bottom, Sequence):
        if top is not None or not bottom:
            raise StitchError(
                "Several networks are given in one list, and the data by name: expected compare([a, b, c], data=data)."
            )
        networks = list(bottom)
    else:
        check_networks(bottom=bottom, top=top)
        networks = list(dict.fromkeys(apart(bottom, top)))  # type: ignore[arg-type]
    if len(networks) == 1:  # beside itself
        asked.setdefault("pairs", [(networks[0].name, networks[0].name)] if isinstance(networks[0], Network) else ())
    return prepared(CompareOptions, networks, data, asked)


def prepared(
    options: type, networks: list[Network], data: Data | None, values: dict[str, Any], *, seam: Sequence[Any] = ()
) -> Prepared:
    """Read the keywords of a question.

    Args:
        options: those that there are.
        networks: that it is about.
        data: to fit and measure on.
        values: as given; changed in place.
        seam: of one stitch, in a list.

    Raises:
        StitchError: one is unknown or wrong.
    """
    check_data(data)
    assert data is not None
    others = _other_seeds(values.get("other_seeds"))
    for network in networks:
        check_networks(network=network)
    if (metric := values.pop("metric", None)) is not None:
        data = data.measured_by(metric)
    if (second := values.get("second")) is not None:
        check_data(second)
        second = second if metric is None else second.measured_by(metric)
        _check_same_task(data, second)
        values["second"] = second.fingerprint
    if others:
        values["other_seeds"] = {top: network.name for top, network in others.items()}
    losses: dict[str, Loss] = {}
    if "objective" in values:
        values["objective"] = _named(values["objective"], losses)
    question = read(options, values, [network.name for network in networks], losses, seam=seam)
    question = question.for_labels(data.task)
    networks = [*networks, *(network for network in others.values() if network not in networks)]
    check_entry(networks, data, second=second)  # before random data are taken for another study's
    return Prepared(question, networks, data, second, losses)


def _other_seeds(given: Any) -> dict[str, Network]:
    """The networks of the control other-seed, by their top."""
    if given is not None and not isinstance(given, Mapping):
        raise StudyError(f"other_seeds is a dict {{top: network}}: found {as_found(given)}.")
    for network in (given or {}).values():
        check_networks(**{"other seed": network})
    return dict(given or {})


def _check_same_task(data: Data, second: Data) -> None:
    if second.task.name != data.task.name:
        raise DataError(
            f"The second test set {second.name} is of the task {second.task.name}, the data {data.name} of "
            f"{data.task.name}: expected one task; give both the same task=."
        )


def _named(goal: Any, losses: dict[str, Loss]) -> Any:
    """An objective, or several, with the user's own losses by their names."""
    if isinstance(goal, str):
        return goal
    if isinstance(goal, list | tuple):
        return [_named(part, losses) for part in goal]
    name = name_of(goal)
    losses[name] = checked(name, goal)
    return name


def describe_donor(network: Network) -> PlannedDonor:
    """What a plan needs to know of a network."""
    order = network.cuts

    def place(name: str) -> Place:
        layer = network.layer(name)
        return Place(name, round(layer.depth, 6), order.index(name), (layer.kind, layer.shape))

    return PlannedDonor(
        network.name,
        network.fingerprint(),
        tuple(place(name) for name in network.blocks),
        tuple(place(name) for name in order),
        network.trained_on,
        in_words(network.view),
        tuple((alias, name) for name in order for alias in network.layer(name).aliases if alias != name),
    )


def data_config(data: Data, second: Data | None = None) -> dict[str, Any]:
    """What a record states about the data, and about a second test set."""
    stated = data.describe()
    keys = ("name", "fingerprint", "fit", "val", "test", "classes", "augment", "splits", "task")
    config = {key: stated[key] for key in keys if key in stated}
    if second is not None:
        config["second"] = {"name": second.name, "fingerprint": second.fingerprint, "test": second.size("test")}
    return config


def with_members(cells: Sequence[Cell], networks: Mapping[str, Network]) -> tuple[list[Cell], list[str]]:
    """The cells whose family has a member for the seam, and a sentence on the others of each family.

    Raises:
        ShapeError: there is none for any pair.
    """
    found, errors, counts = [], dict[str, list[str]](), dict[str, int]()
    for cell in cells:
        config = cell.config
        top = networks[config["top"]["name"]]
        below = networks.get(config["bottom"]["name"], top)  # class noise has the shape of the top's own
        b, t, text = config["bottom"]["layer"], config["top"]["layer"], config["family"]
        cls, options = family_of(text)
        counts[text] = counts.get(text, 0) + 1
        try:
            cls.check_site(Site(below.layer(b).channels, top.layer(t).channels, top.layer(t).kind), **options)
        except ShapeError as error:
            errors.setdefault(text, []).append(f"{below.name}@{b} -> {top.name}@{t}: {error}")
        else:
            found.append(cell)
    if errors and not any(cell.config["control"] == "pair" for cell in found):
        text, (first, *_) = next(iter(errors.items()))
        raise ShapeError(f"{text} joins no pair of the layers, the first is {first}")
    notes = [
        f"{text} is left out for {len(why)} of {counts[text]} pairs, the first {why[0]}" for text, why in errors.items()
    ]
    return (in_company(found) if errors else list(cells)), notes


def _check_anchors(cells: Sequence[Cell], networks: Mapping[str, Network]) -> None:
    """Refuse fewer anchors than a family takes.

    Raises:
        DataError: saying how many are needed.
    """
    for cell in cells:
        config = cell.config
        if cell.sweep.anchors is None:
            continue
        cls, options = family_of(config["family"])
        layer, n = networks[config["top"]["name"]].layer(config["top"]["layer"]), cell.sweep.samples or 0
        places, least = math.prod(layer.positions), cls.fewest(**options)
        if n * places < least:
            raise DataError(
                f"{counted(n, 'anchor')} cannot be stitched from by the family {config['family']!r} at {layer.name!r}, "
                f"which takes at least {least} rows, {places:,} of each anchor: expected {-(-least // places):,} at "
                "least."
            )


def _budget(memory: float | None) -> int:
    """Bytes for gigabytes.

    Raises:
        StudyError: if the number is not above 0.
    """
    if memory is not None and not memory > 0:
        raise StudyError(f"The memory budget {memory} cannot be kept: expected gigabytes above 0.")
    return MEMORY if memory is None else int(memory * 1e9)
