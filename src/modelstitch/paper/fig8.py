"""Figure 8: fine-tuning makes up for a random bottom where stitching does not."""

from __future__ import annotations

from .claims import Place, amount, counted
from .curves import Curves
from .figure import Claim, Figure, Line, Model, Probe, Verdict

TOP, OTHER, RANDOM = Model("deep", seed=0), Model("deep", seed=1), Model("deep", seed=1, change="re-initialised")
STITCHED = Line("stitched, random bottom", RANDOM, TOP, layers="three", protocols=("honest",))
STITCHED_SEED = Line("stitched, trained bottom", OTHER, TOP, layers="three", protocols=("honest",))
TUNED = Probe(
    "fine-tune",
    "fine-tuned, random bottom",
    (RANDOM,),
    {"time": 0.5},
    paper="fine-tuning, random resnet164 bottom: test error",
)
TUNED_SEED = Probe("fine-tune", "fine-tuned, trained bottom", (OTHER,), {"time": 0.5})


def _lower(curves: Curves) -> Verdict:
    """Fine-tuning above a random bottom ends at a lower error than stitching it."""
    stitched = {p.layer: p for p in curves.points(STITCHED.label, "error")}
    places = [
        Place(
            p.high < stitched[p.layer].low, f"{amount(p)} % against {amount(stitched[p.layer])} % at {p.layer}", p.value
        )
        for p in curves.points(TUNED.label, "error", "fine-tune")
        if p.layer in stitched
    ]
    return counted(places, "Fine-tuning a random bottom ends lower than stitching it")


def _blind(curves: Curves) -> Verdict:
    """The gap between a random and a trained bottom is smaller under fine-tuning than under stitching."""
    gaps = []
    for line, other, control in ((STITCHED, STITCHED_SEED, "pair"), (TUNED, TUNED_SEED, "fine-tune")):
        random = {p.layer: p.value for p in curves.points(line.label, "error", control)}
        trained = {p.layer: p.value for p in curves.points(other.label, "error", control)}
        gaps.append({layer: random[layer] - trained[layer] for layer in random if layer in trained})
    places = [
        Place(
            tuned < gaps[0][layer],
            f"{tuned:+.1f} points under fine-tuning, {gaps[0][layer]:+.1f} under stitching, at {layer}",
            tuned - gaps[0][layer],
        )
        for layer, tuned in gaps[1].items()
        if layer in gaps[0]
    ]
    return counted(places, "A random bottom stands out less under fine-tuning than under stitching")


FIGURE = Figure(
    "8",
    "Fine-tuning against stitching",
    "CIFAR-10, ResNet-164 with a random bottom, frozen up to a block. The paper's fine-tuning ends at 9.6 to 14.9 % error, its "
    "stitching at 13.9 to 18.1 %.",
    (
        Claim(
            "Fine-tuning overestimates: above a random bottom it ends at a lower error than stitching.",
            "a layer at which stitching ends as low",
            _lower,
            ("honest",),
        ),
        Claim(
            "So it tells a random from a trained bottom less well than stitching does.",
            "a layer at which it tells them apart as well",
            _blind,
            ("honest",),
        ),
    ),
    (STITCHED, STITCHED_SEED),
    (TUNED, TUNED_SEED),
    drawing="errors",
    notes=(
        "The deep network is a ResNet-164 at full scale, a narrow ResNet-20 below it. All parts above the frozen bottom are drawn anew, asserted, and trained for half "
        "of a network's usual time; the released code leaves the blocks at loaded weights.",
    ),
)
