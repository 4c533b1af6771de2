"""How a network sees a raw sample: resized, normalised, as the network's own library does it."""

from .given import as_view, in_short, normalising, plain_view, view_of_plain
from .normalise import Normalise
from .per_sample import PerSample
from .published import Published, from_processor, published

__all__ = [
    "Normalise",
    "PerSample",
    "Published",
    "as_view",
    "from_processor",
    "in_short",
    "normalising",
    "plain_view",
    "published",
    "view_of_plain",
]
