"""Trace a network once; list its layers; cut it exactly."""

from .layers import Layer, positions_of
from .layout.arrange import CHANNEL_AXIS
from .network import OUTPUT, Network, apart, blueprint, check_networks
from .segment import FromInput, FromLayer, Segment
from .trace.digest import fingerprint

__all__ = [
    "CHANNEL_AXIS",
    "OUTPUT",
    "FromInput",
    "FromLayer",
    "Layer",
    "Network",
    "Segment",
    "apart",
    "blueprint",
    "check_networks",
    "fingerprint",
    "positions_of",
]
