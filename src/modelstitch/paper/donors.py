"""Networks made for figures: trained or read from the cache, changed where a figure asks for it, traced once."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from .. import Data, Network, load
from ..errors import DataError, SourceError
from ..report import CONTROLS
from ..support import hashing, tensors
from ..support.files import make_folder, set_aside
from ..support.progress import Tell
from ..zoo.donors import Donor, DonorSpec, donor, load_donor, place_of
from ..zoo.selfsup import Method, SelfRecipe
from ..zoo.train import Recipe
from .changes import append_coordinates, shuffle_positions
from .figure import Model
from .scales import Scale

ANEW, FRESH, STEM = "re-initialised", "re-initialised, statistics fresh", "stem re-initialised"
DRAWN = (ANEW, FRESH, STEM)  # once, and kept: two draws at once could differ
INSERTED = ("coordinates appended", "positions shuffled")
CHECKPOINTS = (0.25, 0.5)  # of a run of twice the usual length: where figure 3B takes its earlier networks


@dataclass
class Workshop:
    """Makes the networks of figures for one scale on one data set.

    Attributes:
        scale: which networks and how long.
        data: what they are trained on.
        cache: a folder that keeps them.
        device: where they are trained.
        checkpoints: a folder with the user's own weights, for models with ``file``.
        given: networks of the user's own by name, for models with ``file``, too.
        errors: what these err on, where their folder says so.
        tell: hears of progress.
    """

    scale: Scale
    data: Data
    cache: Path
    device: str = "cpu"
    checkpoints: Path | None = None
    tell: Tell | None = None
    given: Mapping[str, Network] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)
    _donors: dict[Model, Donor] = field(default_factory=dict)
    _networks: dict[Model, Network] = field(default_factory=dict)
    _traced: dict[Any, Network] = field(default_factory=dict)
    _subsets: dict[tuple[float, int], Data] = field(default_factory=dict)

    def own(self, model: Model) -> Data:
        """The data a model is trained on: the first samples of the fit split (as in the paper), or a later part.

        Raises:
            DataError: if that share is empty, or lacks a class.
        """
        share = self.scale.share(model.samples)
        key = (share, model.part)
        if share == 1.0:
            return self.data
        if key not in self._subsets:
            n = int(share * self.data.size("fit") + 1e-9)  # down: halves of an odd number must not meet
            if n < 1:
                raise DataError(f"{100 * share:g} % of {self.data.size('fit')} fit samples is none: use more data.")
            part = self.data.subset(n, part=model.part)
            seen = set(part.labels("fit").tolist())
            gone = [c for c in range(self.data.n_classes) if c not in seen]
            if gone:
                raise DataError(
                    f"Share {model.part} of {n} fit samples of {self.data.name} holds no sample of class {gone[0]}: "
                    f"expected all {self.data.n_classes} classes; use more data, or data in random order."
                )
            self._subsets[key] = part
        return self._subsets[key]

    def network(self, model: Model) -> Network:
        """The model as a traced network."""
        if model not in self._networks:
            self._networks[model] = self._trace(model)
        return self._networks[model]

    def donor(self, model: Model) -> Donor:
        """The trained network behind a model, before any change to it."""
        plain = dataclasses.replace(model, change="")
        if plain not in self._donors:
            self._donors[plain] = self._make(plain)
        return self._donors[plain]

    def recipe(self, model: Model) -> Recipe | SelfRecipe:
        """How a model is trained at this scale."""
        labelled = model.method == "labels"
        values = dict(self.scale.training if labelled else self.scale.unlabelled)
        for what in (model.net, model.method, str(model.samples)):
            values |= self.scale.special.get(what, {})
        usual = values["steps"]
        values["steps"] = round(model.time * usual)
        if model.time > 1:
            values["checkpoints"] = tuple(round(share * values["steps"]) for share in CHECKPOINTS)
        base = Recipe(**values)
        return base if labelled else SelfRecipe(cast(Method, model.method), base, **self.scale.selfsup)

    def _spec(self, model: Model) -> DonorSpec:
        return DonorSpec(
            self.scale.net(model.net), self.recipe(model), seed=model.seed, labels=model.labels, name=model.name
        )

    def kept(self, model: Model) -> bool:
        """Whether the trained network behind a model lies in the cache."""
        return place_of(self._spec(model), self.own(model), self.cache).is_dir()

    def ready(self, model: Model) -> bool:
        """Whether nothing need be trained for a model."""
        return bool(model.file) or self.kept(dataclasses.replace(model, change="", at=None))

    def _make(self, model: Model) -> Donor:
        spec = self._spec(model)
        recipe = spec.recipe
        steps = recipe.steps if isinstance(recipe, Recipe) else recipe.base.steps

        def heard(done: int, loss: float) -> None:
            if self.tell:
                self.tell(f"train {model.name}", done, steps)

        try:
            made = donor(spec, self.own(model), self.cache, device=self.device, progress=heard)
        except torch.OutOfMemoryError as error:
            raise SourceError(
                f"The GPU ran out of memory while {model.name} was trained: expected room for batches of "
                f"{self.scale.training['batch_size']}; free the GPU, or run --scale small."
            ) from error
        if model.at is None:
            return made
        assert made.folder is not None
        early = load_donor(made.folder, step=round(model.at / model.time * steps))
        return dataclasses.replace(early, name=model.name)

    def _trace(self, model: Model) -> Network:
        if model.file and model.change:
            plain = self.network(_plain(model))
            module = self._changed(model, plain.module)
            return plain.replaced(module, model.name, weights=f"random, seed {model.seed}")
        if model.file:
            return self.given.get(model.file) or self._loaded(model, tuple(self.example.shape[1:]))
        made = self.donor(model).module
        module = self._changed(model, made) if model.change else made
        net = (str(self.donor(model).card["net"]), model.change in INSERTED and model.change)
        if net not in self._traced:
            self._traced[net] = Network(module, self.example, model.name, weights=self._weights(model, module))
            return self._traced[net]
        return self._traced[net].replaced(module, model.name, weights=self._weights(model, module))

    def _weights(self, model: Model, module: nn.Module) -> str:
        """Where the weights come from, in words."""
        made = self.donor(model)
        if model.change in (ANEW, FRESH):
            return f"random, seed {model.seed}"
        return made.changed(module, model.change).weights if model.change else made.weights

    @property
    def example(self) -> Tensor:
        """Two samples, to trace networks with."""
        example: Tensor = next(iter(self.data.batches("val", 2))).inputs.cpu()
        return example

    def _loaded(self, model: Model, shape: tuple[int, ...]) -> Network:
        spec = self.scale.net(model.net)
        if self.checkpoints is None:
            raise SourceError(
                f"{model.file} is a network of your own: expected --checkpoints DIR with {model.file}.safetensors (or "
                f".pth), weights of {spec} with their linear head."
            )
        found = [
            p for p in sorted(self.checkpoints.glob(f"{model.file}.*")) if p.suffix in (".safetensors", ".pt", ".pth")
        ]
        if not found:
            raise SourceError(
                f"There are no weights of {model.file} in {self.checkpoints}: expected {model.file}.safetensors (or "
                f".pth) for {spec}, with the linear head that was trained on its features."
            )
        return load(spec, weights=found[0], name=model.name, input_shape=shape, classes=self.data.n_classes)

    def _changed(self, model: Model, module: nn.Module) -> nn.Module:
        if model.change == "coordinates appended":
            return append_coordinates(module, self.scale.middle, example=self.example)
        if model.change == "positions shuffled":
            return shuffle_positions(module, self.scale.middle, example=self.example)
        if model.change == STEM:
            return self._kept(model, module, lambda: _first_and_last(module, model.seed))
        if model.change in (ANEW, FRESH):
            return self._kept(model, module, lambda: self._random(model))
        raise SourceError(f"The change {model.change!r} of {model.name} is unknown.")

    def _random(self, model: Model) -> nn.Module:
        """As the random control draws it; its BatchNorm statistics as at the start of a training, where asked."""
        draw = CONTROLS["random"].draw
        assert draw is not None
        module = draw(self.network(_plain(model)), self.data, model.seed).module
        for norm in (part for part in module.modules() if isinstance(part, BatchNorm) and model.change == FRESH):
            norm.reset_running_stats()
        return module

    def _kept(self, model: Model, module: nn.Module, make: Any) -> nn.Module:
        """A drawn network, kept with the donors: sums in another order must not make it another network."""
        of = self.network(_plain(model)).fingerprint() if model.file else self.donor(model).card["identity"]
        identity = json.dumps([model.name, of], sort_keys=True)
        path = self.cache / f"drawn-{hashing.of(identity, digits=12)}.safetensors"
        if path.exists():
            try:
                kept, texts = tensors.load(path)
                if texts.get("of") != identity:
                    raise hashing.DamagedError("it is another network's")
                twin = copy.deepcopy(module)
                twin.load_state_dict(kept)
                return twin.eval()
            except hashing.DamagedError as error:
                set_aside(path, f"{path} holds no drawn network that is whole ({error})")
        made: nn.Module = make()
        weights: dict[str, Tensor] = {k: v.clone() for k, v in made.state_dict().items()}
        make_folder(self.cache)
        tensors.save(path, weights, {"of": identity})
        return made


def _plain(model: Model) -> Model:
    """The network before any change; a given one has no seed of ours."""
    return dataclasses.replace(model, change="", seed=0 if model.file else model.seed)


def _first_and_last(module: nn.Module, seed: int) -> nn.Module:
    """What the paper's released code called random: only the first and the last child of the top are drawn anew."""
    twin = copy.deepcopy(module).eval()
    children = list(twin.children())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for part in (*children[0].modules(), *children[-1].modules()):
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
    return twin
