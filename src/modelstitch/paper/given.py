"""Networks of a user's own from a folder, each exactly as the folder says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import Data, Network, Normalise, load
from ..errors import SourceError, StitchError
from ..support.words import differing
from ..zoo.donors import load_donor
from ..zoo.nets import format_net, parse_net
from .own import FILE, Declared, Groups, declared, grouped

GivenNetworks = tuple[dict[str, Network], Groups, dict[str, float]]


def networks(folder: Path, data: Data) -> GivenNetworks:
    """The networks of a folder by name, how figures compare them, and what they err on where the folder says so.

    Raises:
        SourceError: if the folder does not say what its networks are, one of them is half trained, was made otherwise
            than the others or for other data, or does not answer with the classes of the data.
    """
    asked = declared(folder)
    found, groups, errors = _trained(folder, data) if asked is None else _named(folder, asked, data)
    seen: dict[str, str] = {}
    for name, network in found.items():
        if network.output_shape[-1] != data.n_classes:
            raise SourceError(
                f"{name} answers with {network.output_shape[-1]} classes, the data have {data.n_classes}: expected as "
                "many."
            )
        twin = seen.setdefault(network.fingerprint(), name)
        if twin != name:
            raise SourceError(f"{twin} and {name} are one network: expected weights of their own in {folder}.")
    return found, groups, errors


def _named(folder: Path, asked: Declared, data: Data) -> GivenNetworks:
    found = {}
    for name, ref in asked.donors.items():
        weights = None if ref.weights is None else folder / ref.weights
        classes = data.n_classes if ref.model.startswith("zoo:") else None
        try:
            view = None if ref.mean is None or ref.std is None else Normalise(tuple(ref.mean), tuple(ref.std))
            found[name] = load(
                ref.model, weights=weights, name=name, view=view, input_shape=data.sample_shape, classes=classes
            )
        except StitchError as error:
            raise SourceError(f"{folder / FILE}, donors.{name}: {error}") from error
        if found[name].weights.startswith("random"):
            raise SourceError(f"{name} has random weights: expected trained ones; give weights = FILE in {FILE}.")
    nets = {name: ref.model.partition(":")[2] or ref.model for name, ref in asked.donors.items()}
    errors = {name: ref.error for name, ref in asked.donors.items() if ref.error is not None}
    return found, grouped(nets, asked.across, folder), errors


def _trained(folder: Path, data: Data) -> GivenNetworks:
    """Networks that ``modelstitch train`` made; they may differ in their seeds alone."""
    half = sorted(folder.glob(".unfinished-*"))
    if half:
        raise SourceError(
            f"{half[0]} is a training that was not finished: expected trained networks; run the command that began it "
            "again, or delete it."
        )
    places = sorted(path.parent for path in folder.glob("*/card.json"))
    if not places:
        raise SourceError(
            f"{folder} says of no network what it is: expected {FILE}, with a model and weights for each under "
            "[donors], or folders that `modelstitch train` made."
        )
    cards = {place.name: load_donor(place).card for place in places}
    _alike(cards, data, folder)
    found = {name: load(f"file:{folder / name}", name=name, input_shape=data.sample_shape) for name in cards}
    return found, grouped({name: _net(str(card["net"])) for name, card in cards.items()}, (), folder), {}


def _net(written: str) -> str:
    """The architecture without what follows from the data."""
    name, options = parse_net(written)
    return format_net(name, {key: value for key, value in options.items() if key not in ("classes", "in_channels")})


def _alike(cards: Mapping[str, dict[str, Any]], data: Data, folder: Path) -> None:
    """Refuse networks of one architecture that were made in two ways, or for other data."""
    first: dict[str, tuple[str, dict[str, Any]]] = {}
    for name, card in cards.items():
        made = {key: value for key, value in card["identity"].items() if key != "seed"}
        if made.get("data") != data.fingerprint:
            raise SourceError(
                f"{folder / name} was trained on other data than these: expected the data of its card "
                f"({json.dumps(str(made.get('data'))[:8])}), found {data.name} ({data.fingerprint[:8]})."
            )
        twin, before = first.setdefault(str(card["net"]), (name, made))
        if before != made:
            field, (old, new) = next(iter(differing(before, made).items()))
            raise SourceError(
                f"{folder / name} was made by another recipe than {twin}: expected {field} {old}, found {new}; keep "
                "networks of one recipe in a folder."
            )
