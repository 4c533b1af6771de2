"""Networks by name: from hubs, files and folders, each with where its weights come from.

``load`` is at the root; the name below is public, too, and loaded when it is first used.
"""

from typing import TYPE_CHECKING

from ..support.lazy import loading

__all__ = ["register"]

if TYPE_CHECKING:
    from .load import register
else:  # a type checker would take it for a promise that every name is there
    __getattr__ = loading(__name__, {"register": ".load"})
