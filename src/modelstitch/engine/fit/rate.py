"""How fast the whitened steps of a stream should be.

Full where the start is far from its goal, a quarter where it is near.
"""

from __future__ import annotations

LEAST = 0.25  # of the rate
FAR = 0.5  # of what the top knows: a start that has lost so much takes the full rate


def pace(error: float, own: float, chance: float) -> float:
    """What the rate is multiplied with: twice the share of the top's skill that the start has lost, from 1/4 to 1.

    A closed form that loses little is near the best map, and large steps only shake it; one that loses much, as of
    briefly trained networks, narrow layers or an untrained bottom, has far to go. docs/results/steps.md has what was
    measured.

    Args:
        error: of the start on the validation split, in percent, or nats per token.
        own: of the top alone there.
        chance: of answers drawn at random.
    """
    if chance <= own:
        return 1.0
    return min(1.0, max(LEAST, (error - own) / (chance - own) / FAR))
