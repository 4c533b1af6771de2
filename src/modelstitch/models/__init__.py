"""Networks by name: from hubs, files and folders, each with where its weights come from.

``load`` is at the root; the name below is public, too, and loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["register"]

if TYPE_CHECKING:
    from .load import register
else:  # a type checker would take it for a promise that every name is there

    def __getattr__(name: str) -> Any:
        if name in __all__:
            return getattr(import_module(".load", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
