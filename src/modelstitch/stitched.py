"""The stitched model: top(stitcher(bottom(x))), an ordinary module."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .errors import MeasureError, SourceError
from .network import Network
from .stitchers import Site, Stitcher, adapter_between, family_of
from .study.canonical import Record


class Stitched(nn.Module):
    """The bottom of one network, a map, and the top of another.

    Args:
        bottom, top: the donors; their weights are shared, detached and frozen.
        bottom_layer, top_layer: the seam.
        stitcher: the map between.
        family: how it is written, e.g. "low-rank:8".
        record: what was measured, if it was.
    """

    def __init__(
        self,
        bottom: Network,
        top: Network,
        bottom_layer: str,
        top_layer: str,
        stitcher: nn.Module,
        *,
        family: str,
        record: Record | None = None,
    ) -> None:
        super().__init__()
        self.bottom = bottom.bottom(bottom_layer)
        self.adapter = adapter_between(bottom.layer(bottom_layer), top.layer(top_layer))
        self.stitcher = stitcher
        self.top = top.top(top_layer)
        self.seam = f"{bottom.name}@{bottom_layer} -> {top.name}@{top_layer}"
        self.record = record
        self._config = {
            "bottom": {"name": bottom.name, "fingerprint": bottom.fingerprint(), "layer": bottom_layer},
            "top": {"name": top.name, "fingerprint": top.fingerprint(), "layer": top_layer},
            "family": family,
        }
        self.eval()

    def forward(self, x: Any, x_top: Any = None) -> Tensor:
        """The top's output for the bottom's input ``x``; ``x_top`` is the top's own view where it differs."""
        mapped = self.stitcher(self.adapter(self.bottom(x)))
        other = x if x_top is None else x_top
        result: Tensor = self.top(mapped, other if self.top.needs_input else None)
        return result

    @property
    def penalty(self) -> float:
        """error(stitched) - error(top) on the test split."""
        return float(self._metric("penalty")["value"])

    @property
    def interval(self) -> tuple[float, float]:
        """The paired 95 % interval of the penalty over test examples."""
        metric = self._metric("penalty")
        if metric["low"] is None:
            raise MeasureError("One test example gives no interval: measure on more examples.")
        return float(metric["low"]), float(metric["high"])

    @property
    def metrics(self) -> dict[str, float]:
        """All that was measured, by name."""
        return {m["metric"]: m["value"] for m in (self.record or {}).get("metrics", [])}

    def _metric(self, name: str) -> dict[str, Any]:
        for metric in (self.record or {}).get("metrics", []):
            if metric["metric"] == name:
                return dict(metric)
        raise SourceError(
            "This stitched model was loaded without its record: fit it with modelstitch.stitch to measure it."
        )

    def save(self, folder: str | Path) -> None:
        """Write the map (stitcher.safetensors) and its donors, named by fingerprint (stitch.json)."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({k: v.contiguous() for k, v in self.stitcher.state_dict().items()}, folder / "stitcher.safetensors")
        described = {**self._config, "record": self.record}
        (folder / "stitch.json").write_text(json.dumps(described, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path, bottom: Network, top: Network) -> Stitched:
        """Put a saved map between the donors it was fitted for.

        Raises:
            SourceError: if the folder holds no stitch, or a donor is another one than the map was fitted for.
        """
        folder = Path(folder)
        try:
            config = json.loads((folder / "stitch.json").read_text(encoding="utf-8"))
            state = load_file(folder / "stitcher.safetensors")
        except (OSError, ValueError) as error:
            raise SourceError(
                f"{folder} holds no stitch: expected stitch.json and stitcher.safetensors, found {error}."
            ) from error
        for side, network in (("bottom", bottom), ("top", top)):
            if config[side]["fingerprint"] != network.fingerprint():
                raise SourceError(
                    f"The {side} {network.name!r} is not the network this map was fitted for: expected fingerprint "
                    f"{config[side]['fingerprint']}, found {network.fingerprint()}."
                )
        seam = config["bottom"]["layer"], config["top"]["layer"]
        stitcher = rebuild(config["family"], bottom, top, seam, state)
        return cls(bottom, top, *seam, stitcher, family=config["family"], record=config["record"])


def rebuild(family: str, bottom: Network, top: Network, seam: tuple[str, str], state: dict[str, Tensor]) -> Stitcher:
    """A stitcher of that family with that state."""
    from .moments import Moments

    below, above = bottom.layer(seam[0]), top.layer(seam[1])
    site = Site(below.channels, above.channels, above.kind)
    cls, options = family_of(family)
    moments = Moments.empty(site.p, site.q)
    moments.n = 2  # any moments give the right shapes; the state replaces what is solved from them
    moments.xx += torch.eye(site.p)
    stitcher = cls.solve(moments, site, **options)
    stitcher.load_state_dict(state)
    return stitcher.eval()
