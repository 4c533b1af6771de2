"""What a penalty is worth: one row for each control. No torch, so that pages and study files can read the table.

To add a control, write one file in this folder (what sends, if that is new) and one row here:
plans, figures, pages and the command line take all they need from the row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from ...data.data import Data
    from ...network import Network
    from ..senders import Sender


class Look(NamedTuple):
    """How a curve is drawn: its label, colour, dash, marker and line width, as matplotlib takes them."""

    label: str
    colour: str
    dash: str | tuple[float, tuple[float, ...]] = "-"
    marker: str = "o"
    width: float = 1.3


@dataclass(frozen=True)
class Control:
    """A reference that tells what a penalty is worth.

    Attributes:
        answers: the question that it answers, in words.
        look: how its curves are drawn.
        sends: whose activations enter the top: those of the pair's "bottom", at the pair's seams; or of the "top"
            itself or of "another seed" of it, at each of the top's layers. The last two belong to the top alone,
            whatever the bottom is.
        draw: makes another network of the one that sends: (network, data, seed) -> network.
        sender: sends in place of a network: (network, data, seed) -> sender. The network gives the layers and scales.
        stands_as: how records call a bottom that is no network; needed beside ``sender``.
        fitted: a map is fitted; else none is needed, and one cell stands beside every family and objective.
        normalisation: the policy for BatchNorm that it stands for; the comparison's own by default.
        shuffled: the samples of the two sides are paired wrongly, or have wrong labels.
        classes: it needs one class for each sample.
        positive: where its fit succeeds it says something, where it fails nothing: the best of several starts counts,
            each with a sender from another seed.
        usual: it is run unless others are asked for.
        demo: ``modelstitch demo`` shows it.
        note: what its records note.
        what: what sends, as part of a sentence.
        because: why a low penalty is no evidence where the control is as good; "" for controls that are judged
            otherwise.
        settled: where it is far off, what it is for is said: its fit may end as soon as looks show that it will be, and
            that the steps left gain no larger a share than this of its penalty. None: it always takes all its steps.
        unseen: ("early" or "late", what a low penalty there may be worth where the control was not measured).
    """

    answers: str
    look: Look
    sends: Literal["bottom", "top", "another seed"] = "bottom"
    draw: Callable[[Network, Data, int], Network] | None = None
    sender: Callable[[Network, Data, int], Sender] | None = None
    stands_as: str = ""
    fitted: bool = True
    normalisation: str | None = None
    shuffled: bool = False
    classes: bool = False
    positive: bool = False
    usual: bool = True
    demo: bool = False
    note: str = ""
    what: str = ""
    because: str = ""
    unseen: tuple[Literal["early", "late"], str] | None = None
    settled: float | None = None

    @property
    def of_the_top(self) -> bool:
        """Whether it belongs to a top, whatever the bottom of the pair is."""
        return self.sends != "bottom"

    @property
    def tuned(self) -> bool:
        """Whether it can be trained further as a pair is: a network sends, with its own samples and labels."""
        return self.fitted and self.sender is None and not self.shuffled

    @property
    def apart(self) -> bool:
        """Whether its cells share neither bottom nor samples with those of a pair."""
        return bool(self.draw or self.sender or self.shuffled)


def _random(network: Network, data: Data, seed: int) -> Network:
    from .random import drawn_anew

    return drawn_anew(network, data, seed)


def _class_noise(noise: float) -> Callable[[Network, Data, int], Sender]:
    def sender(network: Network, data: Data, seed: int) -> Sender:
        from .classnoise import ClassNoise

        return ClassNoise(network, data, noise=noise, seed=seed)

    return sender


# In the order of columns and legends. Colours after Okabe and Ito (2008); dashes and markers say the same without
# colour.
CONTROLS = {
    "self": Control(
        "what the fit itself costs or gains: the top's own bottom, fitted the same way",
        Look("self", "#009E73", "-", "s"),
        sends="top",
        demo=True,
    ),
    "other-seed": Control(
        "what another seed of the top costs; it needs a network of another seed, and is run wherever one is given",
        Look("other seed", "#00798C", (0, (6, 2)), "P"),
        sends="another seed",
    ),
    "random": Control(
        "what the stitcher can do by itself: every parameter of the bottom drawn anew",
        Look("random", "#D55E00", "-", "^"),
        draw=_random,
        demo=True,
        what="an untrained bottom",
        because="an untrained bottom stitches as well",
        unseen=("early", "may be had by an untrained bottom too: there is no random control to tell"),
        settled=0.1,
    ),
    "identity": Control(
        "whether a map is needed: none is used",
        Look("identity", "#6A6A6A", (0, (1.2, 1.6)), "x"),
        fitted=False,
        demo=True,
    ),
    "recalibration": Control(
        "whether re-estimated BatchNorm statistics do it without a map",
        Look("recalibration", "#8C6D5A", (0, (2, 2)), "*", 1.1),
        fitted=False,
        usual=False,
        normalisation="recalibrated",
    ),
    "class-noise": Control(
        "whether separable classes are enough: one random tensor a class, and as much noise",
        Look("class-noise", "#B0568A", (0, (5, 1.5)), "D"),
        sends="top",
        sender=_class_noise(1.0),
        stands_as="class-noise",
        classes=True,
        positive=True,
        demo=True,
        note="noise over signal: 1",
        what="class-noise",
        because="class-noise stitches as well, so the number says only that classes are separable",
        unseen=("late", "may be class structure alone: there is no class-noise control to tell"),
        settled=0.1,
    ),
    "class-noise-strong": Control(
        "the same with three times the noise",
        Look("class-noise ×3", "#B0568A", (0, (1.5, 1.5)), "d", 1.1),
        sends="top",
        sender=_class_noise(3.0),
        stands_as="class-noise",
        classes=True,
        positive=True,
        note="noise over signal: 3",
        what="class-noise with three times the noise",
        because="class-noise with three times the noise stitches as well: classes are separable, no more is said",
        settled=0.1,
    ),
    "shuffled": Control(
        "the null level: wrong pairs, or wrong labels",
        Look("shuffled", "#A07800", (0, (3, 1.5, 1, 1.5)), "v"),
        shuffled=True,
        settled=1.0,
    ),
}


def no_networks() -> frozenset[str]:
    """Names that records have for bottoms that are no networks: no network may have one."""
    return frozenset(
        name for row, control in CONTROLS.items() if control.sender is not None for name in (row, control.stands_as)
    )
