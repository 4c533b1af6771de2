"""Table 1: what CKA and stitching say of seeds, learning without labels, and more data, time and width."""

from __future__ import annotations

from .cka import between, less_alike, varies
from .claims import all_of, near, negative
from .fig2c import MORE as MORE_DATA
from .fig3b import MORE as MORE_TIME
from .fig3c import WIDEST
from .fig6 import FREE_BELOW, LIKE, LIKE_SEED, SEEDS
from .fig7 import DATA, DATA_SEED, TIME, WIDTH, WIDTH_SEED
from .figure import Claim, Figure

BESIDE = ((DATA, DATA_SEED), (TIME, LIKE_SEED), (WIDTH, WIDTH_SEED))  # two seeds of the top's own data and width
FIGURE = Figure(
    "table1",
    "What CKA says, what stitching says",
    "The paper's summary. CKA: different starts 'varies (can be 0)', learning without labels '0.35 to 0.9', more "
    "data, time or width 'far (can be 0 for data, 0.7 for width)'. Stitching: 'close (up to 3 % error)', 'close (up "
    "to 5 % error)', 'better'.",
    (
        Claim(
            "Different starts: stitching calls them close, up to 3 points.",
            "a layer above 3 points, its interval included",
            near(SEEDS.label, level=3.0),
        ),
        Claim(
            "Learning without labels: stitching calls it close, up to 5 points.",
            "a layer above 5 points, its interval included",
            near(FREE_BELOW.label, level=5.0),
        ),
        Claim(
            "Different starts: CKA varies, between layers and pairs.",
            "a CKA of two seeds that stays within 0.2",
            varies(LIKE_SEED.label, by=0.2),
        ),
        Claim(
            "Learning without labels: CKA is 0.35 to 0.9.",
            "a layer with a CKA below or above",
            between(LIKE.label, 0.35, 0.9),
        ),
        Claim(
            "More data, time and width: stitching calls them better.",
            "a late layer that does not gain beyond its interval",
            all_of(negative(MORE_DATA.label), negative(MORE_TIME.label), negative(WIDEST.label)),
            ("honest",),
        ),
        Claim(
            "More data, time and width: CKA calls them far.",
            "a middle layer at which CKA calls them as alike as two seeds",
            all_of(*(less_alike(probe.label, seeds.label) for probe, seeds in BESIDE)),
        ),
    ),
    (SEEDS, FREE_BELOW, MORE_DATA, MORE_TIME, WIDEST),
    (LIKE_SEED, LIKE, DATA, TIME, WIDTH, DATA_SEED, WIDTH_SEED),
    notes=(
        "The table's rows are the curves and similarities of figures 2C, 3B, 3C, 6 and 7, gathered: nothing is run "
        "twice.",
    ),
)
