"""The stitched model: top(stitcher(bottom(x))), an ordinary module."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data.access import MASK, mask_of
from ..data.data import Data
from ..errors import FoldError, MeasureError, RecordError, SourceError
from ..network import FromLayer, Network
from ..network.fold import absorb_above, absorb_below
from ..network.norms import own_statistics
from ..notation import Seam
from ..report.sentences.units import shown
from ..stitchers import Affine, Site, Stitcher, adapter_between, family_of, mapped
from ..study.record import Metric, Record
from ..support import hashing, tensors
from ..support.ambient import in_settled
from ..support.files import make_folder, write_text
from ..support.reading import read_json
from ..support.shown import visible
from .measure import Donors, measured, of_map


class Stitched(nn.Module):
    """The bottom of one network, a map, and the top of another.

    Args:
        bottom, top: the donors; their weights are shared, detached and frozen.
        bottom_layer, top_layer: the seam.
        stitcher: the map between.
        family: how it is written, e.g. "low-rank:8".
        record: what was measured, if it was.
        statistics: BatchNorm statistics to use instead of the donors' ("bottom.<module>.mean", "top.<module>.var", ...),
            where the normalisation policy moved them.
        mask: the key of the data's mask, see :class:`modelstitch.Data`.
        measured_map: a hash of the map that the record is about; this one by default.

    Raises:
        SourceError: if ``statistics`` name a module that has none.
    """

    @in_settled
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
        statistics: dict[str, Tensor] | None = None,
        mask: str = MASK,
        measured_map: str | None = None,
    ) -> None:
        super().__init__()
        self.bottom = bottom.bottom(bottom_layer)
        self.adapter = adapter_between(bottom.layer(bottom_layer), top.layer(top_layer))
        self.top = top.top(top_layer)
        self._measured = measured_map or of_map(stitcher)
        self.stitcher = stitcher.to(self._place)  # it may have been fitted elsewhere than where the donors lie
        self._statistics = dict(statistics or {})
        self._settle(bottom.module, top.module)
        self._donors = Donors(bottom, top)
        self.seam = str(Seam(bottom.name, bottom_layer, top.name, top_layer))
        self.record = record
        self._config = {
            "bottom": {"name": bottom.name, "fingerprint": bottom.fingerprint(), "layer": bottom_layer},
            "top": {"name": top.name, "fingerprint": top.fingerprint(), "layer": top_layer},
            "family": family,
            **({"mask": mask} if mask != MASK else {}),
        }
        self.eval()

    def forward(self, x: Any, x_top: Any = None) -> Tensor:
        """The top's output for the bottom's input ``x``, as its view gives it; ``x_top`` is the top's own where it differs."""
        return self.through(x, x if x_top is None else x_top, mask_of(x, self._mask))

    def through(self, x: Any, x_top: Any, mask: Tensor | None) -> Tensor:
        """As :meth:`forward`, both views and the mask given."""
        activation = self.adapter(self.bottom(x), mask)
        above = (t.dtype for t in (*self.top.parameters(), *self.top.buffers()) if t.is_floating_point())
        stitched = mapped(self.stitcher, activation, next(above, activation.dtype))
        result: Tensor = self.top(stitched, x_top if self.top.needs_input else None)
        return result

    @property
    def penalty(self) -> float:
        """error(stitched) - error(top) on the test split."""
        return self._metric("penalty").known

    @property
    def interval(self) -> tuple[float, float]:
        """The paired 95 % interval of the penalty over test examples."""
        metric = self._metric("penalty")
        if metric.low is None or metric.high is None:
            raise MeasureError("One test example gives no interval: measure on more examples.")
        return metric.low, metric.high

    @property
    def metrics(self) -> dict[str, float]:
        """All that was measured, by name.

        Raises:
            MeasureError: as ``penalty`` and ``interval``, if the map was changed since.
        """
        self.check_measured()
        found = () if self.record is None else self.record.metrics
        return {metric.name: metric.value for metric in found if metric.value is not None}

    def check_measured(self) -> None:
        """Refuse numbers of a map that is no longer this one.

        Raises:
            MeasureError: if the map was changed since it was measured.
        """
        if self.record is not None and of_map(self.stitcher) != self._measured:
            raise MeasureError(
                f"The map at {self.seam} was changed since it was measured: expected the measured one; measure it anew with "
                ".measure(data)."
            )

    @in_settled
    def measure(self, data: Data) -> dict[str, float]:
        """Measure the model as it stands on the test split, as :func:`modelstitch.stitch` does: error, penalty, agreement.

        ``record``, ``penalty``, ``interval`` and ``metrics`` are those of this measurement from then on.

        Returns:
            ``metrics``.

        Raises:
            DataError, NetworkError: if the data do not fit the networks.
            StitchError: if the model was pickled, and so has no donors.
        """
        config = dict(self._config if self.record is None else self.record.config)
        self.record = measured(self, self._donors, data, config, self._place)
        self._measured = of_map(self.stitcher)
        return self.metrics

    def extra_repr(self) -> str:
        """The seam, the family and, where it was measured, the penalty, before the parts."""
        told = visible(f"{self.seam}, {self._config['family']}")
        if self.record is None:
            return told
        try:
            metric = self._metric("penalty")
        except MeasureError:
            return f"{told}, changed since it was measured"
        numbers = shown(metric.known, metric.low, metric.high, unit=metric.unit)
        return f"{told}, penalty {numbers} {metric.unit}"

    @in_settled
    def collapsed(self) -> Stitched:
        """The same stitched model with its map written as one affine map: what norm-affine-norm is at eval.

        Raises:
            FoldError: if the map is not affine, or mixes positions.
        """
        weight, bias = self._affine()
        twin = copy.copy(self)
        twin._modules = dict(self._modules)  # the donors' parts are shared, the map is not
        twin.stitcher = Affine(self._site, weight, bias).to(self._place).eval()
        twin._config = {**self._config, "family": "affine"}
        twin._measured = of_map(twin.stitcher) if of_map(self.stitcher) == self._measured else "changed"
        return twin

    @in_settled
    def fold(self) -> Folded:
        """The same function without a map of its own: its weights are multiplied into a neighbouring layer.

        Exact in real arithmetic, and only where it is: into the convolution or linear layer that the bottom ends with
        (a frozen BatchNorm may stand between), else into all convolutions and linear layers that read the activation
        in the top, also through average pooling. A map with a bias cannot enter a convolution that pads with zeros.

        Raises:
            FoldError: naming the seam and the operations, on both sides, that stand in the way.
        """
        weight, bias = self._affine()
        if self._config["family"] == "identity":
            return Folded(self.bottom, self.adapter, self.top, (), self._mask)
        try:
            below, name = absorb_below(self.bottom, weight, bias)
            return Folded(below, self.adapter, self.top, (f"bottom: {name}",), self._mask)
        except FoldError as error:
            first = error
        try:
            above, names = absorb_above(self.top, weight, bias, self._site.kind)
            return Folded(self.bottom, self.adapter, above, tuple(f"top: {name}" for name in names), self._mask)
        except FoldError as error:
            raise FoldError(
                f"The map at {self.seam} cannot be folded exactly. Into the bottom: {first} Into the top: {error} "
                "Keep the map, or cut next to a convolution or linear layer."
            ) from error

    @property
    def _mask(self) -> str:
        """The key of the data's mask."""
        return str(self._config.get("mask", MASK))

    @property
    def _place(self) -> torch.device:
        """Where the donors lie."""
        parts = (t for part in (self.top, self.bottom) for t in (*part.parameters(), *part.buffers()))
        return next((t.device for t in parts), torch.device("cpu"))

    @property
    def _site(self) -> Site:
        site = self.stitcher.site
        assert isinstance(site, Site)
        return site

    def _affine(self) -> tuple[Tensor, Tensor]:
        form = self.stitcher.affine_form() if isinstance(self.stitcher, Stitcher) else None
        if form is None:
            raise FoldError(
                f"The family {self._config['family']!r} at {self.seam} is not one affine map of the channels: expected "
                "affine, low-rank, norm-affine-norm, conv:1, or a rotation or permutation; such a map cannot be folded."
            )
        return form

    def _settle(self, below: nn.Module, above: nn.Module) -> None:
        """Put the statistics in place that the normalisation policy left."""
        if not self._statistics:
            return
        norms = {
            f"{side}.{name}": norm
            for side, segment, donor in (("bottom", self.bottom, below), ("top", self.top, above))
            for name, norm in own_statistics(segment, donor).items()
        }
        for key, value in self._statistics.items():
            name, _, which = key.rpartition(".")
            if name in norms:
                getattr(norms[name], which).copy_(value)
            elif name.partition(".")[0] not in ("bottom", "top"):
                raise SourceError(
                    f"The statistics {key!r} name no side: expected 'bottom.' or 'top.' before the module."
                )

    def _metric(self, name: str) -> Metric:
        self.check_measured()
        metric = None if self.record is None else self.record.metric(name)
        if metric is not None:
            return metric
        raise SourceError(
            "This stitched model has no record: expected one that was measured; measure it with .measure(data)."
        )

    def save(self, folder: str | Path) -> None:
        """Write the map (stitcher.safetensors), its donors, named by fingerprint (stitch.json), and moved statistics.

        ``stitch.json`` names the files and their digests. A stitch that was there before stays whole until the new one is.

        Raises:
            StudyError: the disk is full, or the folder cannot be written to.
        """
        folder = Path(folder)
        make_folder(folder)
        before = _files(folder)
        parts = {"stitcher": self.stitcher.state_dict(), "statistics": self._statistics}
        files: dict[str, list[str]] = {}
        for part, values in parts.items():
            if part == "statistics" and not values:
                continue
            digest = hashing.of_tensors(values, {"of": part})
            name = f"{part}.safetensors"
            if (folder / name).exists() and before.get(part, [name, ""])[1] != digest:
                name = f"{part}-{digest[:12]}.safetensors"
            tensors.save(folder / name, values, {"of": part})
            files[part] = [name, digest]
        described = {
            **self._config,
            "record": None if self.record is None else self.record.plain(),
            "map": self._measured,
            "files": files,
        }
        write_text(folder / "stitch.json", json.dumps(hashing.sealed(described), indent=2, sort_keys=True) + "\n")
        for part in parts:  # of another stitch
            for old in folder.glob(f"{part}*.safetensors"):
                if old.name != files.get(part, [""])[0]:
                    old.unlink(missing_ok=True)

    @classmethod
    @in_settled
    def load(cls, folder: str | Path, bottom: Network, top: Network) -> Stitched:
        """Put a saved map between the donors it was fitted for.

        Raises:
            SourceError: if the folder holds no stitch, one of its files changed since it was written, or a donor is another one
                than the map was fitted for.
        """
        folder = Path(folder)
        try:
            config = hashing.unsealed(read_json(folder / "stitch.json"))
            files = config["files"]
            state = _part(folder, files, "stitcher")
            statistics = _part(folder, files, "statistics") if "statistics" in files else None
            record = None if config["record"] is None else Record.of(config["record"])
        except (OSError, ValueError, KeyError, TypeError, RecordError) as error:
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
        return cls(
            bottom, top, *seam, stitcher, family=config["family"], record=record, statistics=statistics,
            mask=config.get("mask", MASK), measured_map=config.get("map"),
        )  # fmt: skip


def _files(folder: Path) -> dict[str, list[str]]:
    """The files of the stitch that a folder holds, by part; nothing where it holds none that can be read."""
    try:
        found = hashing.unsealed(read_json(folder / "stitch.json"))
    except (OSError, ValueError):
        return {}
    files: dict[str, list[str]] = found.get("files", {})
    return files


def _part(folder: Path, files: dict[str, list[str]], part: str) -> dict[str, Tensor]:
    """The tensors of one part of a saved stitch, those that its description was written with."""
    name, digest = files[part]
    if not isinstance(name, str) or name != Path(name).name:
        raise hashing.DamagedError(f"{name!r} is no name of a file in it")
    values, texts = tensors.load(folder / name)
    if texts.get("of") != part or hashing.of_tensors(values, texts) != digest:
        raise hashing.DamagedError(f"{name} is of another stitch")
    return values


class Folded(nn.Module):
    """A stitched model without a map: the map lives in a layer beside the cut.

    Attributes:
        into: the layers that took it in, e.g. ("bottom: stem.0",); empty for the identity.
    """

    def __init__(
        self, bottom: nn.Module, adapter: nn.Module, top: FromLayer, into: tuple[str, ...], mask: str = MASK
    ) -> None:
        super().__init__()
        self._mask = mask
        self.bottom, self.adapter, self.top, self.into = bottom, adapter, top, into
        self.eval()

    def forward(self, x: Any, x_top: Any = None) -> Tensor:
        """As :meth:`Stitched.forward`."""
        other = x if x_top is None else x_top
        result: Tensor = self.top(
            self.adapter(self.bottom(x), mask_of(x, self._mask)), other if self.top.needs_input else None
        )
        return result


def rebuild(family: str, bottom: Network, top: Network, seam: tuple[str, str], state: dict[str, Tensor]) -> Stitcher:
    """A stitcher of that family with that state."""
    from ..moments.moments import Moments

    below, above = bottom.layer(seam[0]), top.layer(seam[1])
    site = Site(below.channels, above.channels, above.kind)
    cls, options = family_of(family)
    moments = Moments.empty(site.p, site.q)
    moments.n = 2  # any moments give the right shapes; the state replaces what is solved from them
    moments.xx += torch.eye(site.p)
    stitcher = cls.solve(moments, site, **options)
    stitcher.load_state_dict(state)
    return stitcher.eval()
