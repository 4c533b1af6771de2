"""Random numbers that a module may draw: their states kept, and states that make rare draws show."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

SOURCES = ("Python's random", "numpy.random", "torch")
_SEEDS = (1315, 155)  # torch.rand(2) then gives 0.02, 0.04 and 0.996, 0.96
# What the twister gives first, 32 bits each: uniform numbers of 0.001 and 0.999; draws of whole numbers, which refuse
# what is
# too large and draw again, then take the number in between.
_LOW, _HIGH = (0x00400000,), (0xFFBFFFFF, 0xFFBFFFFF, 0x7FBF5555, 0x7FBF5555)
_WORDS, _EXTREME = 624, 600  # of a Mersenne twister's state


@contextmanager
def rng_kept() -> Iterator[None]:
    """What Python, numpy and torch draw afterwards is what they would have drawn."""
    python, numpy, state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if _on_gpu() else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(state)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


def set_rng(high: dict[str, bool]) -> None:
    """Put each of ``SOURCES`` into one of two states, whose uniform numbers are all but 0, or all but 1.

    Two plain seeds would mostly agree on a branch that is taken once in a hundred calls. Of torch, whose draws are seen
    in the graph, only the first two numbers are so.
    """
    words = {source: _words(high[source]) for source in SOURCES[:2]}
    random.setstate((3, (*words[SOURCES[0]], 0), None))
    np.random.set_state(("MT19937", np.array(words[SOURCES[1]], dtype=np.uint32), 0, 0, 0.0))
    seed = _SEEDS[high[SOURCES[2]]]
    torch.default_generator.manual_seed(seed)
    if _on_gpu():
        torch.cuda.manual_seed_all(seed)


def states() -> dict[str, Any]:
    """What tells whether numbers were drawn, by source."""
    numpy: Any = np.random.get_state()
    return {
        SOURCES[0]: random.getstate(),
        SOURCES[1]: (numpy[2], numpy[1].tobytes()),
        SOURCES[2]: torch.get_rng_state().numpy().tobytes(),
    }


def _on_gpu() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def _words(high: bool) -> list[int]:
    ahead = [_untempered(n) for n in (_HIGH if high else _LOW)]
    rest = random.Random(int(high))  # some draws are made anew until they suit: the extremes must end
    return ahead * (_EXTREME // len(ahead)) + [rest.getrandbits(32) for _ in range(_WORDS - _EXTREME)]


def _untempered(number: int) -> int:
    """The word of the state from which the Mersenne twister makes ``number``."""
    number ^= number >> 18
    number ^= (number << 15) & 0xEFC60000
    first = number
    for _ in range(4):
        number = first ^ ((number << 7) & 0x9D2C5680)
    first = number
    for _ in range(2):
        number = first ^ (number >> 11)
    return number
