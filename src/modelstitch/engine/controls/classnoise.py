"""Class noise: activations that know the label and nothing else (after Smith et al. 2025).

At the seam each class has one fixed random tensor; a sample's activation is its class's tensor plus noise, scaled to
the genuine activations. If it stitches as well as a network's bottom, the penalty only says that classes are separable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from ...data.batch import Batch
from ...data.data import Data
from ...errors import DataError
from ...network import CHANNEL_AXIS, Layer, Network
from ...network.norms import Norm
from ...stitchers import rows
from ...support import hashing
from ..senders import Send, view_of

SAMPLES = 1024
NOISE = 1.0  # standard deviation of the noise over that of the class tensors: how much decides how well it stitches


class ClassNoise:
    """A sender of class noise at the layers of a top network.

    Args:
        top: the network whose activations are imitated; its layers are the sender's layers.
        data: gives the scale of genuine activations (fit split) and the classes.
        noise: standard deviation of the noise relative to that of the class tensors. The sum is scaled to the genuine
            mean and standard deviation of each channel.
        seed: of the class tensors and of the noise, which is drawn where it is used: other numbers on a GPU than on a
            CPU.

    Raises:
        DataError: if the data have no classes.
    """

    name = "class-noise"
    norms: ClassVar[dict[str, Norm]] = {}  # no network, no statistics

    def __init__(self, top: Network, data: Data, *, noise: float = NOISE, seed: int = 0) -> None:
        if not data.task.by_class:
            raise DataError("The class-noise control needs one class label per sample; leave it out for sequences.")
        self.top, self.data, self.noise, self.seed = top, data, noise, seed

    def layer(self, name: str) -> Layer:
        return self.top.layer(name)

    def gives(self, network: Network) -> bool:
        return False

    def open(self, layers: Sequence[str], device: torch.device, *, output: bool = False) -> Send:
        names = list(dict.fromkeys(layers))
        scales = self._scales(names, device)
        tensors = {name: self._tensors(name).to(device) for name in names}
        share = 1 / (1 + self.noise**2) ** 0.5

        def send(batch: Batch) -> dict[str, Tensor]:
            result = {}
            for name in names:  # each with its own draws: what a layer gets does not depend on the others asked for
                generator = torch.Generator(device).manual_seed(_seed(self.seed, batch.ids, name))
                mean, std = scales[name]
                signal = tensors[name][batch.labels.to(device)]
                noise = torch.randn(signal.shape, generator=generator, device=device)
                result[name] = mean + std * share * (signal + self.noise * noise)
            return result

        return send

    def _tensors(self, name: str) -> Tensor:
        """One tensor per class; over classes and positions each channel has mean 0 and standard deviation 1."""
        generator = torch.Generator().manual_seed(_seed(self.seed, torch.tensor([len(name)]), name))
        layer = self.top.layer(name)
        drawn = torch.randn(self.data.n_classes, *layer.shape, generator=generator)
        channel = CHANNEL_AXIS[layer.kind]
        others = [d for d in range(drawn.ndim) if d != channel]
        centred = drawn - drawn.mean(others, keepdim=True)
        return centred / centred.std(others, keepdim=True, correction=0)

    def _scales(self, names: list[str], device: torch.device) -> dict[str, tuple[Tensor, Tensor]]:
        """Mean and standard deviation of each channel, shaped to broadcast against the activation."""
        taps = self.top.ready(self.top.taps, tuple(names), device=device)
        parts: dict[str, list[Tensor]] = {name: [] for name in names}
        with torch.no_grad():
            for batch in self.data.few("fit", SAMPLES):
                for name, value in taps(view_of(self.top, batch, device)).items():
                    parts[name].append(rows(value, self.top.layer(name).kind, batch.mask))
        scales = {}
        for name in names:
            value, layer = torch.cat(parts[name]), self.top.layer(name)
            shape = (-1, *[1] * (len(layer.shape) - CHANNEL_AXIS[layer.kind]))
            scales[name] = (value.mean(0).view(shape), value.std(0).view(shape))
        return scales


def _seed(seed: int, ids: Tensor, purpose: str = "") -> int:
    return hashing.number(f"{seed}/{purpose}/", ids)
