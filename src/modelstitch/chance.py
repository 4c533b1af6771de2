"""The level of answers drawn at random, and who does hardly better. No torch."""

from __future__ import annotations


def chance_error(n_classes: int) -> float:
    """The error, in percent, of an answer that is drawn at random from so many classes."""
    return 100.0 * (1.0 - 1.0 / n_classes)


def hardly_better(error: float, chance: float) -> bool:
    """Whether a network with that error, in percent, is right at most a quarter more often than chance is."""
    return 100.0 - error <= 1.25 * (100.0 - chance)
