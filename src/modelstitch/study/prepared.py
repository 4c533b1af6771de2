"""A question with the things that it names: networks, data and functions go by their names, fingerprints and hashes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..data.data import Data, check_data
from ..engine.entry import check_entry
from ..engine.fit.objectives import Loss
from ..engine.fit.own_loss import checked, name_of
from ..errors import StitchError
from ..network import Network, apart, check_networks
from ..stitchers import own_codes
from .keywords import CompareOptions, read
from .question import Comparison


@dataclass(frozen=True)
class Prepared:
    """A question that was read and checked, and the things that it names.

    Networks (other seeds too), data, own losses.
    """

    question: Comparison
    networks: list[Network]
    data: Data
    second: Data | None
    losses: dict[str, Loss]

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
            **({"family codes": codes} if codes else {}),
            **({"other seeds": question.other_seeds} if question.other_seeds else {}),
        }


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
    found = prepared(CompareOptions, networks, data, asked)
    check_entry(found.networks, found.data, second=found.second)  # before random data are taken for another study's
    return found


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
    others: dict[str, Network] = dict(values.get("other_seeds") or {})
    for network in networks:
        check_networks(network=network)
    for network in others.values():
        check_networks(**{"other seed": network})
    if (second := values.get("second")) is not None:
        check_data(second)
        values["second"] = second.fingerprint
    if others:
        values["other_seeds"] = {top: network.name for top, network in others.items()}
    losses: dict[str, Loss] = {}
    if "objective" in values:
        values["objective"] = _named(values["objective"], losses)
    question = read(options, values, [network.name for network in networks], losses, seam=seam)
    question = question.for_labels(sequences=data.labels("val").ndim > 1)
    networks = [*networks, *(network for network in others.values() if network not in networks)]
    return Prepared(question, networks, data, second, losses)


def _named(goal: Any, losses: dict[str, Loss]) -> Any:
    """An objective, or several, with the user's own losses by their names."""
    if isinstance(goal, str):
        return goal
    if isinstance(goal, list | tuple):
        return [_named(part, losses) for part in goal]
    name = name_of(goal)
    losses[name] = checked(name, goal)
    return name
