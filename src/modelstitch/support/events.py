"""What happens while a question is answered, for a tracker of experiments: one hook hears all of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Event:
    """Say that something happened.

    Attributes:
        kind: "progress" (a piece of work went on), "look" (a fit was measured on the validation split), or "cell" (a
            stitch or a control is finished and measured on the test split).
        what: the work, or the stitch with its settings.
        step: how much of the work is done, or the steps of the fit so far.
        total: of how many; None where that is not known.
        values: numbers by name: "val/error", "val/loss", "fit/loss" of a look; of a cell its metrics, such as
            "penalty", and "penalty/low" and "penalty/high".

    Examples:
        >>> ms.study.Event("look", "block2", step=40, values={"val/error": 3.0}).values["val/error"]
        3.0
    """

    kind: Literal["progress", "look", "cell"]
    what: str
    step: int = 0
    total: int | None = None
    values: Mapping[str, float] = field(default_factory=dict)


OnEvent = Callable[[Event], None]
