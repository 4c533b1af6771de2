"""Figure 2C: a bottom that saw more data improves a top that saw little; one that saw less harms it."""

from __future__ import annotations

from .claims import all_of, below, negative
from .figure import Claim, Figure, Line, Model

TOP = Model(samples="some", seed=0)
MORE = Line("more data", Model(samples="much", seed=1), TOP, paper="25K bottom, 10K top")
SAME = Line("as much data", Model(samples="some", seed=1), TOP, paper="10K bottom (other seed), 10K top")
LESS = Line("less data", Model(samples="little", seed=1), TOP, paper="5K bottom, 10K top")

FIGURE = Figure(
    "2c",
    "More data",
    "CIFAR-10, ResNet-18 trained on 5K, 10K or 25K samples, under a top trained on 10K (33.7 % error). In the paper "
    "the 25K "
    "bottom ends at -22 points, the 10K one at -3 to -7, the 5K one at +17; its stitchers saw all 50K samples.",
    (
        Claim(
            "Representations learned from more data are better: they improve a top that saw less.",
            "a late layer at which the bottom with more data does not beat the one with as much, beyond both intervals",
            all_of(negative(MORE.label), below(MORE.label, SAME.label, where=lambda p: list(p)[-2:])),
        ),
        Claim(
            "Representations learned from less data are worse.",
            "a middle layer at which the bottom with less data costs no more than the one with as much, beyond both "
            "intervals",
            below(SAME.label, LESS.label),
        ),
        Claim(
            "The gain is the bottom's, not the stitcher's: the top's own bottom, stitched on the same samples, "
            "gains less.",
            "a late layer at which self gains as much as the bottom with more data",
            below(MORE.label, MORE.label, control="self", where=lambda p: list(p)[-2:]),
            ("honest",),
        ),
    ),
    (MORE, SAME, LESS),
    notes=(
        "The top saw some of the data, the bottoms much, some and little of it; the scale says how many. The honest "
        "stitcher sees the top's own samples, the paper's sees all: the second can teach the top what it never saw.",
    ),
)
