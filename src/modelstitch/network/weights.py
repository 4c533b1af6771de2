"""A hash of a module's weights."""

from __future__ import annotations

from torch import nn

from ..support import hashing


def fingerprint(module: nn.Module) -> str:
    """Hash over a module's parameters and buffers, in order of name: hex, 16 digits."""
    digest = hashing.Hash()
    tensors = [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]
    for name, tensor in sorted(tensors, key=lambda item: item[0]):
        digest.add(f"{name}{tuple(tensor.shape)}{tensor.dtype}")
        if tensor.device.type != "meta":
            digest.add(tensor)
    return digest.hex(16)


def origin_of(module: nn.Module, weights: str | None) -> tuple[str, str] | None:
    """Where weights come from, and the hash that they had then."""
    return None if weights is None else (weights, fingerprint(module))
