"""Figure 3A: early layers do not depend on the quality of the labels."""

from __future__ import annotations

from .claims import all_of, below, early, late, near, positive
from .figure import Claim, Figure, Line, Model

TOP = Model(seed=0)
COARSE = Line("two coarse classes", Model(labels="object-animal", seed=1), TOP)
NOISE = {p: Line(f"{p} % random labels", Model(labels=f"random-{p}", seed=1), TOP) for p in (10, 50, 100)}
SOME = (COARSE.label, NOISE[10].label, NOISE[50].label)

FIGURE = Figure(
    "3a",
    "Quality of the labels",
    "CIFAR-10, ResNet-18 under a top with true labels; bottoms trained on objects against animals, and with 10, 50 or "
    "100 % random labels. The paper's penalties are at most about 3 points up to half depth for all but the last; at "
    "the end about 21.5, 12.7 and 22.7; with 100 % random labels 55 at 0.37 and over 79 at the end.",
    (
        Claim(
            "Early layers are insensitive to label quality: coarse or partly random labels cost little up to half "
            "depth.",
            "a layer up to half depth that costs more than 5 points, its interval included",
            near(*SOME, level=5.0, where=early),
        ),
        Claim(
            "Late layers are not: there each of these bottoms costs something.",
            "a late layer that costs nothing beyond its interval",
            all_of(*(positive(label, where=late) for label in SOME)),
        ),
        Claim(
            "Labels without any meaning harm the middle, too.",
            "a middle layer at which only random labels cost no more than a tenth of them, beyond both intervals",
            below(NOISE[10].label, NOISE[100].label),
        ),
    ),
    (COARSE, *NOISE.values()),
    notes=(
        "The coarse classes are CIFAR-10's animals (classes 2 to 7) against the rest. At smoke scale the same classes "
        "of digits stand in: two coarse classes without a meaning of their own.",
    ),
)
