"""Figure 3C: wider bottoms under a narrow top, and - what the paper does not plot - narrow bottoms under a wide top."""

from __future__ import annotations

from .claims import below, near, negative
from .figure import Claim, Figure, Line, Model

NARROW, WIDE = Model("quarter", seed=0), Model("base", seed=0)
WIDER = Line("4 x wider under narrow", Model("base", seed=1), NARROW, paper="1x width bottom, 0.25x top")
WIDEST = Line("8 x wider under narrow", Model("double", seed=1), NARROW, paper="2x width bottom, 0.25x top")
SAME = Line("as narrow", Model("quarter", seed=1), NARROW, paper="0.25x width bottom, 0.25x top")
NARROWER = Line("half as wide under narrow", Model("eighth", seed=1), NARROW, paper="0.125x width bottom, 0.25x top")
DOWN = Line("narrow under 4 x wider", Model("quarter", seed=1), WIDE)
ABOVE = Line("as wide, 4 x wider", Model("base", seed=1), WIDE)

FIGURE = Figure(
    "3c",
    "Width, both directions",
    "CIFAR-10, a ResNet-18 of 0.25x width as the top (8.56 % error), bottoms of 0.125x, 0.25x, 1x and 2x. The paper's "
    "2x bottom gains up to 1.05 points at late layers, the 0.125x one costs up to 6.5. It says 'but not vice versa' "
    "and shows no such curve; here it is.",
    (
        Claim(
            "Wider is better: a wider bottom improves a narrow top at its late layers.",
            "a late layer at which it does not gain beyond its interval",
            negative(WIDEST.label),
        ),
        Claim(
            "And compatible: a wider bottom costs less than another one as narrow as the top.",
            "a middle layer at which it costs as much",
            below(WIDEST.label, SAME.label),
        ),
        Claim(
            "Not vice versa: a narrow bottom harms a wide top.",
            "a middle layer at which it costs no more than a bottom as wide as the top, beyond both intervals",
            below(ABOVE.label, DOWN.label),
        ),
        Claim(
            "Networks of one width stitch well into each other, narrow ones too.",
            "a layer whose penalty, its interval included, is above 5 points",
            near(SAME.label, ABOVE.label, level=5.0),
        ),
    ),
    (WIDEST, WIDER, SAME, NARROWER, DOWN, ABOVE),
)
