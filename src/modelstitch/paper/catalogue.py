"""The figures by name; each is loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module

from ..errors import StudyError
from ..support.words import hint
from .figure import Figure

FIGURES = {
    "2a": "fig2a",
    "2b": "fig2b",
    "2b-equal": "fig2b_equal",
    "2b-imagenet": "fig2b:IMAGENET",
    "2c": "fig2c",
    "3a": "fig3a",
    "3b": "fig3b",
    "3c": "fig3c",
    "4": "fig4",
    "5": "fig5",
    "6": "fig6",
    "7": "fig7",
    "8": "fig8",
    "9": "fig9",
    "table1": "table1",
    "thought": "thought_experiments",
    "connectivity": "connectivity",
    "matrix": "matrix",
}
OWN_CHECKPOINTS = ("2b-imagenet",)  # figures on networks that the user brings
NOT_RUN = {
    "1": "Figure 1 is a cartoon of the two hypotheses: there is nothing to measure; Table 1 sums up what it asks."
}


def figure(name: str) -> Figure:
    """The figure of that name.

    Raises:
        StudyError: if there is none, with the closest names.
    """
    if name in NOT_RUN:
        raise StudyError(NOT_RUN[name])
    if name not in FIGURES:
        raise StudyError(f"There is no figure {name!r}: {hint(name.lower().removeprefix('fig'), FIGURES, count=2)}")
    module, _, attribute = FIGURES[name].partition(":")
    found: Figure = getattr(import_module(f".{module}", __package__), attribute or "FIGURE")
    return found


def study_file(name: str) -> str:
    """The file that declares the figure of that name, relative to the package."""
    return f"paper/{FIGURES[name].partition(':')[0]}.py"
