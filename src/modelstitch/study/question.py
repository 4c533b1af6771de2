"""What may be asked of two networks, and what is asked where nothing is said: one table for all doors. No torch.

Python, the command line, study files, plans and pages take names and defaults from here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Literal, get_args

from ..engine.controls import CONTROLS
from ..errors import StudyError

# What is asked where nothing is said.
LAYERS: Literal["matching"] = "matching"
FAMILY = "affine"
OBJECTIVE = "task"
SEEDS = (0,)

Normalisation = Literal["frozen", "recalibrated", "batch"]
NORMALISATION: Normalisation = "frozen"
NORMALISATIONS: tuple[str, ...] = get_args(Normalisation)

MATCH = "match"  # solved, not fitted
STAGES = ("task", "distill", "downstream")  # fitted; also one after the other, "downstream+task"
OBJECTIVES = (MATCH, *STAGES)
NONE = "none"  # of the controls


OBJECTIVES_KNOWN = f"{', '.join(OBJECTIVES)}, or several of the last three in a row, such as 'downstream+task'"
(OTHER_SEED,) = (name for name, control in CONTROLS.items() if control.sends == "another seed")


def controls_known() -> str:
    """What may be asked for, in words."""
    return f"{', '.join(CONTROLS)}, or 'none' alone"


def default_controls(*, sequences: bool) -> tuple[str, ...]:
    """The controls beside a pair unless others are asked for; sequences have no one class, and so no class noise."""
    return tuple(name for name, c in CONTROLS.items() if c.usual and not (sequences and c.classes))


def written_controls(value: Any) -> tuple[str, ...] | None:
    """Controls as written: one, several, "none" or an empty list for none, None for the usual ones.

    Raises:
        StudyError: if one is unknown.
    """
    if value is None:
        return None
    several = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else (value,)
    if several == (NONE,):
        return ()
    for name in several:
        if name not in CONTROLS:
            raise StudyError(f"The control {name!r} is unknown: expected one of {controls_known()}.")
    return tuple(dict.fromkeys(several))


def chosen_controls(asked: tuple[str, ...] | None, *, sequences: bool, other_seeds: Collection[str]) -> tuple[str, ...]:
    """The controls of a comparison. Who names another seed of a top asks for the control "other-seed".

    Args:
        asked: as :func:`written_controls` gives them.
        sequences: whether labels are sequences.
        other_seeds: the tops of which another seed is given.

    Raises:
        StudyError: if "other-seed" is asked for and no other seed is given.
    """
    if asked is not None and OTHER_SEED in asked and not other_seeds:
        raise StudyError(
            "The control 'other-seed' needs a network of another seed: expected one in other_seeds (--other-seed on the command "
            "line), found none; name one, or leave the control out."
        )
    found = default_controls(sequences=sequences) if asked is None else asked
    return found if OTHER_SEED in found or not other_seeds else (*found, OTHER_SEED)


def written_objective(value: Any) -> str:
    """An objective as records call it: "task", or of several stages "distill+task", also written as a list of them.

    Raises:
        StudyError: if a stage is unknown, or "match", which is solved, is one of several.
    """
    stages = value.split("+") if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else [value]
    names = [stage.strip() if isinstance(stage, str) else stage for stage in stages]
    for name in names:
        if name not in OBJECTIVES:
            raise StudyError(f"The objective {name!r} is unknown: expected {OBJECTIVES_KNOWN}.")
    if len(names) > 1 and MATCH in names:
        raise StudyError(
            "The objective 'match' is solved, not fitted, and every fitted one starts from it: leave it out of the stages."
        )
    if not names:
        raise StudyError("An objective of no stages was given: expected a name such as 'task', or several.")
    return "+".join(names)
