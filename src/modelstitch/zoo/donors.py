"""Donors: trained networks with a card that says how they were made, kept in a cache named by its content."""

from __future__ import annotations

import dataclasses
import json
import platform
import re
import time
import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..data.data import Data
from ..errors import FitError, SourceError, first_line
from ..network.trace.digest import fingerprint
from ..support import hashing, tensors
from ..support.ahead import first_steps
from ..support.files import clean, set_aside, write_folder
from ..support.reading import read_json
from ..support.resume import Unfinished
from ..support.words import differing, first_of
from .labels import with_labels
from .nets import build, format_net, parse_net
from .selfsup import SelfRecipe, train_without_labels
from .train import Progress, Recipe, error_rate, need_classes, need_labels, train

_CARD, _WEIGHTS = "card.json", "weights.safetensors"
_HASHES = "weights"  # on the card: the digest of every weights file
_BEFORE_HASHES = {
    "name",
    "net",
    "identity",
    "val_error",
    "test_error",
    "loss",
    "checkpoints",
    "parameters",
    "data",
    "date",
    "seconds",
    "device",
    "threads",
    "versions",
}


class DamagedDonorError(SourceError):
    """A donor's card or weights are not what was written."""


@dataclass(frozen=True)
class DonorSpec:
    """What a donor is: plain data.

    Attributes:
        net: a net of the zoo, ``small-resnet?width=32``; classes and channels follow the data by default.
        recipe: with labels (Recipe) or without (SelfRecipe).
        seed: of the initial parameters and of the order of the samples (two streams derived from it).
        labels: a label variant, see ``with_labels``.
        name: how reports call it; no part of the identity.
    """

    net: str
    recipe: Recipe | SelfRecipe
    seed: int = 0
    labels: str = "true"
    name: str = ""

    def identity(self, data: Data) -> dict[str, Any]:
        """What the cache hashes: everything that decides the weights, as JSON types."""
        name, options = parse_net(self.net)
        recipe = {"kind": type(self.recipe).__name__, **dataclasses.asdict(self.recipe)}
        plain = recipe.get("base", recipe)
        if plain["optimiser"] == "sgd":  # as recipes were before there was another
            del plain["optimiser"]
        if isinstance(self.recipe, SelfRecipe) and self.recipe.views is None:  # as recipes were before they could say
            del recipe["views"]
        elif isinstance(self.recipe, SelfRecipe):  # in words: other views of the same name make another network
            recipe["views"] = f"{self.recipe.views}: {self.recipe.viewed(0).recipe}"
        identity = {
            "net": format_net(name, options),
            "recipe": recipe,
            "seed": self.seed,
            "labels": self.labels,
            "data": data.fingerprint,
            "augment": data.augment.recipe if data.augment is not None else "none",
        }
        need_labels(data)
        if isinstance(self.recipe, SelfRecipe) or self.labels != "true":
            need_classes(data)
        if not data.task.by_class:
            found = {**identity, "classes": data.n_classes, "task": data.task.stated()}
            return dict(json.loads(json.dumps(found)))
        labels = data.labels("fit")
        if data.n_classes != int(labels.max()) + 1:  # else the data say it themselves
            identity["classes"] = data.n_classes
        return dict(json.loads(json.dumps(identity)))


@dataclass(frozen=True)
class Donor:
    """A trained network in eval mode, its card (JSON types), and its folder where it is kept in one."""

    name: str
    module: nn.Module
    card: dict[str, Any]
    folder: Path | None = None

    @property
    def origin(self) -> str:
        """Where the weights come from, in words."""
        seed = self.card.get("identity", {}).get("seed")
        step = f", step {self.card['step']}" if "step" in self.card else ""
        change = f", {self.card['change']}" if "change" in self.card else ""
        return f"trained here, {self.card['net']}{'' if seed is None else f', seed {seed}'}{step}{change}"

    def changed(self, module: nn.Module, how: str) -> Donor:
        """The same donor after something was done to it, in no folder.

        Args:
            module: what came of it.
            how: what was done, in words.
        """
        return dataclasses.replace(self, module=module, card={**self.card, "change": how}, folder=None)

    @property
    def weights(self) -> str:
        """Where the weights come from, with their hash."""
        return f"{self.origin}, sha256 {fingerprint(self.module)}"


def donor(
    spec: DonorSpec,
    data: Data,
    cache: Path | str | None = None,
    *,
    named: bool = False,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Donor:
    """The donor that ``spec`` describes, read from the cache if it is there, else trained (and put there).

    Args:
        spec: what it is.
        data: to train on.
        cache: a folder that keeps donors.
        named: keep it under its name, not under the hash of its description.
        device: to train on.
        progress: as for ``train``.

    With a cache a training that was stopped goes on at its last minute, and ends with the same weights. What the cache
    holds under this donor's name but is damaged, or was made otherwise, is set aside with a warning, and trained anew.

    Raises:
        SourceError: if the cache cannot be written, or its name is another donor's.
        StudyError: if the cache cannot be written to meanwhile.
        FitError: if training diverges.
    """
    identity = spec.identity(data)
    digest = _digest(identity)
    folder = unfinished = None
    if cache is not None:
        folder = Path(cache) / _folder_name(spec.name) if named else place_of(spec, data, cache)
        whose = f"{folder.name}-{digest[:12]}" if named else folder.name
        unfinished = Unfinished(folder.with_name(f".unfinished-{whose}"), device)
        wanted = {**identity, "net": _whole_net(spec, with_labels(data, spec.labels, seed=spec.seed))}
        if named:
            _check_name(folder, wanted)
        found = _cached(folder, wanted)
        if found is not None:
            unfinished.clear()  # a run may have been stopped between the two
            return dataclasses.replace(found, name=spec.name or found.name)
        try:  # before the work, not after it
            folder.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(folder, error) from error
        clean(folder.parent)
    try:
        trained, checkpoints = _make(spec, data, identity, digest, device, progress, unfinished)
    except FitError:
        if unfinished is not None:
            unfinished.clear()
        raise
    if folder is not None and unfinished is not None:
        trained = _save(trained, checkpoints, folder)
        unfinished.clear()
    return dataclasses.replace(trained, folder=folder)


def a_step(spec: DonorSpec, data: Data, device: torch.device | str = "cpu") -> tuple[float, int]:
    """Seconds that one step of a donor's training takes here, and bytes that it holds, from a few steps of it.

    Nothing is kept.
    """
    found = first_steps(lambda stepped: donor(spec, data, device=device, progress=lambda *_: stepped()))
    return found.later, found.memory


def _folder_name(name: str) -> str:
    """The name of a donor where it can be a folder's.

    Raises:
        SourceError: it cannot.
    """
    if not re.fullmatch(r"[\w][\w.+-]*", name):
        raise SourceError(
            f"The name {name!r} cannot be a folder's: expected letters, digits, '.', '_', '+' or '-', such as 'seed0'."
        )
    return name


def _check_name(folder: Path, wanted: dict[str, Any]) -> None:
    """Refuse a folder that is somebody else's: a name is given to one donor.

    Raises:
        SourceError: naming what is otherwise, or that no donor is there.
    """
    if not folder.exists():
        return
    if not (folder / _CARD).is_file():
        raise SourceError(f"{folder} is there and holds no donor: expected none, or this one; choose another name.")
    with suppress(DamagedDonorError):  # it is set aside, and trained anew
        if why := _otherwise(_read_card(folder), wanted, folder):
            raise SourceError(
                f"{why.replace('the cache', str(folder.parent), 1)}: choose another name, or another folder."
            )


def place_of(spec: DonorSpec, data: Data, cache: Path | str) -> Path:
    """The folder that keeps the donor of this description in a cache, whether it is there or not."""
    return Path(cache) / f"{parse_net(spec.net)[0]}-{spec.seed}-{_digest(spec.identity(data))[:12]}"


def _digest(identity: dict[str, Any]) -> str:
    return hashing.of(json.dumps(identity, sort_keys=True))


def load_donor(folder: Path | str, *, step: int | None = None) -> Donor:
    """A donor from its folder; ``step`` picks one of its checkpoints.

    Raises:
        SourceError: if the folder holds no donor, no such checkpoint, or weights that do not fit its net.
    """
    folder = Path(folder)
    weights = folder / (_WEIGHTS if step is None else f"step-{step}.safetensors")
    card = _read_card(folder)
    try:
        module = build(str(card["net"]))
        name = str(card["name"])
    except (KeyError, TypeError) as error:
        raise SourceError(f"{folder} holds no donor ({error}): expected {_CARD} and {_WEIGHTS}.") from error
    hashes = card.get(_HASHES)
    if step is not None and not (weights.exists() if hashes is None else weights.name in hashes):
        raise SourceError(f"The donor {folder.name} has no checkpoint of step {step}: found {card.get('checkpoints')}.")
    _check_weights(folder, card, [weights.name])
    try:
        with warnings.catch_warnings():  # a skeleton on the meta device stays one, with names and shapes checked
            warnings.filterwarnings("ignore", "for .* copying from a non-meta parameter", UserWarning)
            module.load_state_dict(load_file(weights))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise DamagedDonorError(
            f"The weights of {folder} cannot be used ({first_line(error)}): delete the folder."
        ) from error
    if step is not None:  # the errors on the card are those of the last step
        card = {**card, "step": step, "loss": None, "val_error": None, "test_error": None}
        name = f"{name}-step{step}"
    return Donor(name, module.eval(), card, folder)


def _make(
    spec: DonorSpec,
    data: Data,
    identity: dict[str, Any],
    digest: str,
    device: torch.device | str,
    progress: Progress | None,
    unfinished: Unfinished | None,
) -> tuple[Donor, dict[int, dict[str, Tensor]]]:
    labelled = with_labels(data, spec.labels, seed=spec.seed).on(device)
    net = _whole_net(spec, labelled)
    module = build(net, seed=2 * spec.seed)
    start, order = time.perf_counter(), 2 * spec.seed + 1
    how: dict[str, Any] = {"seed": order, "device": device, "progress": progress, "unfinished": unfinished}
    if isinstance(spec.recipe, SelfRecipe):
        trained = train_without_labels(module, labelled, spec.recipe, **how)
    else:
        trained = train(module, labelled, spec.recipe, **how)
    seconds = time.perf_counter() - start + (unfinished.before if unfinished else 0.0)
    card = {
        "name": spec.name or f"{parse_net(net)[0]}-{digest[:6]}",
        "net": net,
        "identity": identity,
        "val_error": error_rate(module, labelled, "val", device=device),
        "test_error": error_rate(module, labelled, "test", device=device),
        "loss": trained.loss,
        "checkpoints": sorted(trained.checkpoints),
        "parameters": sum(p.numel() for p in module.parameters()),
        "data": labelled.describe(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 2),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
    }
    module.cpu().to(memory_format=torch.contiguous_format)
    return Donor(str(card["name"]), module, card), trained.checkpoints


def _whole_net(spec: DonorSpec, data: Data) -> str:
    """The net with its classes and channels, those of the data unless the spec says otherwise."""
    name, options = parse_net(spec.net)
    channels = next(data.batches("fit", 1)).inputs.shape[1]
    return format_net(name, {"classes": data.n_classes, "in_channels": channels, **options})


def _save(made: Donor, checkpoints: dict[int, dict[str, Tensor]], folder: Path) -> Donor:
    """Write a donor whole or not at all; of two runs that finish the same one the first counts."""
    card = made.card

    def fill(scratch: Path) -> None:
        nonlocal card
        tensors.write(scratch / _WEIGHTS, _plain(made.module.state_dict()))
        for step, weights in checkpoints.items():
            tensors.write(scratch / f"step-{step}.safetensors", _plain(weights))
        card = {**made.card, _HASHES: {path.name: hashing.of_file(path) for path in sorted(scratch.iterdir())}}
        (scratch / _CARD).write_text(json.dumps(hashing.sealed(card), indent=2), encoding="utf-8")

    write_folder(folder, fill)
    return dataclasses.replace(made, card=card)


def _cached(folder: Path, wanted: dict[str, Any]) -> Donor | None:
    """The donor of a folder if it is the wanted one and whole; anything else in its place is set aside."""
    if not folder.exists():
        return None
    try:
        found = load_donor(folder)
        _check_weights(folder, found.card, found.card.get(_HASHES, ()))  # those of checkpoints, too
    except DamagedDonorError as error:
        set_aside(folder, str(error).partition(": delete")[0])
        return None
    if why := _otherwise(found.card, wanted, folder):
        set_aside(folder, why)
        return None
    return found


def _read_card(folder: Path) -> dict[str, Any]:
    """The card of a donor, without its seal; one of before there were seals holds what those held, and nothing else."""
    try:
        values = read_json(folder / _CARD)
        if isinstance(values, dict) and values.keys() <= _BEFORE_HASHES:
            return values
        card = hashing.unsealed(values)
        hashes = card.get(_HASHES)
        if not isinstance(hashes, dict) or not all(re.fullmatch(r"(weights|step-\d+)\.safetensors", n) for n in hashes):
            raise hashing.DamagedError(f"it does not name its {_HASHES}")
        return card
    except FileNotFoundError as error:
        raise SourceError(f"{folder} holds no donor ({first_line(error)}): expected {_CARD} and {_WEIGHTS}.") from error
    except (OSError, ValueError) as error:
        raise DamagedDonorError(f"The card of {folder} is damaged ({error}): delete the folder.") from error


def _check_weights(folder: Path, card: dict[str, Any], names: Iterable[str]) -> None:
    """Refuse weights that are not those of the card."""
    for name in names if _HASHES in card else ():
        wanted = str(card[_HASHES].get(name))
        try:
            found = hashing.of_file(folder / name)
        except OSError as error:
            raise DamagedDonorError(
                f"The weights {folder / name} cannot be read ({error.strerror}): delete the folder."
            ) from error
        if found != wanted:
            raise DamagedDonorError(
                f"The weights {folder / name} changed since they were written (expected the digest {wanted[:16]}, "
                f"found {found[:16]}): delete the folder, and train the donor anew."
            )


def _unwritable(folder: Path, error: OSError) -> SourceError:
    return SourceError(f"The donor cannot be written to {folder} ({first_line(error)}): choose another folder.")


def _plain(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}


def _otherwise(card: dict[str, Any], wanted: dict[str, Any], folder: Path) -> str:
    """Where a donor differs from what is wanted, in identity or classes; "" where it does not."""
    identity = card.get("identity")
    found = {**(identity if isinstance(identity, dict) else {}), "net": card.get("net")}
    if found == wanted:
        return ""
    fields = [f"{key} (expected {old}, found {new})" for key, (old, new) in differing(wanted, found).items()]
    return f"The donor {folder.name} in the cache was made otherwise: {first_of(fields)}"
