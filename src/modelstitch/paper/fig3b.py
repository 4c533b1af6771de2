"""Figure 3B: longer training improves representations, and they stay compatible."""

from __future__ import annotations

from dataclasses import replace

from .claims import all_of, below, late, near, negative, no_worse
from .figure import Claim, Figure, Line, Model

RUN = Model(time=2.0, at=1.0, seed=0)
TOP = Model(time=1.0, seed=0)
PAPERS = (
    "40-epoch bottom, 80-epoch top",
    "80-epoch bottom, 80-epoch top (same network)",
    "160-epoch bottom, 80-epoch top",
)
HALF, SAME, MORE = (
    Line(label, Model(time=time, seed=1), TOP, protocols=("honest",), paper=paper)
    for label, time, paper in zip(("half the time", "the same time", "twice the time"), (0.5, 1.0, 2.0), PAPERS)
)
EARLIER, ITSELF, LATER = (
    Line(f"the same run, {label}", bottom, RUN, protocols=("paper",), paper=paper)
    for label, bottom, paper in zip(
        ("earlier", "the same moment", "its end"),
        (replace(RUN, at=0.5), RUN, replace(RUN, at=None)),
        PAPERS,
    )
)

FIGURE = Figure(
    "3b",
    "More training time",
    "CIFAR-10, ResNet-18 at 80 epochs as the top (8.59 % error), bottoms at 40, 80 and 160 epochs; by the released "
    "code these are checkpoints of one run. The paper's 40-epoch bottom costs up to 4.7 points, the 160-epoch one "
    "gains up to 0.8.",
    (
        Claim(
            "Networks trained for different times stay compatible: no layer costs much.",
            "a layer whose penalty, its interval included, is above 5 points",
            near(HALF.label, MORE.label, level=5.0),
            ("honest",),
        ),
        Claim(
            "More training time is better: the bottom trained longer improves the top at its late layers.",
            "a late layer at which it does not gain beyond its interval, or the bottom trained shorter costs no more",
            all_of(negative(MORE.label), below(MORE.label, HALF.label)),
            ("honest",),
        ),
        Claim(
            "Within one run later checkpoints stay compatible and better.",
            "a layer that costs 5 points more than the same moment stitched into itself, or an end of the run that "
            "gains nothing at late layers",
            all_of(
                no_worse(EARLIER.label, ITSELF.label, by=5.0),
                no_worse(LATER.label, ITSELF.label, by=5.0),
                negative(LATER.label),
            ),
            ("paper",),
        ),
        Claim(
            "That gain is the later network's, not the fit's: the same moment, stitched into itself, gains less.",
            "a late layer at which the same moment gains as much",
            below(LATER.label, ITSELF.label, where=late),
            ("paper",),
        ),
    ),
    (HALF, SAME, MORE, EARLIER, ITSELF, LATER),
    notes=(
        "The honest protocol compares runs of their own (each with its whole schedule); the paper's compares "
        "checkpoints of one run, which share their start and their first half. The paper's curves, dashed in both "
        "panels, are of such checkpoints.",
    ),
)
