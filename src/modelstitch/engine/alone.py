"""What a donor does alone, looked at before anything is fitted: its own errors, and what makes them doubtful.

The test split is read here by donors as they were given: nothing is chosen by what is seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..data.batch import Batch, all_labels, fetch, like_masks
from ..data.data import SPLITS, Data, Split
from ..data.tasks import Task
from ..data.tasks.classification import INSTEAD
from ..data.tasks.next_token import NATS
from ..errors import DataError, NonFiniteError, StitchError
from ..network import Network
from ..records.record import DonorFacts
from ..stats.chance import as_poor, hardly_better, unlearned
from ..support.progress import Tell, say
from ..support.words import rough
from .evaluate import own_outcomes
from .fit.options import FitSpec
from .measure import Outcome
from .senders import NetworkSender
from .sweep import Sweep

Expected = float | Mapping[str, float]  # a donor's own test error, of all or by name

SAMPLE = 1000  # of the fit split
FIRST = 1000  # of the test split, before anything is fitted: all are read where stitches are measured
BATCH = 256
TOLERANCE = {"points": 1.0, NATS: 0.05}  # of an expected error; in other units a hundredth of it
_SURE = 0.02  # of chance: who errs on less of what it was fitted on sees its samples as it should
_LEARNT = 0.9  # of the error of one answer for all samples: what a trained network is below on what it was fitted on
_ELSEWHERE = (
    "the gallery may lie in another network's space; stitch into the network that embedded it, or leave it out, so "
    "that each top embeds its own"
)
_LOST = 0.75  # of the entropy of a uniform guess, in nats: a trained language model is far below it


@dataclass(frozen=True)
class Alone:
    """A donor by itself.

    Attributes:
        name: how reports call it.
        facts: what records say of it outside their configuration: no cell's name depends on it. Its errors are those on
            the test split and on samples that it may have been fitted on.
        why: why there is no error.
        cautions: what is to be kept in mind, each a sentence.
        outcome: example by example, on the test split.
        part: of how many samples of the test split that is, where it is not all.
    """

    name: str
    facts: DonorFacts
    why: str
    cautions: tuple[str, ...]
    outcome: Outcome | None
    part: int = 0

    def told(self) -> str:
        """One line: "one: errs on 3.4 % of the test split, on 0.2 % of 1,000 fit samples; view: ...; weights: ..."."""
        return told(self.name, self.facts, self.why, self.part)


def told(name: str, facts: DonorFacts, why: str = "", part: int = 0) -> str:
    """A donor's line, also from what a record states of it."""
    error, fit, unit, weights = facts.error, facts.fit_error, facts.unit, facts.weights
    where = f"{part:,} samples of the test split" if part else "the test split"
    if error is None:
        found = f"has no error of its own ({why or 'its output is not held against the labels'})"
    elif unit == "percent":
        found = f"errs on {error:.1f} % of {where}"
        found += "" if fit is None else f", on {fit:.1f} % of {facts.fit_samples:,} fit samples"
    else:
        in_words = (lambda value: f"{value:.3f}") if unit == NATS else rough
        found = f"has an error of {in_words(error)} {unit} on {where}"
        found += "" if fit is None else f", {in_words(fit)} on {facts.fit_samples:,} fit samples"
    return f"{name}: {found}; view: {facts.view}{f'; weights: {weights}' if weights else ''}"


def look(
    network: Network, data: Data, device: torch.device, *, top: bool, batch_size: int = BATCH, few: bool = False
) -> Alone:
    """What a network does alone on the test split, and on a sample of what it may have been fitted on.

    Args:
        data: its test split is read once, in order.
        top: its error is what penalties are held against: there must be one.
        few: read no more than ``FIRST`` samples of the test split.

    Raises:
        DataError, NonFiniteError: of a top whose output cannot be held against the labels.
    """
    data, lacking = _judged(network, data, device, top=top)
    seen = data if network.trained_on is None else data.subset(min(network.trained_on, data.size("fit")))
    held = _Examined(network, data, device)
    outcome = fit = None
    part, why = FIRST if few and data.size("test") > FIRST else 0, ""
    try:
        _need_answer(network, data.task, lacking, top=top)
        test = data.few("test", part, batch_size) if part else data.batches("test", batch_size)
        outcome = held.outcome("test", test)
        with suppress(NonFiniteError):  # the sums name the layer, too
            fit = held.outcome("fit", seen.few("fit", SAMPLE, batch_size))
    except (DataError, NonFiniteError) as error:
        if top:
            raise
        outcome, fit, why = None, None, str(error).partition(":")[0]
    weights = str(getattr(network, "weights", ""))
    cautions = [
        *_random(network.name, weights),
        *_fit(network, fit, data, weights),
        *_view(network, held, fit, data, weights),
    ]
    errors = outcome.error if outcome else None, fit.error if fit else None, len(fit.ids) if fit else 0
    return Alone(
        network.name,
        DonorFacts(weights, network.view_in_words, *errors, data.task.error_unit),
        why,
        tuple(f"caution: {caution}" for caution in cautions),
        outcome,
        part if outcome else 0,
    )


def _need_answer(network: Network, task: Task, lacking: DataError | None, *, top: bool) -> None:
    """Refuse a network whose own output cannot be held against the labels."""
    if lacking is not None:
        raise lacking
    if task.foreign and not top:
        raise DataError("what it gives is not in the space of what is searched or matched")
    if not network.has_head and task.needs_head:
        raise DataError("it returns features: no scores of the labels' classes")


def _judged(network: Network, data: Data, device: torch.device, *, top: bool) -> tuple[Data, DataError | None]:
    """The data with their task as it stands for a network, and why it stands for none; a top must have one."""
    try:
        return data.for_top(network, device), None
    except DataError as error:
        if top:
            raise
        return data, error


def introduce(
    donors: Sequence[Alone], tell: Tell | None, expected: Expected | None = None, tolerance: float | None = None
) -> None:
    """Say what donors do alone, and what makes them doubtful; refuse those that do not err as expected.

    Raises:
        StitchError: as ``check_expected``.
    """
    for donor in donors:
        say(tell, donor.told())
    for caution in dict.fromkeys(caution for donor in donors for caution in donor.cautions):
        say(tell, caution)
    check_expected(donors, expected, tolerance)


def check_expected(found: Iterable[Alone], expected: Expected | None, tolerance: float | None = None) -> None:
    """Refuse donors whose own test error is not the expected one.

    Args:
        expected: an error for all donors, or {name: error}, in the task's unit; None expects nothing.
        tolerance: how far off it may be, 1 point (0.05 nats per token, a hundredth in other units) by default; what the
            test split is too small to tell is borne beside it.

    Raises:
        StitchError: with both numbers, or naming an expectation of no donor.
    """
    if expected is None:
        return
    donors = {alone.name: alone for alone in found}
    wanted = expected if isinstance(expected, Mapping) else dict.fromkeys(donors, expected)
    for name, value in wanted.items():
        if name not in donors:
            raise StitchError(
                f"An expected error is of {name!r}: expected one of the donors {', '.join(map(repr, donors))}."
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise StitchError(
                f"The expected error of {name!r} is {value!r}: expected a number from 0, such as 8.5 (percent)."
            )
        alone, error = donors[name], donors[name].facts.error
        if error is None or alone.outcome is None:
            raise StitchError(
                f"The donor {name!r} has no error of its own to hold against the expected {value:g}: {alone.why}."
            )
        usual = TOLERANCE.get(alone.outcome.unit, 0.01 * value)
        allowed = usual if tolerance is None else tolerance
        spread = 1.96 * _standard_error(alone.outcome)
        if abs(error - value) > allowed + spread:
            raise StitchError(
                f"The donor {name!r} errs otherwise than expected on the test split: expected {value:g} "
                f"{alone.facts.unit} within {allowed + spread:.2g} (the tolerance {allowed:g}, and what "
                f"{len(alone.outcome.ids):,} samples leave open), found {error:.4g}; check its view, its weights, "
                "and the order of the classes."
            )


def _standard_error(outcome: Outcome) -> float:
    """Of a mean error over test samples."""
    shares = outcome.weights / outcome.weights.sum()
    return float((shares.square() * (outcome.errors - outcome.error).square()).sum().sqrt())


class _Examined:
    """A network held against labels; it remembers whether samples are images in [0, 1]."""

    def __init__(self, network: Network, data: Data, device: torch.device) -> None:
        self._network = network
        self._sweep = Sweep(NetworkSender(network), network, data, FitSpec(), device)
        self.images: bool | None = None

    def outcome(self, split: Split, batches: Iterable[Batch]) -> Outcome:
        """What it does on these batches of a split."""
        network = self._network
        return own_outcomes({network.name: network}, self._sweep, split, batches=self._seen(batches))[network.name]

    def _seen(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            self.images = self.images is not False and _raw_images(batch.inputs)
            yield batch


def _raw_images(inputs: Any) -> bool:
    """Whether inputs are images as files hold them: (n, channels, height, width) from 0 to 1."""
    if not isinstance(inputs, Tensor) or inputs.ndim != 4 or not inputs.is_floating_point():
        return False
    return float(inputs.min()) >= 0.0 and float(inputs.max()) <= 1.0


def _random(name: str, weights: str) -> list[str]:
    if not weights.startswith("random"):
        return []
    return [f"the weights of {name} are {weights}: no number of it says anything of a trained network"]


def _fit(network: Network, fit: Outcome | None, data: Data, weights: str) -> list[str]:
    """A network that errs on too much of what it was fitted on."""
    if fit is None or weights.startswith("random"):
        return []
    n = len(fit.ids)
    if fit.unit == NATS:
        most = math.log(network.output_shape[-1])
        if fit.error <= _LOST * most:
            return []
        found = (
            f"has an error of {fit.error:.2f} nats per token on {n:,} samples of the fit split, {most:.2f} "
            f"is a uniform guess"
        )
    elif fit.unit != "points":
        same = fit.chance
        if same is None or not as_poor(fit.error, same, _LEARNT):
            return []
        unit = fit.error_unit
        found = (
            f"has an error of {rough(fit.error)} {unit} on {n:,} samples of the fit split, one answer for all of "
            f"them has {rough(same)} {unit}"
        )
    elif unlearned(fit.error, data.n_classes, n):
        found = (
            f"errs on {fit.error:.1f} % of {n:,} samples of the fit split, {level(data, fit) or 0.0:.1f} % is chance"
        )
    else:
        return []
    if data.task.foreign:
        return [f"the network {network.name} {found}: {_ELSEWHERE}"]
    order = ", and the order of the classes" if data.task.has_classes else ""
    return [
        f"the network {network.name} {found}: a trained network errs on far fewer of the samples that it was fitted "
        f"on; check its view (how raw samples are prepared), its weights{order}"
    ]


def _view(network: Network, held: _Examined, fit: Outcome | None, data: Data, weights: str) -> list[str]:
    """Name a network that is given raw images, unless it was trained on them here or errs on next to none of them."""
    if not held.images or network.has_view or weights.startswith(("random", "trained here")):
        return []
    if fit is not None and fit.unit != NATS and fit.error <= _SURE * (level(data, fit) or 0.0):
        return []
    return [
        f"the network {network.name} has no view: it sees images raw, in [0, 1], as the data give them; if it was "
        f"trained on "
        "normalised ones, give it view=modelstitch.Normalise(mean, std), on the command line --mean and --std"
    ]


FEW = {
    "test": 100,
    "val": 30,
}  # where none of n goes wrong the true rate may be 3/n: 3 points of the test split, 10 of val

MATCHED: tuple[Split, ...] = ("fit", "test")  # what a closed form uses: nothing is chosen

_FEATURES = ("last_hidden_state", "pooler_output", "hidden_states", "image_embeds", "text_embeds")


def need_scores(top: Network, data: Data) -> None:
    """Refuse a top whose output cannot be held against the labels.

    Raises:
        DataError: naming the top, both shapes, and what to use instead.
    """
    if data.task.needs_head and (not top.has_head or top.output_name in _FEATURES):
        raise DataError(
            f"The top {top.name!r} has no head: it returns features, no scores of the labels' classes (logits), so "
            "that no error can be measured; expected a network with a head, or compare its layers with similarity(), "
            "which needs no labels."
        )
    data.task.fits(top.name, top.output_shape, next(iter(data.batches("val", 1))).labels)


def notes_on(top: Network, own: Outcome, data: Data, splits: Sequence[Split] = SPLITS) -> list[str]:
    """What is to be said beside every number of a top, alone or stitched, on these data; each begins with "caution: ".

    Args:
        top: the network whose error is measured.
        own: what it does alone on the test split.
        data: what it is fitted, chosen and measured on.
        splits: those that are used: where nothing is chosen the validation split is not.
    """
    found = [*data.notes, *_chance(top, own, data), *_few(data, splits), *_missing(data, splits), *_mask(data)]
    return [f"caution: {note}" for note in found]


def _chance(top: Network, own: Outcome, data: Data) -> list[str]:
    """A top that does no better than chance: it is untrained, or it gives no class scores."""
    chance = level(data, own)
    if chance is None:
        return []
    if own.unit != "points":
        return _as_one_answer(top, own, chance, foreign=data.task.foreign)
    if not hardly_better(own.error, chance):
        return _constant(top, own, data)
    answers_right = 100.0 - own.error
    worse = answers_right < 0.5 * (100.0 - chance)
    how, order = ("worse", "check that its classes stand in the data's order; ") if worse else ("hardly better", "")
    return [
        f"the top {top.name} alone errs on {own.error:.1f} % of the test examples, {how} than chance for "
        f"{data.n_classes} classes, so that a penalty says nothing: {order}if it gives features instead of class "
        f"scores, {INSTEAD}"
    ]


def level(data: Data, outcome: Outcome | None) -> float | None:
    """The error of answers drawn at random, else that of one answer for all samples; None of texts."""
    if data.task.by_position:
        return None
    drawn = data.task.chance(data.n_classes) if data.task.by_class else None
    return drawn if drawn is not None or outcome is None else outcome.chance


def _as_one_answer(top: Network, own: Outcome, same: float, *, foreign: bool) -> list[str]:
    """A top that does hardly better than one answer that is the same for all samples."""
    if not as_poor(own.error, same):
        return []
    unit = own.error_unit
    return [
        f"the top {top.name} alone has an error of {rough(own.error)} {unit} on the test examples, hardly better "
        f"than one answer that is the same for all of them ({rough(same)} {unit}), so that a penalty says little"
        f"{f': {_ELSEWHERE}' if foreign else ''}"
    ]


def _constant(top: Network, own: Outcome, data: Data) -> list[str]:
    """A top that does no better than one answer for all: where classes are of unlike size it may be far from chance."""
    labels = all_labels(data.dataset("test"), scan=False)
    if labels is None:
        return []
    counts = labels.bincount(minlength=data.n_classes)
    share = 100.0 * int(counts.max()) / len(labels)
    if own.error < 100.0 - share:
        return []
    most = int(counts.argmax())
    name = data.classes[most] if data.classes else most
    return [
        f"the top {top.name} alone errs on {own.error:.1f} % of the test examples, no better than the answer {name} "
        f"for all of them ({100.0 - share:.1f} %), so that a penalty says little"
    ]


def _few(data: Data, splits: Sequence[Split]) -> list[str]:
    """Splits too small for what they are for."""
    found = []
    if (n := data.size("test")) < FEW["test"]:
        found.append(f"{n} test samples are few: an interval of 0 width, or near it, is no proof")
    if "val" in splits and (n := data.size("val")) < FEW["val"]:
        found.append(
            f"{n} validation samples are few: which state of a fit is kept is chosen by them, and nearly by chance"
        )
    return found


def _missing(data: Data, splits: Sequence[Split]) -> list[str]:
    """Classes of which a split has no sample, as far as its labels are known without reading it."""
    found = []
    lowest = []
    if not data.task.by_class:
        return []
    for split in splits:
        labels = all_labels(data.dataset(split), scan=False)
        if labels is None:
            continue
        lowest.append(int(labels.min()))
        there = labels.bincount(minlength=data.n_classes) > 0
        if not bool(there.all()):
            first = int((~there).nonzero()[0])
            name = data.classes[first] if data.classes else first
            found.append(f"{int((~there).sum())} in {split} (the first is {name})")
    if not found:
        return []
    from_one = "; labels that count from 1 need 1 subtracted" if min(lowest) == 1 and not data.classes else ""
    return [
        f"of the {data.n_classes} classes some have no sample: {', '.join(found)}; errors say nothing of "
        f"those{from_one}"
    ]


def _mask(data: Data) -> list[str]:
    """Inputs that look like a mask where none is read."""
    inputs, _ = fetch(data.dataset("val"), torch.arange(min(32, data.size("val"))))
    if not isinstance(inputs, dict) or data.mask in inputs:
        return []
    return [
        f"the input {key!r} holds 0 and 1 by position and is read by the networks alone: if it marks padding, which "
        f"then counts "
        f"in sums, losses and distances, give Data(..., mask={key!r}), with 1 where a sample holds something"
        for key in like_masks(inputs)
    ]
