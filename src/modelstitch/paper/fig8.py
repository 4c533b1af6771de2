"""Figure 8: fine-tuning makes up for a random bottom where stitching does not."""

from __future__ import annotations

from ..report import Point, number
from .claims import RANGES, Finding, amount, beneath, counted, gap, less, looked, told_by
from .curves import Curves, Series
from .fig2a import STATISTICS
from .figure import Claim, Figure, Line, Model, Probe, Verdict

TOP, OTHER, RANDOM = Model("deep", seed=0), Model("deep", seed=1), Model("deep", seed=1, change="re-initialised")
STITCHED = Line(
    "stitched, random bottom", RANDOM, TOP, layers="three", paper="stitching, random resnet164 bottom: test error"
)
STITCHED_FRESH = Line(
    "stitched, random bottom, statistics fresh",
    Model("deep", seed=1, change="re-initialised, statistics fresh"),
    TOP,
    layers="three",
)
STITCHED_SEED = Line("stitched, trained bottom", OTHER, TOP, layers="three")
TUNED = Probe(
    "fine-tune",
    "fine-tuned, random bottom",
    (RANDOM,),
    {"time": 0.5},
    paper="fine-tuning, random resnet164 bottom: test error",
)
TUNED_SEED = Probe("fine-tune", "fine-tuned, trained bottom", (OTHER,), {"time": 0.5})


def _errors(line: Line | Probe) -> Series:
    return Series(line.label, "error", line.kind if isinstance(line, Probe) else "pair")


def _blind(curves: Curves) -> Verdict:
    """The gap between a random and a trained bottom is smaller under fine-tuning than under stitching."""
    series = [_errors(line) for line in (TUNED, TUNED_SEED, STITCHED, STITCHED_SEED)]
    gaps = curves.combined(lambda a, b, c, d: (a - b) - (c - d), *series)

    def test(tuned: Point, tuned_seed: Point, stitched: Point, stitched_seed: Point) -> Finding:
        one, other = tuned.value - tuned_seed.value, stitched.value - stitched_seed.value
        between = gaps.get(tuned.layer)
        if between is None:
            return gap("not measured", f"the same repeats at {tuned.layer}")
        words = (
            f"a gap of {number(one, signed=True)} points under fine-tuning, {number(other, signed=True)} under "
            f"stitching, at {tuned.layer}"
        )
        return told_by(less(between.low, between.high, 0, 0, words, between.value), [between])

    places = looked(curves, test, *series)
    return counted(places, "A random bottom stands out less under fine-tuning than under stitching", RANGES)


FIGURE = Figure(
    "8",
    "Fine-tuning against stitching",
    "CIFAR-10, ResNet-164 with a random bottom, frozen up to a block. The paper's fine-tuning ends at 9.6 to 14.9 % "
    "error, its stitching at 13.9 to 18.1 %.",
    (
        Claim(
            "Fine-tuning overestimates: above a random bottom it ends at a lower error than stitching.",
            "a layer at which stitching ends as low",
            beneath(
                _errors(TUNED),
                _errors(STITCHED),
                "Fine-tuning a random bottom ends lower than stitching it",
                lambda tuned, stitched: f"{amount(tuned)} % against {amount(stitched)} % at {tuned.layer}",
                beyond="range and interval",
            ),
        ),
        Claim(
            "So it tells a random from a trained bottom less well than stitching does.",
            "a layer at which it tells them apart as well",
            _blind,
        ),
    ),
    (STITCHED, STITCHED_FRESH, STITCHED_SEED),
    (TUNED, TUNED_SEED),
    drawing="errors",
    notes=(
        STATISTICS,
        "The deep network is a ResNet-164 at full scale, a narrow ResNet-20 below it. All parts above the frozen "
        "bottom are drawn anew, asserted, and trained for half of a network's usual time; the released code leaves "
        "the blocks at loaded weights. The random bottom is drawn anew throughout, under both protocols, as the "
        "paper's random ResNet-164.",
    ),
)
