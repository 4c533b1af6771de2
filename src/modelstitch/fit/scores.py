"""Whether a top can be held against labels at all, and what to do where it cannot."""

from __future__ import annotations

from ..chance import chance_error, hardly_better
from ..errors import DataError
from ..measure import Outcome
from ..network import Network
from ..sources.data import Data

_INSTEAD = (
    "put a fitted linear head on it and trace that, choose the output that holds the scores with output=, or compare "
    "its layers with similarity(), which needs no labels"
)


def need_scores(top: Network, data: Data) -> None:
    """Refuse a top whose output is not one score per class for each label.

    Raises:
        DataError: naming the top, both shapes, and what to use instead.
    """
    labels = next(iter(data.batches("val", 1))).labels
    if len(top.output_shape) != labels.ndim:
        each = "one label" if labels.ndim == 1 else f"labels of shape {tuple(labels.shape[1:])}"
        raise DataError(
            f"The top {top.name!r} gives values of shape {top.output_shape} for a sample with {each}: expected one score "
            f"per class for each label, without which there is no error to fit or to measure; {_INSTEAD}."
        )


def note_on_chance(top: Network, own: Outcome, data: Data) -> str | None:
    """What a record says of a top that does no better than chance: it is untrained, or it gives no class scores."""
    if own.unit != "points" or not hardly_better(own.error, chance_error(data.n_classes)):
        return None
    answers_right = 100.0 - own.error
    worse = answers_right < 0.5 * (100.0 - chance_error(data.n_classes))
    how, order = ("worse", "check that its classes stand in the data's order; ") if worse else ("hardly better", "")
    return (
        f"the top {top.name} alone errs on {own.error:.1f} % of the test examples, {how} than chance for "
        f"{data.n_classes} classes, so that a penalty says nothing: {order}if it gives features instead of class scores, {_INSTEAD}"
    )
