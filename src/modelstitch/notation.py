"""The written form of a seam: ``bottom@layer -> top@layer``.

A layer whose name would mislead stands in double quotes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import translate

from .errors import StitchError, UnknownLayerError

_ARROW = "->"
_QUOTE = '"'
_QUOTED = re.compile(r'^(?:(?P<network>.*)@)?\s*"(?P<layer>[^"]*)"$', re.DOTALL)


@dataclass(frozen=True, order=True)
class Seam:
    """Where a bottom ends and a top begins.

    Names may be empty where the networks are known from elsewhere: ``layer2 -> layer3``.
    """

    bottom: str
    bottom_layer: str
    top: str
    top_layer: str

    def __str__(self) -> str:
        return f"{written(self.bottom, self.bottom_layer)} {_ARROW} {written(self.top, self.top_layer)}"


def parse(text: str) -> Seam:
    """Read ``"layer2"``, ``"layer2 -> blocks.4"`` or ``"a@layer2 -> b@blocks.4"``.

    One layer alone stands for the same layer on both sides. A layer whose name holds ``->`` or ``@`` stands in double
    quotes: ``'a@"in->out"'``.

    Raises:
        StitchError: if an arrow or a layer name is missing or repeated.
    """
    parts = [part.strip() for part in _sides(text)]
    if len(parts) > 2 or not all(parts):
        raise StitchError(
            f"The seam {text!r} cannot be read: expected 'layer' or 'bottom@layer -> top@layer', found {len(parts)} "
            "parts; write one arrow with a layer on each side, and a layer whose name holds an arrow in double "
            "quotes, or give a pair of layers, ('in->out', 'in->out')."
        )
    (bottom, bottom_layer), (top, top_layer) = (end(part, text) for part in (parts[0], parts[-1]))
    return Seam(bottom, bottom_layer, top, top_layer)


def end(part: str, whole: str | None = None) -> tuple[str, str]:
    """("network", "layer") of ``network@layer`` or ``network@"layer"``; the network is "" where there is none.

    Raises:
        StitchError: if no layer is named.
    """
    quoted = _QUOTED.match(part)
    if quoted:
        network, layer = quoted["network"] or "", quoted["layer"]
    else:  # network names may hold "@" (a version tag), hence the last one divides
        network, _, layer = part.rpartition("@")
    if not layer.strip():
        raise StitchError(f"The seam {whole or part!r} names no layer in {part!r}: expected 'network@layer'.")
    return network.strip(), layer if quoted else layer.strip()


def written(network: str, layer: str) -> str:
    """One end of a seam, in quotes where the layer's name would be read as something else."""
    plain = _ARROW not in layer and "@" not in layer and layer == layer.strip()
    name = layer if plain or _QUOTE in layer else f"{_QUOTE}{layer}{_QUOTE}"
    return f"{network}@{name}" if network else name


def is_pattern(layer: str) -> bool:
    """Whether a layer is written as a pattern: ``*`` stands for any letters, ``?`` for one."""
    return any(mark in str(layer) for mark in "*?")


def matched(layer: str, blocks: Sequence[str], known: Collection[str], whose: str) -> list[str]:
    """The layers that a name or a pattern stands for: itself, or the block cuts that the pattern fits, in their order.

    Args:
        layer: as it was written.
        blocks: the network's block cuts.
        known: all names of its layers; one of them is no pattern, whatever letters it has.
        whose: the network's name.

    Raises:
        UnknownLayerError: no block cut fits.
    """
    if not is_pattern(layer) or layer in known:
        return [layer]
    fits = re.compile(translate(layer.replace("[", "[[]")))  # "*" and "?" alone mean something
    found = [name for name in blocks if fits.match(name)]
    if not found:
        shown = ", ".join(map(repr, blocks[:4])) + (", ..." if blocks[4:] else "")
        raise UnknownLayerError(
            f"No block cut of the network {whose!r} fits {layer!r}: expected a pattern of {shown or 'none'}; another "
            "exact cut is named in full."
        )
    return found


def _sides(text: str) -> list[str]:
    """The text at its arrows, but not at those in quotes."""
    sides, start, quoted = [], 0, False
    for at, letter in enumerate(text):
        if letter == _QUOTE:
            quoted = not quoted
        elif not quoted and text.startswith(_ARROW, at):
            sides.append(text[start:at])
            start = at + len(_ARROW)
    return [*sides, text[start:]] if not quoted else text.split(_ARROW)
