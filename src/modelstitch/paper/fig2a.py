"""Figure 2A: networks that differ in their seed, or in their seed and all of their data, stitch at every layer."""

from __future__ import annotations

from .claims import near, rising
from .figure import Claim, Figure, Line, Model

ARCHITECTURES = {
    "ResNet-18": "base",
    "ResNet-18, half width": "half",
    "ResNet-18, double width": "double",
    "deep ResNet": "deep",
    "Myrtle CNN": "myrtle",
    "ViT": "vit",
}
DISJOINT = Line("disjoint halves of the data", Model(samples=0.5, part=1, seed=1), Model(samples=0.5, part=0, seed=0))
RANGE = (-0.7, 4.8)  # of the paper's seven pairs at all layers
BLOCKS_TRAINED = "resnet18 random bottom (stem and classifier re-initialised only)"
STATISTICS = (
    "A random bottom's BatchNorm statistics are estimated on fit data after it is drawn; with 'statistics fresh' they "
    "stay 0 and 1, as at the start of a training."
)
PAPERS_RANDOM = "The paper's random bottom, dashed in both panels, kept its blocks trained."
RANDOM = Line(
    "random bottom",
    Model(change="re-initialised", seed=1),
    Model(seed=0),
    protocols=("honest",),
    paper=BLOCKS_TRAINED,
)
RANDOM_FRESH = Line(
    "random bottom, statistics fresh",
    Model(change="re-initialised, statistics fresh", seed=1),
    Model(seed=0),
    protocols=("honest",),
)
STEM_RANDOM = Line(
    "stem and head random",
    Model(change="stem re-initialised", seed=0),
    Model(seed=0),
    protocols=("paper",),
    paper=BLOCKS_TRAINED,
)
PAIRS = tuple(Line(label, Model(net, seed=1), Model(net, seed=0)) for label, net in ARCHITECTURES.items())
CURVES = tuple(line.label for line in (*PAIRS, DISJOINT))

FIGURE = Figure(
    "2a",
    "Different seeds, different data",
    "CIFAR-10; ResNet-18 (64 filters), half and double width, ResNet-164, Myrtle CNN and a ViT, one pair each, and "
    "a ResNet-18 "
    "pair on disjoint halves. The paper's curves lie between -0.7 and +4.8 points; its random bottom rises to 33.5.",
    (
        Claim(
            "Networks of one architecture trained from different seeds are stitching connected: the penalty stays "
            "near 0.",
            "a layer whose penalty, its interval included, is above 5 points",
            near(*CURVES[:-1], level=5.0),
        ),
        Claim(
            "This holds for networks trained on disjoint halves of the data, too.",
            "a layer whose penalty, its interval included, is above 5 points",
            near(CURVES[-1], level=5.0),
        ),
        Claim(
            "The stitcher alone is not learning: with a random bottom the penalty grows with depth.",
            "a penalty of the random bottom that does not rise",
            rising("random bottom"),
            ("honest",),
        ),
        Claim(
            "The released code's random control (trained blocks under a new stem) shows the same.",
            "a penalty that does not rise",
            rising("stem and head random"),
            ("paper",),
        ),
    ),
    (*PAIRS, DISJOINT, RANDOM, RANDOM_FRESH, STEM_RANDOM),
    notes=(STATISTICS, PAPERS_RANDOM),
    paper_range=RANGE,
)
