"""The two ways a figure is run: with the choices of the paper's released code, and with ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import StudyError


@dataclass(frozen=True)
class Protocol:
    """How stitchers are fitted and what stands beside them.

    Attributes:
        family, objective, init, normalisation: of the fit, as for ``stitch``.
        stitch_on: the samples a stitcher sees: the top network's own ("top"), or the whole fit split ("all").
        controls: beside every pair.
        words: the protocol in one sentence.
    """

    name: str
    family: str
    objective: str
    init: Literal["closed", "random"]
    normalisation: str
    stitch_on: Literal["top", "all"]
    controls: tuple[str, ...]
    words: str


HONEST = Protocol(
    "honest",
    "affine",
    "task",
    "closed",
    "frozen",
    "top",
    ("self", "class-noise"),
    "An affine map, started from its closed form and fitted to the labels of the top's own samples; BatchNorm "
    "statistics stay the donors'; the step is chosen on validation data, the test split is read once; random bottoms "
    "are re-initialised throughout; the top's own bottom (self) and class-noise stand beside every pair.",
)
PAPER = Protocol(
    "paper",
    "norm-affine-norm",
    "task",
    "random",
    "batch",
    "all",
    (),
    "BatchNorm, a 1x1 convolution and BatchNorm from a random start, fitted to the labels of the whole training "
    "split; both frozen parts run in training mode while it is fitted, so that their BatchNorm statistics are "
    "overwritten; the last step counts; its budget is ours (the paper's "
    "own is 120,000 steps of 128 samples at rate 1e-3); the random bottom is the top with its stem and head drawn "
    "anew, all blocks still trained.",
)
PROTOCOLS = {p.name: p for p in (HONEST, PAPER)}


def protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        StudyError: if there is none.
    """
    if name not in PROTOCOLS:
        raise StudyError(f"There is no protocol {name!r}: expected one of {', '.join(PROTOCOLS)}.")
    return PROTOCOLS[name]
