"""The level of answers drawn at random, and who does hardly better. No torch."""

from __future__ import annotations

import math


def chance_error(n_classes: int) -> float:
    """The error, in percent, of an answer that is drawn at random from so many classes."""
    return 100.0 * (1.0 - 1.0 / n_classes)


FAR = {"points": 10.0, "nats/token": 0.5}  # from this penalty a map counts as far off, by unit; others are not judged


def hardly_better(error: float, chance: float) -> bool:
    """Whether a network with that error, in percent, is right at most a quarter more often than chance is."""
    return 100.0 - error <= 1.25 * (100.0 - chance)


HARDLY = 0.97


def as_poor(error: float, same: float, share: float = HARDLY) -> bool:
    """Whether an error is no better than a share of that of one answer for all samples, in any unit.

    Errors may be below 0, where they are scores with their sign turned.
    """
    return error >= same - (1 - share) * abs(same)


def unlearned(error: float, classes: int, n: int) -> bool:
    """Whether a network errs on far more of ``n`` samples than one does that was trained on them.

    The level is a fifth of what chance errs on for ten classes, and more where there are more to tell apart: 18 % for
    10, 30 % for 100, 40 % for 1,000. Small samples have to be clearly above it, by 1.64 standard errors.

    Args:
        error: in percent.
        classes: that there are to choose from.
    """
    level = 0.2 * chance_error(classes) * (1.0 + 0.5 * math.log10(max(classes, 10) / 10))
    return error - 1.64 * math.sqrt(error * (100.0 - error) / max(n, 1)) > level
