"""modelstitch: compare trained networks by stitching the bottom of one to the top of another.

Names are loaded when they are first used, so that importing the package does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PLACES = {
    # networks
    "Network": "network",
    "Layer": "network",
    "load": "sources.models",
    "Normalise": "views",
    "register": "sources.models",
    # questions and answers
    "stitch": "api",
    "compare": "api",
    "compare_many": "api",
    "Comparison": "api",
    "Results": "results",
    "open": "results",
    "Stitched": "stitched",
    "similarity": "layerwise",
    "matrix": "crossing",
    "paired_test": "statistics",
    "progress": "bars",
    # data
    "Data": "sources.data",
    "Batch": "sources.data",
    "load_data": "sources.named",
    # parts
    "Moments": "moments",
    "MomentsGrid": "moments_grid",
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
    from .api import Comparison, compare, compare_many, stitch
    from .bars import progress
    from .crossing import matrix
    from .errors import StitchError
    from .layerwise import similarity
    from .measures import MEASURES, check_similarity
    from .moments import Moments
    from .moments_grid import MomentsGrid
    from .network import Layer, Network
    from .notation import Seam
    from .results import Results, open
    from .sources.data import Batch, Data
    from .sources.models import load, register
    from .sources.named import load_data
    from .statistics import paired_test
    from .stitched import Stitched
    from .stitchers import FAMILIES, Stitcher, check_stitcher
    from .views import Normalise


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f".{_PLACES[name]}", __name__), name)
    raise AttributeError(f"module 'modelstitch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
