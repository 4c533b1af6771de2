"""Beyond figure 2B: networks without labels both ways, beside networks with labels that err as often."""

from __future__ import annotations

from .cka import LOW, disagree
from .claims import all_of, below, near, no_dearer
from .fig2a import RANDOM_FRESH, STATISTICS
from .fig2b import RANDOM, SIMCLR, TOP, VICREG
from .fig6 import LIKE as LIKE_SIMCLR
from .fig6 import LIKE_SEED, SEEDS
from .figure import Claim, Figure, Line, Model, Probe

BRIEF = Model("brief", seed=1)
SIMCLR_TOP = Line("SimCLR top", TOP, SIMCLR.bottom)
VICREG_TOP = Line("VICReg top", TOP, VICREG.bottom)
BRIEF_BOTTOM = Line("brief bottom", BRIEF, TOP)
BRIEF_TOP = Line("brief top", TOP, BRIEF)
LIKE_VICREG = Probe("similarity", "CKA of VICReg and labels", (VICREG.bottom, TOP))
LIKE_BRIEF = Probe("similarity", "CKA of brief and labels", (BRIEF, TOP))
NO_MORE = 1.0  # points

FIGURE = Figure(
    "2b-equal",
    "With labels and without, beside networks of equal error",
    "The paper stitches networks without labels into one with labels, and does not ask how much of the penalty is "
    "that they are weaker: on ImageNet its SimCLR bottom costs at most 8.5 points, and errs on 6 points more by "
    "itself.",
    (
        Claim(
            "Networks trained without labels stitch into one trained with labels at all layers.",
            "a layer whose penalty, its interval included, is above 5 points",
            near(SIMCLR.label, VICREG.label, level=5.0),
        ),
        Claim(
            "And one trained with labels stitches into them.",
            "a layer whose penalty, its interval included, is above 5 points",
            near(SIMCLR_TOP.label, VICREG_TOP.label, level=5.0),
        ),
        Claim(
            "What they learn is far from random: a random bottom costs more.",
            "a middle layer at which a random bottom costs as little",
            all_of(below(SIMCLR.label, RANDOM.label), below(VICREG.label, RANDOM.label)),
            ("honest",),
        ),
        Claim(
            "A bottom without labels costs no more than one with labels that errs as often: what it costs is weakness.",
            f"a layer at which it costs over {NO_MORE:g} point more, the interval of the difference included",
            all_of(*(no_dearer(line.label, BRIEF_BOTTOM.label, by=NO_MORE) for line in (SIMCLR, VICREG))),
        ),
        Claim(
            "Nor does a top without labels ask more of its bottom than a top with labels that errs as often.",
            f"a layer at which it costs over {NO_MORE:g} point more, the interval of the difference included",
            all_of(*(no_dearer(line.label, BRIEF_TOP.label, by=NO_MORE) for line in (SIMCLR_TOP, VICREG_TOP))),
        ),
        Claim(
            "CKA and stitching disagree: CKA is low where stitching costs little.",
            f"a middle layer with a CKA of {LOW:g} or more, or that of two seeds, or with a penalty above 5 points",
            all_of(
                disagree(LIKE_SIMCLR.label, SIMCLR.label, LIKE_SEED.label),
                disagree(LIKE_VICREG.label, VICREG.label, LIKE_SEED.label),
            ),
        ),
    ),
    (SIMCLR, VICREG, BRIEF_BOTTOM, SEEDS, RANDOM, RANDOM_FRESH, SIMCLR_TOP, VICREG_TOP, BRIEF_TOP),
    (LIKE_SIMCLR, LIKE_VICREG, LIKE_BRIEF, LIKE_SEED),
    drawing="both ways",
    notes=(
        STATISTICS,
        "Without labels means: a body trained by SimCLR or VICReg, under a linear head fitted to its frozen features "
        "(logistic regression to convergence; its penalty is chosen on validation data). 'Brief' is a network with "
        "labels that was trained for so few steps that it errs about as often; the table of networks has the errors.",
        "Behind the last block come a mean over positions and the linear head alone: an affine map there can do what "
        "any linear head can, so a fit that has converged on all samples costs no more than the bottom's own head errs "
        "above the top. What the table of excess shows above 0 at that place is what a fit of so few steps "
        "falls short; it is no property of the networks. Brief's own head is one that its few steps left unfinished: "
        "there the map mends it, and has nothing to mend behind a body without labels.",
    ),
    excess=True,
)
