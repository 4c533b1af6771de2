"""Figure 6: a network trained without labels and one trained with them, both directions, and CKA of the same layers."""

from __future__ import annotations

from .cka import LOW, disagree, less_alike
from .claims import near
from .figure import Claim, Figure, Line, Model, Probe

LABELS, OTHER, FREE = Model(seed=0), Model(seed=1), Model(method="simclr", seed=1)
FREE_BELOW = Line("SimCLR bottom", FREE, LABELS)
FREE_ABOVE = Line("SimCLR top", LABELS, FREE)
SEEDS = Line("other seed", OTHER, LABELS)
LIKE = Probe(
    "similarity", "CKA of SimCLR and labels", (FREE, LABELS), paper="SimCLR vs supervised, linear CKA by layer index"
)
LIKE_SEED = Probe(
    "similarity", "CKA of two seeds", (OTHER, LABELS), paper="supervised seed pair, linear CKA by layer index"
)

FIGURE = Figure(
    "6",
    "With labels and without: stitching and CKA",
    "CIFAR-10, ResNet-18, supervised and SimCLR. The paper's SimCLR bottom costs at most 3.1 points, the supervised "
    "bottom under SimCLR at most 1.65 and gains 3.25 deep; CKA between them is 0.36 to 0.92, of two seeds 0.64 to 1.",
    (
        Claim(
            "A network trained without labels and one trained with them stitch in both directions.",
            "a layer whose penalty, its interval included, is above 5 points",
            near(FREE_BELOW.label, FREE_ABOVE.label, level=5.0),
        ),
        Claim(
            "CKA calls the two less alike than two seeds.",
            "a middle layer at which it calls them as alike",
            less_alike(LIKE.label, LIKE_SEED.label),
        ),
        Claim(
            "So CKA and stitching disagree: CKA is low where stitching costs little.",
            f"a middle layer with a CKA of {LOW:g} or more, or that of two seeds, or with a penalty above 5 points",
            disagree(LIKE.label, FREE_BELOW.label, LIKE_SEED.label),
        ),
    ),
    (FREE_BELOW, FREE_ABOVE, SEEDS),
    (LIKE, LIKE_SEED),
)
