"""Which cells of a plan can be.

A family may have no member for a seam, such as an orthogonal map between unequal widths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import ShapeError
from ..network import Network
from ..stitchers import Site, family_of
from .plan import Cell, in_company


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
