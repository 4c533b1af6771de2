"""Trace a network once; list its layers; cut it exactly."""

from .layers import Layer
from .network import Network, fingerprint
from .segment import FromInput, FromLayer, Segment

__all__ = ["FromInput", "FromLayer", "Layer", "Network", "Segment", "fingerprint"]
