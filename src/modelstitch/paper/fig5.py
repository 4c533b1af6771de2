"""Figure 5: random networks under stitching, and the same layers under CKA."""

from __future__ import annotations

from .cka import cka_falls
from .claims import rising
from .fig2a import PAPERS_RANDOM, RANDOM, RANDOM_FRESH, STATISTICS, STEM_RANDOM
from .figure import Claim, Figure, Line, Model, Probe

TRAINED, OTHER = Model(seed=0), Model(seed=1)
SEEDS = Line("other seed", OTHER, TRAINED)
LIKE = Probe("similarity", "CKA with a random network", (Model(change="re-initialised", seed=1), TRAINED))
LIKE_SEED = Probe("similarity", "CKA with another seed", (OTHER, TRAINED))

FIGURE = Figure(
    "5",
    "Random networks: stitching and CKA agree",
    "CIFAR-10, ResNet-18. The paper's random bottom costs 0 to 33.5 points with depth; 1 - CKA with a random network "
    "is about 0.02 in the first layers, 0.6 at a quarter of the depth and 0.9 deep.",
    (
        Claim(
            "Stitching tells a random bottom from a trained one: its penalty grows with depth.",
            "a penalty of the random bottom that does not rise",
            rising(RANDOM.label),
            ("honest",),
        ),
        Claim(
            "The same under the released code's control.",
            "a penalty that does not rise",
            rising(STEM_RANDOM.label),
            ("paper",),
        ),
        Claim(
            "CKA agrees: it is high in the first layers and falls with depth, below that of another seed.",
            "a CKA with a random network that does not fall below that of another seed",
            cka_falls(LIKE.label, LIKE_SEED.label),
        ),
    ),
    (SEEDS, RANDOM, RANDOM_FRESH, STEM_RANDOM),
    (LIKE, LIKE_SEED),
    drawing="penalty and cka",
    notes=(STATISTICS, PAPERS_RANDOM),
)
