"""Figure 2B: networks trained with labels and without stitch at every layer: trained here, or at ImageNet's size."""

from __future__ import annotations

from .claims import below, near
from .fig2a import RANDOM_FRESH, STATISTICS
from .figure import Claim, Figure, Line, Model

TOP = Model(seed=0)
SIMCLR = Line("SimCLR bottom", Model(method="simclr", seed=1), TOP, paper="SimCLR bottom, supervised top")
VICREG = Line("VICReg bottom", Model(method="vicreg", seed=1), TOP)
ROTATION = Line("rotation bottom", Model(method="rotation", seed=1), TOP)
FEW = Line("little data bottom", Model(samples="little", seed=1), TOP)
RANDOM = Line(
    "random bottom", Model(change="re-initialised", seed=1), TOP, protocols=("honest",), paper="resnet50 random bottom"
)

CLAIMS = (
    Claim(
        "Networks trained without labels stitch into one trained with labels at all layers.",
        "a layer whose penalty, its interval included, is above 5 points",
        near(SIMCLR.label, VICREG.label, level=5.0),
    ),
    Claim(
        "What they learn is far from random: a random bottom costs more.",
        "a middle layer at which a random bottom costs as little",
        below(SIMCLR.label, RANDOM.label),
        ("honest",),
    ),
    Claim(
        "The choice of the task without labels matters: predicting rotations serves less well than contrasting views.",
        "a middle layer at which the bottom that predicts rotations costs no more",
        below(SIMCLR.label, ROTATION.label),
    ),
    Claim(
        "All images without labels are worth more than few with labels.",
        "a middle layer at which a bottom trained with labels on little data costs no more",
        below(SIMCLR.label, FEW.label),
    ),
)
FIGURE = Figure(
    "2b",
    "With labels and without",
    "ImageNet, ResNet-50: a supervised top and bottoms by SimCLR, SwAV and DINO. The paper's DINO and SwAV bottoms "
    "cost at most "
    "3.4 points, SimCLR 8.5 at its last layers (its own error is 6 points higher); a random bottom rises to 44.6.",
    CLAIMS,
    (SIMCLR, VICREG, ROTATION, FEW, RANDOM, RANDOM_FRESH),
    notes=(
        STATISTICS,
        "The networks are trained here, without labels by SimCLR, VICReg and rotation prediction; the last two claims "
        "are ours. `modelstitch paper 2b-imagenet` runs the paper's own setting on checkpoints of yours.",
    ),
)


def _own(name: str) -> Line:
    return Line(
        f"{name} bottom", Model("imagenet", file=name), Model("imagenet", file="supervised"), controls=("random",)
    )


IMAGENET = Figure(
    "2b-imagenet",
    "With labels and without, ImageNet",
    FIGURE.setting,
    (
        Claim(
            CLAIMS[0].text,
            CLAIMS[0].refuted_by,
            near("DINO bottom", "SwAV bottom", "SimCLR bottom", level=5.0),
        ),
        Claim(CLAIMS[1].text, CLAIMS[1].refuted_by, below("DINO bottom", "DINO bottom", control="random"), ("honest",)),
    ),
    (_own("DINO"), _own("SwAV"), _own("SimCLR")),
    notes=(
        "ResNet-50 checkpoints with linear heads: supervised, DINO, SwAV and SimCLR, one file each in --checkpoints. "
        "The random control has every parameter of the bottom drawn anew.",
    ),
)
