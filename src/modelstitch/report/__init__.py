"""Records into a frame, figures, sentences and one inert page. Nothing here imports torch.

The names below are public: what a page of one's own draws and says with.
"""

from ..engine.controls import CONTROLS
from .figures.axes import drawn, heat_map, penalty_axis, sheet
from .figures.style import number, plain, short
from .figures.svg import to_svg
from .frame import Point
from .front import Front
from .sentences.remark import amount
from .sentences.units import scale_of
from .sentences.verdicts import EARLY, LATE, middle, rises

__all__ = [
    "CONTROLS",
    "EARLY",
    "LATE",
    "Front",
    "Point",
    "amount",
    "drawn",
    "heat_map",
    "middle",
    "number",
    "penalty_axis",
    "plain",
    "rises",
    "scale_of",
    "sheet",
    "short",
    "to_svg",
]
