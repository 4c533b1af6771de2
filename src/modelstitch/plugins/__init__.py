"""Plug-ins: what installed packages add to the tables, each taken by its name and not before.

A package offers one with an entry point in a group such as ``modelstitch.families``; ``GROUPS`` lists the kinds.
Nothing of it is imported until ``use`` names it,
and no file that modelstitch reads can name one.
"""

from .entered import GROUPS, Offer, offered, use

__all__ = ["GROUPS", "Offer", "offered", "use"]
