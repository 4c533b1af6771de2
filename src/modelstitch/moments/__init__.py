"""The sums of one pass: all that closed forms and most measures need to know of activations."""

from .grid import MomentsGrid as MomentsGrid
from .moments import Moments as Moments
