"""Trace a network once; list its layers; cut it exactly."""

from .layers import Layer
from .names import apart, check_networks
from .network import OUTPUT, Network, fingerprint
from .segment import FromInput, FromLayer, Segment

__all__ = ["OUTPUT", "FromInput", "FromLayer", "Layer", "Network", "Segment", "apart", "check_networks", "fingerprint"]
