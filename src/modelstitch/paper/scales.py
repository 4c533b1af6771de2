"""The sizes at which a figure is run: which data, which networks for which role, how long, how many pairs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import StudyError
from .figure import Amount

AS_IN_THE_PAPER: Mapping[Amount, float] = {"much": 0.5, "some": 0.2, "little": 0.1}


@dataclass(frozen=True)
class Scale:
    """One size.

    Attributes:
        data: the data spec used where the user gives none.
        nets: role -> network of the zoo.
        training: of donors with labels, fields of ``modelstitch.zoo.train.Recipe``.
        unlabelled: of donors without labels, the same fields.
        selfsup: of donors without labels, fields of ``modelstitch.zoo.selfsup.SelfRecipe`` beside its base.
        special: role, method or amount of data -> what is different in its training.
        amounts: shares of the fit split for figures of more and of less data: as in the paper, or smaller ones where
            networks are trained so briefly that they err alike on half of the data and on a tenth.
        repeats: pairs behind every curve; seeds go round between them.
        more_repeats: figure -> pairs, where there are others than that.
        fewer: role -> most pairs of a curve whose networks are all in that role.
        shorter: kind of a probe -> the share of its usual steps that its trainings take.
        fit: protocol -> fit options.
        middle, three, three_deep: names of layers that seams may use: a middle one; an early, a middle and a late one,
            of the other networks and of the one in the role "deep".
        most_cuts: matching layers at which a curve is measured, evenly spread where there are more.
        kernels: sizes of figure 4.
        samples: examples of a similarity measure.
        measured_on: the first so many samples of a split, where all of them would take most of the time: {"val": n,
            "test": n}.
        ran: what a reader must know of this scale.
    """

    name: str
    data: str
    nets: Mapping[str, str]
    training: Mapping[str, Any]
    unlabelled: Mapping[str, Any]
    special: Mapping[str, Mapping[str, Any]]
    amounts: Mapping[Amount, float]
    repeats: int
    fit: Mapping[str, Mapping[str, Any]]
    middle: str
    three: tuple[str, ...]
    three_deep: tuple[str, ...]
    most_cuts: int
    kernels: tuple[int, ...]
    samples: int
    measured_on: Mapping[str, int]
    ran: str
    more_repeats: Mapping[str, int] = field(default_factory=dict)
    selfsup: Mapping[str, Any] = field(default_factory=dict)
    fewer: Mapping[str, int] = field(default_factory=dict)
    shorter: Mapping[str, float] = field(default_factory=dict)

    def pairs(self, figure: str, roles: Collection[str] = ()) -> int:
        """How many pairs stand behind every curve of a figure; fewer, maybe, where both networks are in one role."""
        most = self.more_repeats.get(figure, self.repeats)
        return min([most, *(self.fewer.get(role, most) for role in roles)]) if len(set(roles)) == 1 else most

    def share(self, samples: float | Amount) -> float:
        """The share of the fit split that an amount of data is at this scale; a share stays as it is."""
        return self.amounts[samples] if isinstance(samples, str) else samples

    @property
    def words(self) -> str:
        """What a reader must know, with the amounts of data."""
        if not self.amounts:
            return self.ran
        text = f"{self.ran}. Much, some and little data are {_shares(self.amounts)}"
        return text if self.amounts == AS_IN_THE_PAPER else f"{text} (the paper: {_shares(AS_IN_THE_PAPER)})"

    def early_middle_late(self, role: str) -> tuple[str, ...]:
        """Three layers of the network that plays a role; none where the scale knows no network."""
        return self.three_deep if role == "deep" else self.three

    def net(self, role: str) -> str:
        """The network that plays a role; "brief" is the base network, trained for fewer steps.

        Raises:
            StudyError: if the scale has none.
        """
        role = "base" if role == "brief" else role
        if role not in self.nets:
            raise StudyError(
                f"The scale {self.name!r} has no network for the role {role!r}: found {', '.join(self.nets)}; try "
                f"--scale full."
            )
        return self.nets[role]


def _shares(amounts: Mapping[Amount, float]) -> str:
    much, some, little = (f"{100 * amounts[amount]:g}" for amount in ("much", "some", "little"))
    return f"{much}, {some} and {little} %"


SMOKE = Scale(
    name="smoke",
    data="digits",
    nets={
        "base": "small-resnet?width=16&blocks=3",
        "eighth": "small-resnet?width=2&blocks=3",
        "quarter": "small-resnet?width=4&blocks=3",
        "half": "small-resnet?width=8&blocks=3",
        "double": "small-resnet?width=32&blocks=3",
        "deep": "resnet20?width=8",
        "myrtle": "myrtle?width=8",
        "vit": "vit?dim=32&depth=3&heads=2&patch=2&size=8",
    },
    training={"steps": 120, "lr": 0.2, "schedule": "one-cycle", "weight_decay": 5e-4, "batch_size": 64},
    unlabelled={"steps": 120, "lr": 0.2, "schedule": "one-cycle", "weight_decay": 5e-4, "batch_size": 125},
    special={
        "vit": {"optimiser": "adamw", "lr": 2e-3, "weight_decay": 0.05, "steps": 240},
        "vicreg": {"lr": 0.02},
        "brief": {"steps": 100},
    },
    amounts=AS_IN_THE_PAPER,
    repeats=1,
    fit={
        "honest": {"steps": 40, "batch_size": 64},
        "paper": {"steps": 60, "eval_every": 60, "batch_size": 64, "adapt_rate": False},
    },
    middle="block2",
    three=("stem", "block2", "block3"),
    three_deep=("block2", "block5", "block8"),
    most_cuts=6,
    kernels=(1, 3, 5),
    samples=200,
    measured_on={},
    ran="scikit-learn's digits (8x8 pixels), residual networks of a stem and three blocks with 16 filters trained for "
    "120 steps, one pair a curve: it shows that the recipes run, and little more, since digits are easy",
)
SMALL = Scale(
    name="small",
    data="cifar10",
    nets={
        "base": "preact-resnet18?width=8",
        "eighth": "preact-resnet18?width=1",
        "quarter": "preact-resnet18?width=2",
        "half": "preact-resnet18?width=4",
        "double": "preact-resnet18?width=16",
        "deep": "resnet20?width=8",
        "myrtle": "myrtle?width=8",
        "vit": "vit?dim=64&depth=4&heads=2&patch=4",
    },
    training={
        "steps": 1000,
        "lr": 0.3,
        "schedule": "one-cycle",
        "weight_decay": 5e-4,
        "batch_size": 128,
        "channels_last": True,
    },
    unlabelled={
        "steps": 1000,
        "lr": 0.1,
        "schedule": "one-cycle",
        "weight_decay": 5e-4,
        "batch_size": 128,
        "channels_last": True,
    },
    special={
        "vit": {"optimiser": "adamw", "lr": 2e-3, "weight_decay": 0.05, "schedule": "one-cycle"},
        "vicreg": {"lr": 0.02},
        "brief": {"steps": 150},
    },
    amounts={"much": 0.1, "some": 0.04, "little": 0.02},
    repeats=2,
    fit={
        "honest": {"steps": 100, "eval_every": 50, "starts": 3},
        "paper": {"steps": 200, "eval_every": 200, "adapt_rate": False},
    },
    middle="block4",
    three=("block2", "block4", "block7"),
    three_deep=("block2", "block5", "block8"),
    most_cuts=4,
    kernels=(1, 3, 5),
    samples=500,
    measured_on={"val": 2000, "test": 5000},
    ran="CIFAR-10, ResNet-18 with 8 filters (the paper has 64) trained for 1,000 steps (the paper 64,000), two "
    "pairs a curve",
)
MEDIUM = Scale(
    name="medium",
    data="cifar10",
    nets={
        "base": "preact-resnet18?width=16",
        "eighth": "preact-resnet18?width=2",
        "quarter": "preact-resnet18?width=4",
        "half": "preact-resnet18?width=8",
        "double": "preact-resnet18?width=32",
        "deep": "resnet20?width=16",
        "myrtle": "myrtle?width=16",
        "vit": "vit?dim=96&depth=6&heads=4&patch=4",
    },
    # 34 passes. bfloat16 where the processor has it: a step takes 0.57 of its time in float32 (0.19 and 0.34 s of one
    # thread).
    training={
        "steps": 12_000,
        "lr": 0.3,
        "schedule": "one-cycle",
        "weight_decay": 5e-4,
        "precision": "bfloat16",
        "channels_last": True,
    },
    unlabelled={
        "steps": 24_000,
        "lr": 0.2,
        "schedule": "one-cycle",
        "weight_decay": 5e-4,
        "batch_size": 256,
        "precision": "bfloat16",
        "channels_last": True,
    },
    # Hours that no claim needs. The widest networks are needed to be better than narrow ones, which half of the steps
    # make them. 6,000 steps are 170 passes over a tenth of the data. VICReg is the second method, rotation prediction
    # the one that is to be worse. A ResNet-20 of 16 filters errs on 9.5 % after 12,000 steps.
    # Curves of other networks than the ResNet-18 are no claim of the abstract: two pairs. Fine-tuning and
    # freeze-training for half as long err more, against what figures 8 and 9 claim of them, not for it.
    special={
        "vit": {"optimiser": "adamw", "lr": 2e-3, "weight_decay": 0.05},
        "double": {"steps": 6_000},
        "some": {"steps": 6_000},
        "little": {"steps": 6_000},
        "vicreg": {"lr": 0.02, "steps": 12_000},
        "rotation": {"steps": 6_000},
        "brief": {"steps": 600},
    },
    amounts=AS_IN_THE_PAPER,
    repeats=2,
    more_repeats=dict.fromkeys(("2a", "2c", "3b", "3c"), 4),
    fewer=dict.fromkeys(("double", "half", "deep", "myrtle", "vit"), 2),
    shorter={"fine-tune": 0.5, "freeze": 0.5},
    fit={
        "honest": {"steps": 160, "eval_every": 40, "starts": 3},
        "paper": {"steps": 200, "eval_every": 200, "adapt_rate": False},
    },
    middle="block4",
    three=("block2", "block5", "block8"),
    three_deep=("block2", "block5", "block8"),
    most_cuts=12,
    kernels=(1, 3, 5, 7),
    samples=2000,
    measured_on={"val": 2000},
    ran="CIFAR-10, ResNet-18 with 16 filters (the paper has 64) trained for 12,000 steps (the paper 64,000), four "
    "pairs a curve in figures 2C, 3B, 3C and of the ResNet-18 in 2A, two of all others; fine-tuning and "
    "freeze-training for half as long as elsewhere",
)
FULL = Scale(
    name="full",
    data="cifar10",
    nets={
        "base": "preact-resnet18?width=64",
        "eighth": "preact-resnet18?width=8",
        "quarter": "preact-resnet18?width=16",
        "half": "preact-resnet18?width=32",
        "double": "preact-resnet18?width=128",
        "deep": "resnet164",
        "myrtle": "myrtle?width=64",
        "vit": "vit?dim=768&depth=12&heads=12&patch=4",
        "imagenet": "torchvision:resnet50",
    },
    # 34 passes in place of the paper's 182: ResNet-18s end at 6.2 to 6.4 %. In batches of 512 at four times the rate
    # the network, which has no norm before its head, diverges in the warm-up (docs/results/gpu.md).
    training={
        "steps": 12_000,
        "lr": 0.1,
        "schedule": "one-cycle",
        "weight_decay": 5e-4,
        "precision": "bfloat16",
        "channels_last": True,
    },
    unlabelled={
        "steps": 64_000,
        "lr": 0.1,
        "schedule": "one-cycle",
        "weight_decay": 5e-4,
        "batch_size": 512,
        "precision": "bfloat16",
        "channels_last": True,
    },
    special={
        "vit": {"optimiser": "adamw", "lr": 2e-3, "weight_decay": 0.05, "schedule": "one-cycle"},
        "vicreg": {"lr": 0.02},
        "brief": {"steps": 1_200},
    },
    amounts=AS_IN_THE_PAPER,
    repeats=2,
    fit={
        "honest": {"steps": 400, "eval_every": 100, "starts": 3, "precision": "bfloat16"},
        "paper": {
            "steps": 120_000,
            "eval_every": 10_000,
            "learning_rate": 1e-3,
            "adapt_rate": False,
            "precision": "bfloat16",
        },
    },
    middle="block4",
    three=("block2", "block5", "block8"),
    three_deep=("block4", "block14", "block24"),
    most_cuts=12,
    kernels=(1, 3, 5, 7, 9),
    samples=5000,
    measured_on={},
    ran="CIFAR-10 at the paper's size (ResNet-18 with 64 filters, trained for 12,000 steps, the paper 64,000), two "
    "pairs a curve; meant for one GPU",
)
# SMALL with a channel less: networks, layers and amounts are the same. SGD at 0.3 diverges in runs this short: the
# network has no norm before its head. Fits see all samples as they are, not cropped, as the linear heads of the
# networks without labels did: at the last layer a map can equal such a head, but not where crops must be known, too.
# They take all their steps: the last ones, at the lowest rates, are those that gain there. One start of class-noise
# takes as long as a pair, so several are left out. Four seeds, since these networks take minutes. Under the paper's
# protocol fits have the paper's rate, and 5,000 of its 120,000 steps.
FASHION = replace(
    SMALL,
    name="fashion",
    data="fashion-mnist",
    repeats=4,
    training={**SMALL.training, "steps": 600, "lr": 0.1, "precision": "bfloat16"},
    unlabelled={**SMALL.unlabelled, "steps": 800, "lr": 0.2, "precision": "bfloat16"},
    selfsup={"views": "grey", "temperature": 0.2},
    special={**SMALL.special, "vicreg": {"lr": 0.05}, "brief": {"steps": 280}},
    fit={
        **SMALL.fit,
        "honest": {
            "steps": 300,
            "eval_every": 100,
            "learning_rate": 0.03,
            "stop_early": False,
            "augment": False,
            "precision": "bfloat16",
        },
        "paper": {
            "steps": 5000,
            "eval_every": 5000,
            "learning_rate": 1e-3,
            "adapt_rate": False,
            "precision": "bfloat16",
        },
    },
    measured_on={"test": 5000},
    ran="Fashion-MNIST, ResNet-18 with 8 filters (the paper has 64) trained for 600 steps with labels and 800 without, "
    "four pairs a curve",
)
OWN = Scale(
    name="own",
    data="",
    nets={},
    training={},
    unlabelled={},
    special={},
    amounts={},
    repeats=1,
    fit={
        "honest": {"steps": 40, "eval_every": 40, "samples": 5000},
        "paper": {"steps": 80, "eval_every": 80, "samples": 5000, "adapt_rate": False},
    },
    middle="",
    three=(),
    three_deep=(),
    most_cuts=12,
    kernels=(1, 3, 5),
    samples=500,
    measured_on={"val": 1000, "test": 2500},
    ran="networks that were given, not trained here; stitchers are fitted briefly, on 5,000 samples, and measured on "
    "the first 2,500 of the test split",
)
SCALES = {s.name: s for s in (SMOKE, SMALL, FASHION, MEDIUM, FULL)}


def scale(name: str) -> Scale:
    """The scale of that name.

    Raises:
        StudyError: if there is none.
    """
    if name not in SCALES:
        raise StudyError(f"There is no scale {name!r}: expected one of {', '.join(SCALES)}.")
    return SCALES[name]
