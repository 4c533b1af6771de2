"""The sums of one pass: all that closed forms and most measures need to know of activations."""

from .grid import MomentsGrid
from .moments import Moments

__all__ = ["Moments", "MomentsGrid"]
