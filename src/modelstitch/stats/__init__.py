"""What a number is worth: intervals, tests, and the level of chance.

The names below are public. They are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["paired_test", "pool"]

if TYPE_CHECKING:
    from .pooling import paired_test, pool
else:  # a type checker would take it for a promise that every name is there

    def __getattr__(name: str) -> Any:
        if name in __all__:
            return getattr(import_module(".pooling", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
