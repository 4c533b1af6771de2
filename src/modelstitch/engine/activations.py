"""What networks give for samples, kept on disk in shards with ids: each sample runs once, however often it is read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..network import OUTPUT, FromInput, Network
from ..support import hashing, tensors
from ..support.files import as_path, clean, make_folder, set_aside

_KIND, _IDS, _INPUTS, _LAYER = "activations", "ids", "inputs", "layer "
_ENDING = ".safetensors"


class Shelved(Network):
    """A network whose activations are kept: whoever reads its layers finds there what was read before.

    Attributes:
        shelf: where.
    """

    shelf: Shelf

    def replaced(self, module: nn.Module, name: str | None = None, *, weights: str | None = None) -> Network:
        """As ``Network.replaced``; what another module gives is not kept here."""
        plain = Network.__new__(Network)
        plain.__dict__.update({key: value for key, value in self.__dict__.items() if key != "shelf"})
        return plain.replaced(module, name, weights=weights)


def keeping(network: Network, folder: str | Path, layers: Iterable[str]) -> Shelved:
    """The same network, whose activations are kept in a folder.

    Args:
        network: it is not changed.
        folder: of any number of networks.
        layers: that will be read: the first forward of a sample gives them all.
    """
    twin = Shelved.__new__(Shelved)
    twin.__dict__.update(network.__dict__)
    twin.shelf = Shelf(
        as_path(folder, "activations") / network.fingerprint(), network, [network.layer(name).name for name in layers]
    )
    return twin


class Shelf:
    """A folder of one network's activations.

    A sample is known by a hash of what the network sees of it, so that another augmentation, view or mask is another
    sample. Each shard holds a batch as it first came: ids, hashes, layers, and a digest over all of it.

    Args:
        folder: named by the network's fingerprint.
        network: whose activations these are.
        ahead: layers that a forward gives beside those that are asked for.
    """

    def __init__(self, folder: Path, network: Network, ahead: Sequence[str]) -> None:
        self._folder, self._network, self._ahead = folder, network, list(dict.fromkeys(ahead))
        self._texts = {"of": _KIND, "network": network.name, "weights": network.weights}
        self._at: dict[str, dict[bytes, tuple[Path, int]]] = defaultdict(dict)  # {layer: {sample: its shard and row}}
        self._sound: dict[Path, tuple[int, int]] = {}  # shards whose digest was checked, as they lay there then
        make_folder(self._folder)
        clean(self._folder)
        for path in sorted(self._folder.glob(f"*{_ENDING}")):
            self._note(path)

    def open(self, names: Sequence[str], device: torch.device) -> Callable[[Any, Tensor], dict[str, Tensor]]:
        """A function of what the network sees, and of the samples' ids, that gives {layer: activation}.

        Args:
            names: layers; OUTPUT is the network's output.
            device: where the network runs, and activations are wanted.
        """
        wanted = list(dict.fromkeys(names))
        known: dict[tuple[str, ...], FromInput] = {}

        def run(missing: tuple[str, ...]) -> FromInput:
            if missing not in known:
                known.clear()
                layers = [name for name in missing if name != OUTPUT]
                known[missing] = self._network.taps(layers, output=OUTPUT in missing).to(device)
            return known[missing]

        def send(seen: Any, ids: Tensor) -> dict[str, Tensor]:
            samples = _hashes(seen, len(ids))
            found = {name: value for name in wanted if (value := self._read(name, samples)) is not None}
            lacking = [name for name in wanted if name not in found]
            if lacking:
                ahead = [name for name in self._ahead if name not in found and not self._has(name, samples)]
                fresh = run(tuple(dict.fromkeys([*lacking, *ahead])))(seen)
                self._write(fresh, samples, ids)
                found |= {name: fresh[name] for name in lacking}
            return {name: found[name].to(device) for name in wanted}

        return send

    def _has(self, name: str, samples: Sequence[bytes]) -> bool:
        return all(sample in self._at[name] for sample in samples)

    def _read(self, name: str, samples: Sequence[bytes]) -> Tensor | None:
        """The activation of a layer; None where a sample is not there, or no longer sound."""
        if not self._has(name, samples):
            return None
        places: dict[Path, tuple[list[int], list[int]]] = {}
        for at, sample in enumerate(samples):
            path, row = self._at[name][sample]
            here, rows = places.setdefault(path, ([], []))
            here.append(at)
            rows.append(row)
        whole: Tensor | None = None
        for path, (here, rows) in places.items():
            part = self._rows(path, name, rows)
            if part is None:
                return None
            if whole is None:
                whole = part.new_empty((len(samples), *part.shape[1:]))
            whole[here] = part
        return whole

    def _rows(self, path: Path, name: str, rows: list[int]) -> Tensor | None:
        """Some rows of a shard; one that changed since it was written is set aside."""
        try:
            state = path.stat()
            if self._sound.get(path) != (state.st_mtime_ns, state.st_size):
                with tensors.opened(path):  # reads and checks all of it
                    self._sound[path] = (state.st_mtime_ns, state.st_size)
            with safe_open(path, "pt") as file:
                held: Tensor = file.get_tensor(_LAYER + name)
                return held[rows]
        except (OSError, ValueError, SafetensorError) as error:
            self._forget(path, error)
            return None

    def _write(self, values: Mapping[str, Tensor], samples: Sequence[bytes], ids: Tensor) -> None:
        """Keep a batch, whole or not at all."""
        path = self._folder / (hashing.of(*sorted(values), *samples, digits=32) + _ENDING)
        held = {_LAYER + name: value for name, value in values.items()}
        held |= {_IDS: ids, _INPUTS: torch.frombuffer(bytearray(b"".join(samples)), dtype=torch.uint8)}
        tensors.save(path, held, self._texts)
        state = path.stat()
        self._sound[path] = (state.st_mtime_ns, state.st_size)
        self._put(path, values, samples)

    def _note(self, path: Path) -> None:
        """Take up a shard that lies there; what it holds is checked where it is read."""
        try:
            with safe_open(path, "pt") as file:
                names = [key.removeprefix(_LAYER) for key in file.keys() if key.startswith(_LAYER)]  # noqa: SIM118
                ids, packed = file.get_tensor(_IDS), bytes(file.get_tensor(_INPUTS).numpy())
            size = len(packed) // max(1, len(ids))
            self._put(path, names, [packed[at : at + size] for at in range(0, len(packed), size)])
        except (OSError, ValueError, SafetensorError) as error:
            self._forget(path, error)

    def _put(self, path: Path, names: Iterable[str], samples: Sequence[bytes]) -> None:
        for name in names:
            self._at[name] |= {sample: (path, row) for row, sample in enumerate(samples)}

    def _forget(self, path: Path, error: Exception) -> None:
        for known in self._at.values():
            for sample in [sample for sample, (at, _) in known.items() if at == path]:
                del known[sample]
        if path.exists():
            set_aside(path, f"The activations in {path} cannot be used ({error})")


def _hashes(seen: Any, n: int) -> list[bytes]:
    """A hash of each sample as the network sees it, 16 bytes; what has no place for every sample counts for all."""
    leaves, form = pytree.tree_flatten(seen)
    held = [leaf.detach().cpu() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    shared = hashing.Hash(str(form))
    each = [leaf for leaf in held if isinstance(leaf, Tensor) and leaf.ndim and len(leaf) == n]
    for leaf in held:
        if not any(leaf is one for one in each):
            shared.add(leaf if isinstance(leaf, Tensor) else json.dumps(leaf, default=str))
    common = shared.hex() + "".join(f"{leaf.dtype}{tuple(leaf.shape[1:])}" for leaf in each)
    return [bytes.fromhex(hashing.of(common, *(leaf[at] for leaf in each), digits=32)) for at in range(n)]
