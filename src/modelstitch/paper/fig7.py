"""Figure 7: CKA calls a better network far away; stitching can say that it is better."""

from __future__ import annotations

from .cka import LOW, disagree, less_alike
from .claims import all_of
from .fig2c import LESS as LESS_DATA
from .fig2c import MORE as MORE_DATA
from .fig2c import SAME as SAME_DATA
from .fig3b import MORE as MORE_TIME
from .fig3c import SAME as SAME_WIDTH
from .fig3c import WIDEST
from .fig6 import LIKE_SEED
from .figure import Claim, Figure, Probe

PAPERS_DATA = "5K vs 25K samples (code: 5K vs 10K), linear CKA by layer index"
DATA = Probe("similarity", "CKA, more data", (MORE_DATA.bottom, MORE_DATA.top), paper=PAPERS_DATA)
TIME = Probe("similarity", "CKA, more time", (MORE_TIME.bottom, MORE_TIME.top))
WIDTH = Probe("similarity", "CKA, more width", (WIDEST.bottom, WIDEST.top))
DATA_SEED = Probe("similarity", "CKA, two seeds of the same data", (SAME_DATA.bottom, SAME_DATA.top))
WIDTH_SEED = Probe("similarity", "CKA, two seeds of the same width", (SAME_WIDTH.bottom, SAME_WIDTH.top))

FIGURE = Figure(
    "7",
    "Better networks under CKA",
    "CIFAR-10, ResNet-18. The paper's CKA between 5K and 25K samples is 1.0, then 0.32 to 0.03, and 0.4 to 0.6 late; "
    "between 0.25x and 2x width 0.71 to 0.88; between 80 and 160 epochs 0.96 or more.",
    (
        Claim(
            "CKA calls networks with more data and with more width far from the ones they improve.",
            "a middle layer at which CKA calls them as alike as two seeds",
            all_of(less_alike(DATA.label, DATA_SEED.label), less_alike(WIDTH.label, WIDTH_SEED.label)),
        ),
        Claim(
            "With more data CKA is low where stitching costs little: CKA cannot say 'better'.",
            f"a middle layer with a CKA of {LOW:g} or more, or that of two seeds, or with a penalty above 5 points",
            disagree(DATA.label, MORE_DATA.label, DATA_SEED.label),
        ),
        Claim(
            "The same with more width.",
            f"a middle layer with a CKA of {LOW:g} or more, or that of two seeds, or with a penalty above 5 points",
            disagree(WIDTH.label, WIDEST.label, WIDTH_SEED.label),
        ),
    ),
    (MORE_DATA, LESS_DATA, MORE_TIME, WIDEST),
    (DATA, TIME, WIDTH, LIKE_SEED, DATA_SEED, WIDTH_SEED),
    notes=(
        "The pairs are those that are stitched: a bottom with much data under a top with some. The paper's CKA, "
        "dashed, is of 5K against 25K samples (by its code 5K against 10K), which it does not stitch. "
        "CKA is high or low beside that of two seeds of the top's own data and width: two wider networks, or two with "
        "more data, are more alike by themselves.",
    ),
)
