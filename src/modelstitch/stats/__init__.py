"""What a number is worth: intervals, tests, and the level of chance.

The names below are public. They are loaded when they are first used.
"""

from typing import TYPE_CHECKING

from ..support.lazy import loading

__all__ = ["paired_test", "pool"]

if TYPE_CHECKING:
    from .pooling import paired_test, pool
else:  # a type checker would take it for a promise that every name is there
    __getattr__ = loading(__name__, dict.fromkeys(__all__, ".pooling"))
