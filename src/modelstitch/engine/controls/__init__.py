"""What a penalty is worth: bottoms that know nothing, or only the label."""

from .calibrate import calibrate
from .classnoise import ClassNoise
from .random import reinitialise, still_trained

__all__ = ["ClassNoise", "calibrate", "reinitialise", "still_trained"]
