"""modelstitch: compare trained networks by stitching the bottom of one to the top of another.

Names are loaded when they are first used, so that importing the package does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .support.version import VERSION as __version__

_PLACES = {
    # networks
    "Network": "network",
    "Layer": "network",
    "load": "models.load",
    "Normalise": "views",
    "register": "models.load",
    # questions and answers
    "stitch": "api",
    "compare": "api",
    "compare_many": "api",
    "Results": "results",
    "open": "results",
    "Stitched": "stitched.stitched",
    "similarity": "layerwise",
    "matrix": "crossing.matrix",
    "paired_test": "study.pooling",
    "progress": "support.progress",
    "across_ranks": "support.ranks",
    # data
    "Data": "data.data",
    "Batch": "data.data",
    "load_data": "data.load",
    # parts
    "Moments": "moments",
    "MomentsGrid": "moments",
    "Stitcher": "stitchers",
    "FAMILIES": "stitchers",
    "check_stitcher": "stitchers",
    "MEASURES": "measures",
    "check_similarity": "measures",
    "Seam": "notation",
    "StitchError": "errors",
}

__all__ = ["__version__", *_PLACES]

if TYPE_CHECKING:
    from .api import compare, compare_many, stitch
    from .crossing.matrix import matrix
    from .data.data import Batch, Data
    from .data.load import load_data
    from .errors import StitchError
    from .layerwise import similarity
    from .measures import MEASURES, check_similarity
    from .models.load import load, register
    from .moments import Moments, MomentsGrid
    from .network import Layer, Network
    from .notation import Seam
    from .results import Results, open
    from .stitched.stitched import Stitched
    from .stitchers import FAMILIES, Stitcher, check_stitcher
    from .study.pooling import paired_test
    from .support.progress import progress
    from .support.ranks import across_ranks
    from .views import Normalise


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f".{_PLACES[name]}", __name__), name)
    raise AttributeError(f"module 'modelstitch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
