"""Stitchers: families of small maps, from nothing at all to an MLP, and the adapters before them."""

from .adapters import Adapter, Layout, adapter_between, channels_back, channels_last, masked_mean, masks, rows
from .affine import Affine
from .base import Bring, Site, Stitcher, mapped
from .contract import check
from .families import FAMILIES, family_of, own_codes

__all__ = [
    "FAMILIES",
    "Adapter",
    "Affine",
    "Bring",
    "Layout",
    "Site",
    "Stitcher",
    "adapter_between",
    "channels_back",
    "channels_last",
    "check",
    "family_of",
    "mapped",
    "masked_mean",
    "masks",
    "own_codes",
    "rows",
]
