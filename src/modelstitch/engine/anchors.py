"""Which fit samples to stitch from, where only few may be seen by both networks: drawn, or spread out, without labels.

They are spread over what the top makes of them, so that a pair and all controls of its top have the same anchors.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..arrays.anchors import chosen
from ..data.batch import chunks
from ..data.data import Data
from ..network import OUTPUT, Network
from ..stitchers import channels_last, masked_mean, masks
from .senders import NetworkSender
from .sweep import derive

_BATCH = 128


def choose(data: Data, top: Network, n: int, how: str, *, seed: int, device: torch.device) -> Tensor:
    """Places (n,) of fit samples; a longer choice of "random" or "farthest" begins with a shorter one.

    Args:
        data: to choose from.
        top: whose last block cut, on the mean over positions, says how far samples are apart.
        n: how many.
        how: "random", "k-means" or "farthest", as for ``modelstitch.arrays.anchors``.
        seed: of the draws.
        device: where the top runs.

    Raises:
        ArrayError: fewer samples than anchors, or another way.
    """

    def look(ids: NDArray[np.int64]) -> NDArray[np.float32]:
        return _described(data, top, torch.from_numpy(ids), device)

    among = np.arange(data.size("fit"))
    return torch.from_numpy(chosen(look, among, n, how, seed=derive(seed, "anchors") % 2**32))


def _described(data: Data, top: Network, ids: Tensor, device: torch.device) -> NDArray[np.float32]:
    """Rows (n, channels) of samples at the top's last block cut; of a top without cuts, its output."""
    layer = top.layer(top.blocks[-1]) if top.blocks else None
    send = NetworkSender(top).open([] if layer is None else [layer.name], device, output=layer is None)
    found = []
    for part in chunks(ids, _BATCH):
        batch = data.chosen("fit", part)
        value = send(batch)[OUTPUT if layer is None else layer.name].float()
        if layer is None:
            found.append(value.flatten(1))
        elif batch.mask is not None and masks(batch.mask, value, layer.kind):
            found.append(masked_mean(channels_last(value, layer.kind), batch.mask))
        else:
            found.append(channels_last(value, layer.kind).reshape(len(batch), -1, layer.channels).mean(1))
    rows: NDArray[np.float32] = torch.cat(found).cpu().numpy()
    return rows
