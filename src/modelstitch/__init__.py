"""modelstitch: compare trained networks by stitching the bottom of one to the top of another.

Names are loaded when they are first used, so that importing the package does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any
from warnings import warn

from .support.version import VERSION as __version__

_PLACES = {
    # networks and data
    "Network": "network",
    "load": "models.load",
    "Normalise": "views",
    "Data": "data.data",
    "load_data": "data.load",
    "Task": "data.tasks.task",
    # questions
    "stitch": "api",
    "compare": "api",
    "matrix": "api",
    "similarity": "layerwise",
    "align": "arrays",
    # answers
    "Results": "results",
    "Stitched": "stitched.stitched",
    "open": "results",
    # how they run
    "progress": "support.progress",
    "across_ranks": "support.ranks",
    "StitchError": "errors",
}
_ROOMS = (
    "tasks",
    "stitchers",
    "measures",
    "moments",
    "arrays",
    "models",
    "stats",
    "study",
    "report",
    "zoo",
    "plugins",
    "errors",
)  # public, too: each has a list of its own

_FORMER = {  # names of before, for scripts: where they are, and what they are called now
    "compare_many": ("api", "compare with a list, compare([a, b], data=data, pairs=[...]),"),
    "paired_test": ("stats.pooling", "modelstitch.stats.paired_test"),
    "register": ("models.load", "modelstitch.models.register"),
}
_WITHIN = {"tasks": "data.tasks"}  # rooms that lie within another

__all__ = ["__version__", *_PLACES, *_ROOMS]

if TYPE_CHECKING:  # "as": for type checkers, too, these names are public
    from . import (
        arrays as arrays,
        errors as errors,
        measures as measures,
        models as models,
        moments as moments,
        plugins as plugins,
        report as report,
        stats as stats,
        stitchers as stitchers,
        study as study,
        zoo as zoo,
    )
    from .data import tasks as tasks
    from .api import compare as compare, matrix as matrix, stitch as stitch
    from .arrays import align as align
    from .data.data import Data as Data
    from .data.load import load_data as load_data
    from .data.tasks.task import Task as Task
    from .errors import StitchError as StitchError
    from .layerwise import similarity as similarity
    from .models.load import load as load
    from .network import Network as Network
    from .results import Results as Results, open as open
    from .stitched.stitched import Stitched as Stitched
    from .support.progress import progress as progress
    from .support.ranks import across_ranks as across_ranks
    from .views import Normalise as Normalise
else:  # a type checker would take it for a promise that every name is there

    def __getattr__(name: str) -> Any:
        if name in _PLACES:
            return getattr(import_module(f".{_PLACES[name]}", __name__), name)
        if name in _ROOMS:
            return import_module(f".{_WITHIN.get(name, name)}", __name__)
        if name in _FORMER:
            module, now = _FORMER[name]
            warn(f"modelstitch.{name} is {now} now.", DeprecationWarning, stacklevel=2)
            return getattr(import_module(f".{module}", __name__), name)
        raise AttributeError(f"module 'modelstitch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
