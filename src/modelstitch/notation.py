"""The written form of a seam: ``bottom@layer -> top@layer``."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import StitchError

_ARROW = "->"


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
        return f"{_end(self.bottom, self.bottom_layer)} {_ARROW} {_end(self.top, self.top_layer)}"


def parse(text: str) -> Seam:
    """Read ``"layer2"``, ``"layer2 -> blocks.4"`` or ``"a@layer2 -> b@blocks.4"``.

    One layer alone stands for the same layer on both sides.

    Raises:
        StitchError: if an arrow or a layer name is missing or repeated.
    """
    parts = [part.strip() for part in text.split(_ARROW)]
    if len(parts) > 2 or not all(parts):
        raise StitchError(
            f"The seam {text!r} cannot be read: expected 'layer' or 'bottom@layer -> top@layer', "
            f"found {len(parts)} parts; write one arrow with a layer on each side."
        )
    (bottom, bottom_layer), (top, top_layer) = (_split(part, text) for part in (parts[0], parts[-1]))
    return Seam(bottom, bottom_layer, top, top_layer)


def _split(part: str, whole: str) -> tuple[str, str]:
    # Layer names hold no "@", network names may (a version tag), hence the last one divides.
    network, _, layer = part.rpartition("@")
    if not layer:
        raise StitchError(f"The seam {whole!r} names no layer in {part!r}: expected 'network@layer'.")
    return network.strip(), layer.strip()


def _end(network: str, layer: str) -> str:
    return f"{network}@{layer}" if network else layer
