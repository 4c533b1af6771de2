"""The stitched model: top(stitcher(bottom(x))), an ordinary module."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data.batch import MASK, in_reals, mask_of
from ..data.data import Data
from ..engine.entry import check_entry
from ..engine.joined import Joined
from ..errors import FoldError, MeasureError, RecordError, SourceError, StitchError, first_line
from ..network import FromInput, FromLayer, Network
from ..network.fold import absorb_above, absorb_below
from ..network.norms import put_statistics
from ..notation import Seam
from ..records.record import Metric, Record
from ..report.sentences.units import shown
from ..stitchers import Adapter, Affine, Site, Stitcher, adapter_between
from ..support.ambient import in_settled
from ..support.device import to_device
from ..support.files import as_path
from ..support.kinds import kinds
from ..support.progress import Tell
from ..support.shown import visible
from .folded import Folded
from .folder import described_in, part_in, write
from .generate import generate
from .lengths import cut, fitted
from .maps import composed, rebuild
from .measure import measured, of_map
from .sides import NAMES, DonorSide, FoundSide, found, keep, views_of


class Stitched(Joined):
    """Join the bottom of one network, a map, and the top of another.

    ``modelstitch.stitch`` makes a stitched model with a fitted map.

    Args:
        bottom: the network below; its weights are shared, detached and frozen.
        top: the network above; its weights are shared, detached and frozen.
        bottom_layer: where the bottom ends, an exact cut.
        top_layer: where the top begins, an exact cut.
        stitcher: the map between them.
        family: the family of the map as it is written, such as "low-rank:8".
        record: the record of its measurement, if it was measured.
        statistics: BatchNorm statistics to use instead of the donors' ("bottom.<module>.mean", "top.<module>.var",
            ...), if the normalisation policy moved them.
        mask: the key of the data's mask, see ``modelstitch.Data``.
        measured_map: a hash of the map that the record is about; by default that of ``stitcher``.

    Raises:
        SourceError: if ``statistics`` name a module that has none.

    Examples:
        >>> s = ms.stitch(bottom, top, at="block2", data=data, objective="match")
        >>> s.penalty == s.metrics["error"] - s.metrics["top_error"]
        True
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
        adapter_between(bottom.layer(bottom_layer), top.layer(top_layer))  # refuses by the layers' names
        self._put_together(
            FoundSide(DonorSide.of(bottom, bottom_layer), None),
            FoundSide(DonorSide.of(top, top_layer), None),
            stitcher,
            family,
            record,
            statistics or {},
            mask,
            measured_map,
        )

    def _put_together(
        self,
        low: FoundSide,
        high: FoundSide,
        stitcher: nn.Module,
        family: str,
        record: Record | None,
        statistics: Mapping[str, Tensor],
        mask: str,
        measured_map: str | None,
    ) -> None:
        self._sides = low.side, high.side
        adapter = Adapter(low.side.layout, high.side.layout)
        self._measured = measured_map or of_map(stitcher)
        self.joined(low.cut(FromInput), adapter, stitcher, high.cut(FromLayer))
        self.stitcher = stitcher.to(self.place)  # it may have been fitted elsewhere than where the donors lie
        self._statistics = dict(statistics)
        for which, part, side in (("bottom", self.bottom, low), ("top", self.top, high)):
            if side.part is None:  # else they are in the part
                put_statistics(part, _of_side(which, self._statistics))
        self.seam = str(Seam(low.side.name, low.side.layer, high.side.name, high.side.layer))
        self.record = record
        self._config = {
            "bottom": low.side.config(),
            "top": high.side.config(),
            "family": family,
            **({"mask": mask} if mask != MASK else {}),
        }
        self.eval()

    @in_settled
    def predict(self, raw: Any) -> Tensor:
        """Give the top's output for raw samples.

        Both donors' views are applied, and no gradient is kept.

        Args:
            raw: a batch: images (n, channels, height, width), uint8 or in [0, 1], a list of images of several sizes, or
                the inputs of a dataset of texts. Texts may have any length that both networks take: they are padded
                under their mask to one that is traced, and the output is cut to theirs.

        Returns:
            Scores (n, classes), or whatever the top gives.

        Raises:
            SourceError: a donor's view was code that the folder it was loaded from does not hold.
            DataError, NetworkError: the samples do not fit a view or a donor.

        Examples:
            >>> s.predict(next(data.batches("test", 5)).inputs).shape
            torch.Size([5, 10])
        """
        model, inputs, tokens = fitted(self, [side.network for side in self._sides], in_reals(raw))
        if model is not self:
            return cut(model.predict(inputs), tokens)
        place = self.place
        below, above = (to_device(side.view(inputs), place) for side in self._sides)
        with torch.no_grad():
            return cut(self.through(below, above, mask_of(inputs, self._mask)), tokens)

    @in_settled
    def generate(
        self,
        prompt: str | Sequence[str] | Tensor,
        tokens: int = 20,
        *,
        stop: int | None = None,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[str] | Tensor:
        """Write texts on with stitched causal language models, token by token.

        The whole prefix is computed again for every token: the donors keep no keys and values of it. Networks are
        traced once more where the text grows longer than their example.

        Args:
            prompt: a text, several, or ids of shape (texts, tokens). Texts are read by the top's tokenizer.
            tokens: how many are written at most.
            stop: the id that ends a text; by default the end that the top's own generation_config names.
            temperature: 0 takes the likeliest token each time; above 0 tokens are drawn from scores divided by it.
            seed: of what is drawn.

        Returns:
            The texts, prompts included; for ids the ids (texts, prompt and new tokens).

        Raises:
            StitchError: a donor is no causal language model, has no room for the text, or is not there.

        Examples:
            >>> ids = lm.generate(torch.tensor([[5, 6, 7]]), tokens=4)
            >>> ids.shape, ids[0, :3].tolist()
            (torch.Size([1, 7]), [5, 6, 7])
        """
        return generate(self, prompt, tokens, stop=stop, temperature=temperature, seed=seed)

    def forward(self, x: Any, x_top: Any = None) -> Tensor:
        """Give the top's output for what the donors' views give.

        Args:
            x: the bottom's input.
            x_top: the top's own, where it differs.

        Returns:
            The top's output, (n, ...).

        Examples:
            >>> s(next(data.batches("test", 5)).inputs).shape
            torch.Size([5, 10])
        """
        return self.through(x, x if x_top is None else x_top, mask_of(x, self._mask))

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

        Examples:
            >>> s.check_measured()
        """
        if self.record is not None and of_map(self.stitcher) != self._measured:
            raise MeasureError(
                f"The map at {self.seam} was changed since it was measured: expected the measured one; measure it anew "
                "with .measure(data)."
            )

    @in_settled
    def round_trip(self, back: Stitched) -> Stitched:
        """Follow this map by the one back, by way of the other network to the bottom's own layer.

        The two maps and the round trip together say how much of each layer the other one holds: each tells, once
        measured, the variance that it explains (``r2``) and what the top makes of it (``error``, ``loss``).

        Args:
            back: from this model's top to its bottom, between the same layers.

        Returns:
            The bottom stitched into itself, not measured yet.

        Raises:
            StitchError: the maps do not lead there and back, are not affine, or a network is not there.

        Examples:
            >>> asked = {"data": data, "objective": "match"}
            >>> there, back = ms.stitch(bottom, top, "block2", **asked), ms.stitch(top, bottom, "block2", **asked)
            >>> again = there.round_trip(back)
            >>> again.seam, sorted(again.measure(data).keys() & {"r2", "loss"})
            ('bottom@block2 -> bottom@block2', ['loss', 'r2'])
        """
        low, _ = self.networks("go back to")
        ways = [[side.config() for side in model._sides] for model in (self, back)]
        (here, far), (near, home) = ([(d["fingerprint"], d["layer"]) for d in way] for way in ways)
        if here != home or far != near:
            raise StitchError(
                f"The map {back.seam} does not lead back from {self.seam}: expected the same two layers of the same "
                "networks the other way round."
            )
        layer, stitcher = self._sides[0].layer, composed(self.stitcher, back.stitcher)  # type: ignore[arg-type]
        return Stitched(low, low, layer, layer, stitcher, family="affine", mask=self._mask)

    @kinds("data", settled=True)
    def measure(self, data: Data) -> dict[str, float]:
        """Measure the model as it stands on the test split.

        That is error, penalty, agreement and the variance explained, as ``modelstitch.stitch`` measures them.
        ``record``, ``penalty``, ``interval`` and ``metrics`` are those of this measurement from then on.

        Args:
            data: whose test split is read.

        Returns:
            ``metrics``.

        Raises:
            DataError, NetworkError: if the data do not fit the networks.
            StitchError: if the model was pickled, or loaded without its donors.

        Examples:
            >>> s.measure(data)["penalty"] == s.penalty
            True
        """
        low, high = self._sides
        config = dict(self._config if self.record is None else self.record.config)
        self.record = measured(self, low.network, high.network, data, config, self.place, layer=high.layer)
        self._measured = of_map(self.stitcher)
        return self.metrics

    @kinds("data", settled=True)
    def tune(
        self,
        data: Data,
        unfreeze: str = "stitcher",
        *,
        steps: int = 500,
        learning_rate: float = 1e-3,
        batch_size: int = 128,
        weight_decay: float = 0.0,
        eval_every: int = 50,
        patience: int = 5,
        augment: bool = True,
        seed: int = 0,
        tell: Tell | None = None,
    ) -> Stitched:
        """Train a copy further on the task, with as much of it unfrozen as you ask for.

        The donors stay as they are. A tuned stitch no longer says what the bottom's representation is good for: with
        enough of it free, any bottom will do. So its record names what was free, in its objective too, and is never
        pooled with records of frozen stitches. Tune a control as well, to see what the tuning alone can do. BatchNorm
        statistics stay those of the stitch.

        Args:
            data: to fit, choose and measure on.
            unfreeze: "stitcher"; "after:LAYER", which adds what the top computes behind that layer; or "all".
            steps: of Adam with a cosine schedule.
            learning_rate: at the start.
            batch_size: samples of a step.
            weight_decay: of all that is trained.
            eval_every: steps between two looks at the validation split; the best state is kept, the start among them.
            patience: looks without improvement that are allowed.
            augment: apply the data's augmentation.
            seed: of the order of samples.
            tell: hears of the progress, as in ``modelstitch.stitch``.

        Returns:
            The tuned model, measured.

        Raises:
            StitchError: the donors are not there, ``unfreeze`` is unknown, or there is nothing to train.
            DataError, NetworkError: the data do not fit.

        Examples:
            >>> tuned = s.tune(data, steps=2, eval_every=2)
            >>> tuned.record.objective
            'match, then task (stitcher unfrozen)'
        """
        from ..engine.fit.tune import spec_of, told_of, tuned

        low, high = self.networks("tune")
        options = {"steps": steps, "learning_rate": learning_rate, "batch_size": batch_size, "augment": augment}
        options |= {"weight_decay": weight_decay, "eval_every": eval_every, "patience": patience}
        spec = spec_of(options)
        check_entry((low, high), data)
        model, history = tuned(self, (low, high), data, unfreeze, spec, seed=seed, name=self.seam, tell=tell)
        model._measured = of_map(model.stitcher)
        before = self._config if self.record is None else self.record.config
        how = {"unfreeze": unfreeze, "tuned": {**options, "seed": seed}}
        told = f"{before.get('objective') or 'as it was'}, then task ({unfreeze} unfrozen)"
        record = measured(model, low, high, data, {**before, "objective": told, **how}, model.place)
        model.record = replace(record, history=tuple(history), notes=(*record.notes, told_of(unfreeze)))
        return model

    def extra_repr(self) -> str:
        """Say the seam, the family and, where it was measured, the penalty, before the parts.

        Returns:
            The words.

        Examples:
            >>> s.extra_repr().split(",")[0]
            'bottom@block2 -> top@block2'
        """
        told = visible(f"{self.seam}, {self._config['family']}")
        if self.record is None:
            return told
        try:
            metric = self._metric("penalty")
        except MeasureError:
            return f"{told}, changed since it was measured"
        numbers = shown(metric.known, metric.low, metric.high, unit=metric.unit)
        return f"{told}, penalty {numbers} {metric.unit}"

    def _repr_html_(self) -> str:
        """What a notebook shows: all that was measured, as the command line prints it."""
        from ..report.summary import as_html, metrics_summary

        told = self.extra_repr()
        try:
            self.check_measured()
        except MeasureError:
            return as_html([], text=told)
        return as_html([] if self.record is None else [metrics_summary(self.record, self.seam)], text=told)

    @in_settled
    def collapsed(self) -> Stitched:
        """Write the map as one affine map, as norm-affine-norm is at eval; the model computes the same.

        Returns:
            A model that shares the donors' parts.

        Raises:
            FoldError: if the map is not affine, or mixes positions.

        Examples:
            >>> images = next(data.batches("test", 5)).inputs
            >>> torch.allclose(s.collapsed()(images), s(images), atol=1e-4)
            True
        """
        weight, bias = self._affine()
        twin = copy.copy(self)
        twin._modules = dict(self._modules)  # the donors' parts are shared, the map is not
        twin.stitcher = Affine(self._site, weight, bias).to(self.place).eval()
        twin._config = {**self._config, "family": "affine"}
        twin._measured = of_map(twin.stitcher) if of_map(self.stitcher) == self._measured else "changed"
        return twin

    @in_settled
    def fold(self) -> Folded:
        """Multiply the map into a neighbouring layer; the model computes the same.

        Exact in real arithmetic, and only where it is: into the convolution or linear layer that the bottom ends with
        (a frozen BatchNorm may stand between), else into all convolutions and linear layers that read the activation
        in the top, also through average pooling. A map with a bias cannot enter a convolution that pads with zeros.

        Returns:
            The model without a map; ``into`` names the layers that took it in.

        Raises:
            FoldError: naming the seam and the operations, on both sides, that stand in the way.

        Examples:
            >>> late = ms.stitch(bottom, top, "block3", data, objective="match")
            >>> late.fold().into
            ('top: head',)
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
    def donors(self) -> tuple[str, str]:
        """The names of the networks below and above."""
        low, high = self._sides
        return low.name, high.name

    def between(self, bottom: Network, top: Network) -> Stitched:
        """Put the same map between other traces of the same networks.

        Args:
            bottom: the network below.
            top: the network above.

        Returns:
            A stitched model without a record.

        Examples:
            >>> s.between(bottom, top).record is None
            True
        """
        low, high = (side.layer for side in self._sides)
        family, mask = str(self._config["family"]), self._mask
        return Stitched(bottom, top, low, high, self.stitcher, family=family, statistics=self._statistics, mask=mask)

    def networks(self, what: str) -> tuple[Network, Network]:
        """Give the networks below and above.

        Args:
            what: they are needed for, as a message says it: "tune".

        Returns:
            Both donors.

        Raises:
            StitchError: they are not there, since the model was loaded without them.

        Examples:
            >>> [network.name for network in s.networks("look at")]
            ['bottom', 'top']
        """
        low, high = (side.network for side in self._sides)
        if low is None or high is None:
            raise StitchError(f"To {what} {self.seam} its networks are needed: load it with both of them.")
        return low, high

    @property
    def _mask(self) -> str:
        """The key of the data's mask."""
        return str(self._config.get("mask", MASK))

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

    def _metric(self, name: str) -> Metric:
        self.check_measured()
        metric = None if self.record is None else self.record.metric(name)
        if metric is not None:
            return metric
        raise SourceError(
            "This stitched model has no record: expected one that was measured; measure it with .measure(data)."
        )

    @kinds("folder")
    def save(self, folder: str | Path, *, whole: bool = False) -> None:
        """Write all that ``load`` needs: the map, what was measured, and the donors.

        A donor that came by its name (``ms.load``, a donor folder) is kept by that name and its fingerprint; a module
        of your own by the part of it that is used here: its weights and its operations. ``stitch.json`` names the files
        and their digests. A stitch that was there before stays whole until the new one is.

        Args:
            folder: where; it is made if it is not there.
            whole: keep the parts of all donors, so that neither their libraries nor their weights are needed again.

        Raises:
            NetworkError: ``whole`` is asked for, and a donor computes with what cannot be kept; without it such a donor
                has to be given to ``load``.
            StudyError: the disk is full, or the folder cannot be written to.

        Examples:
            >>> s.save("stitch")
            >>> ms.Stitched.load("stitch", bottom, top).penalty == s.penalty
            True
        """
        folder, (low, high) = as_path(folder, "stitch"), self._sides
        kept = {
            which: keep(side, part, whole=whole)
            for which, side, part in (("bottom", low, self.bottom), ("top", high, self.top))
        }
        parts: dict[str, tuple[Mapping[str, Tensor], dict[str, str]]] = {"stitcher": (self.stitcher.state_dict(), {})}
        if self._statistics:
            parts["statistics"] = (self._statistics, {})
        for which, one in kept.items():
            if one.tensors is not None:
                parts[which] = (one.tensors, dict(one.texts or {}))
        described = {
            **self._config,
            **{which: one.said for which, one in kept.items()},
            "record": None if self.record is None else self.record.plain(),
            "map": self._measured,
        }
        write(folder, parts, described)

    @kinds()
    def export(self, path: str | Path, *, controls: Sequence[Record] = ()) -> Path:
        """Write the model as one file that runs without modelstitch, and a card beside it.

        The card, ``path`` with ``.json`` behind it, says the seam, the networks with the hashes of their weights, the
        data, the penalty with its interval, the controls at this seam, and the hash of the file. The file takes what
        the donors' views give, a batch of any size; a second input is the top's, where that differs.

        Args:
            path: ``.onnx`` (package onnxscript) or ``.pt2`` (``torch.export``).
            controls: records of a comparison, ``results.records``; those of controls at this seam enter the card.

        Returns:
            The path.

        Raises:
            SourceError: the stitch was not measured.
            MeasureError: the map was changed since.
            StitchError: the ending is another one, the donors are not there, or torch cannot export an operation.
            MissingExtraError: the package for ``.onnx`` is missing.
            StudyError: the file cannot be written.

        Examples:
            >>> s.export("stitch.pt2").name
            'stitch.pt2'
        """
        from .export import export

        self._metric("penalty")
        low, high = self.networks("export")
        return export(copy.deepcopy(self), Path(path), (low, high), controls)

    @kinds()
    def push_to_hub(
        self,
        repo: str,
        *,
        controls: Sequence[Record] = (),
        whole: bool = True,
        private: bool = False,
        token: str | None = None,
    ) -> str:
        """Send the stitch to the Hugging Face hub, with a card made from its record.

        Args:
            repo: ORG/NAME; it is made if it is not there.
            controls: records of a comparison, ``results.records``; those of controls at this seam stand on the card.
            whole: as for ``save``; False sends the donors' names instead of their parts.
            private: of a new repository.
            token: instead of the one that you are logged in with.

        Returns:
            The address.

        Raises:
            SourceError: the stitch was not measured, or the hub refuses.
            MissingExtraError: the package huggingface_hub is missing (extra ``hf``).

        Examples:
            >>> s.push_to_hub("my-org/digits-at-block2", controls=r.records)
            'https://huggingface.co/my-org/digits-at-block2'
        """
        from .hub import push

        self._metric("penalty")
        return push(self, repo, controls, whole=whole, private=private, token=token)

    @classmethod
    @kinds()
    def from_hub(
        cls,
        repo: str,
        bottom: Network | None = None,
        top: Network | None = None,
        *,
        view: Any = None,
        revision: str | None = None,
        token: str | None = None,
    ) -> Stitched:
        """Load a stitch from the Hugging Face hub; no code from it is run.

        Args:
            repo: ORG/NAME, or a local folder.
            bottom: as for ``load``.
            top: as for ``load``.
            view: as for ``load``.
            revision: a branch, a tag or a commit.
            token: instead of the one that you are logged in with.

        Returns:
            The stitched model.

        Raises:
            SourceError: it cannot be had, or as ``load``.
            MissingExtraError: the package huggingface_hub is missing (extra ``hf``).

        Examples:
            >>> s.save("digits-at-block2")
            >>> ms.Stitched.from_hub("digits-at-block2").penalty == s.penalty  # "ORG/NAME" on the hub
            True
        """
        from .hub import pull

        return cls.load(pull(repo, revision, token), bottom, top, view=view)

    @classmethod
    @kinds("folder", "view", settled=True)
    def load(
        cls, folder: str | Path, bottom: Network | None = None, top: Network | None = None, *, view: Any = None
    ) -> Stitched:
        """Load a saved stitched model, its donors included.

        No code from the folder is run.

        Args:
            folder: of ``save``.
            bottom: the network below, if you have it already or the folder does not hold it.
            top: the network above, likewise.
            view: the view of raw samples, if it was a function of your own, which no file keeps; {"bottom": ...,
                "top": ...} to give one for each side.

        Returns:
            The stitched model, with what was measured of it.

        Raises:
            SourceError: if the folder holds no stitch, one of its files changed since it was written, a donor is
                another one than the map was fitted for, or cannot be had.

        Examples:
            >>> s.save("stitch")
            >>> ms.Stitched.load("stitch").donors  # its networks lie in the folder
            ('bottom', 'top')
        """
        folder, given = as_path(folder, "stitch"), {"bottom": bottom, "top": top}
        try:
            config = described_in(folder)
            files = config["files"]
            state, _ = part_in(folder, files, "stitcher")
            statistics = part_in(folder, files, "statistics")[0] if "statistics" in files else {}
            record = None if config["record"] is None else Record.of(config["record"])
            views = views_of(view, config, given)
            low, high = (
                found(config[side], side, given[side], views[side], partial(part_in, folder, files, side))
                for side in NAMES
            )
            stitcher = rebuild(config["family"], low.side, high.side, state)
        except (OSError, ValueError, LookupError, TypeError, RuntimeError, RecordError) as error:
            # RuntimeError: torch's word where a map and its layers do not fit each other
            raise SourceError(
                f"{folder} holds no stitch: expected stitch.json and stitcher.safetensors, found {first_line(error)}."
            ) from error
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        model._put_together(
            low, high, stitcher, config["family"], record, statistics, config.get("mask", MASK), config.get("map")
        )
        return model


def _of_side(which: str, statistics: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The statistics of one side, by their names there."""
    for key in statistics:
        if key.partition(".")[0] not in NAMES:
            raise SourceError(f"The statistics {key!r} name no side: expected 'bottom.' or 'top.' before the module.")
    return {key.partition(".")[2]: value for key, value in statistics.items() if key.partition(".")[0] == which}
