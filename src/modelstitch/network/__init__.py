"""Trace a network once; list its layers; cut it exactly."""

from .layers import Layer, positions_of
from .layout.arrange import CHANNEL_AXIS
from .names import apart, check_networks
from .network import OUTPUT, Network, fingerprint
from .segment import FromInput, FromLayer, Segment

__all__ = [
    "CHANNEL_AXIS",
    "OUTPUT",
    "FromInput",
    "FromLayer",
    "Layer",
    "Network",
    "Segment",
    "apart",
    "check_networks",
    "fingerprint",
    "positions_of",
]
