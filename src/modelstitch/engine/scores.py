"""Whether a top can be held against labels at all, and what to say where its error tells little."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..data.access import all_labels, fetch, like_masks
from ..data.data import SPLITS, Data, Split
from ..errors import DataError
from ..network import Network
from ..stats.chance import chance_error, hardly_better
from .measure import Outcome

FEW = {
    "test": 100,
    "val": 30,
}  # where none of n goes wrong the true rate may be 3/n: 3 points of the test split, 10 of val

MATCHED: tuple[Split, ...] = ("fit", "test")  # what a closed form uses: nothing is chosen

_INSTEAD = (
    "put a fitted linear head on it and trace that, choose the output that holds the scores with output=, or compare "
    "its layers with similarity(), which needs no labels"
)


_FEATURES = ("last_hidden_state", "pooler_output", "hidden_states", "image_embeds", "text_embeds")


def need_scores(top: Network, data: Data) -> None:
    """Refuse a top whose output is not one score per class for each label.

    Raises:
        DataError: naming the top, both shapes, and what to use instead.
    """
    if not top.has_head or top.output_name in _FEATURES:
        raise DataError(
            f"The top {top.name!r} has no head: it returns features, no scores of the labels' classes (logits), so "
            "that no error can be measured; expected a network with a head, or compare its layers with similarity(), "
            "which needs no labels."
        )
    labels = next(iter(data.batches("val", 1))).labels
    shape, each = top.output_shape, tuple(labels.shape[1:])
    if labels.ndim > 2 or (labels.ndim == 2 and shape[:-1] != each == shape[1:]):
        raise DataError(
            f"The top {top.name!r} gives values of shape {shape} for a sample with labels of shape {each}: expected "
            "the classes last and the positions in one line, (positions, classes) and labels (positions,); end the "
            "network with .flatten(2).transpose(1, 2), and flatten the labels of a sample."
        )
    if labels.ndim == 1 and shape == (1,):
        raise DataError(
            f"The top {top.name!r} gives one value for a sample: expected one score for each class; of one logit z of "
            "two classes make two, torch.cat([torch.zeros_like(z), z], 1), at the end of the network."
        )
    if len(top.output_shape) != labels.ndim:
        held = "one label" if labels.ndim == 1 else f"labels of shape {each}"
        several = (
            "" if labels.ndim == 1 else "; labels that hold at once are measured one at a time, as two classes each"
        )
        raise DataError(
            f"The top {top.name!r} gives values of shape {shape} for a sample with {held}: expected one score "
            f"per class for each label, without which there is no error to fit or to measure; {_INSTEAD}{several}."
        )


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
    if own.unit != "points":
        return []
    if not hardly_better(own.error, chance_error(data.n_classes)):
        return _constant(top, own, data)
    answers_right = 100.0 - own.error
    worse = answers_right < 0.5 * (100.0 - chance_error(data.n_classes))
    how, order = ("worse", "check that its classes stand in the data's order; ") if worse else ("hardly better", "")
    return [
        f"the top {top.name} alone errs on {own.error:.1f} % of the test examples, {how} than chance for "
        f"{data.n_classes} classes, so that a penalty says nothing: {order}if it gives features instead of class "
        f"scores, {_INSTEAD}"
    ]


def _constant(top: Network, own: Outcome, data: Data) -> list[str]:
    """A top that does no better than one answer for all: where classes are of unlike size it may be far from chance."""
    labels = all_labels(data.dataset("test"), scan=False)
    if labels is None or labels.ndim != 1:
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
    for split in splits:
        labels = all_labels(data.dataset(split), scan=False)
        if labels is None or labels.ndim != 1:
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
