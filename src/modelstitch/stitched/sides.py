"""The two sides of a stitched model, and how they are kept: by the name that gave them, or whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import torch
from torch import Tensor, nn

from ..errors import NetworkError, SourceError, StitchError
from ..models.load import load_again
from ..models.token_view import TokenView
from ..models.typed import Typed
from ..network import CHANNEL_AXIS, FromInput, FromLayer, Layer, Network
from ..network.network import LoadRecipe
from ..network.programme import ForeignError, part_of, plain_part
from ..stitchers import Layout
from ..support.reading import json_of
from ..views import as_view, plain_view, view_of_plain

P = TypeVar("P", FromInput, FromLayer)
View = Callable[[Any], Any]
NAMES = ("bottom", "top")
_PROGRAMME = "programme"


@dataclass(frozen=True)
class DonorSide:
    """A donor of a stitched model, shared by the model's copies; where it is pickled, the network stays behind.

    Attributes:
        name, layer, fingerprint: of the network.
        layout: of the layer.
        network: the donor itself, where it is there.
        saw: how the donor sees raw samples, where it is not.
    """

    name: str
    layer: str
    fingerprint: str
    layout: Layout
    network: Network | None = None
    saw: View | None = None

    @classmethod
    def of(cls, network: Network, layer: str) -> DonorSide:
        """A network that is there."""
        return cls(network.name, layer, network.fingerprint(), layout_of(network.layer(layer)), network)

    @property
    def view(self) -> View:
        """How it sees a batch of raw samples."""
        if self.network is not None:
            return self.network.view
        return _as_it_is if self.saw is None else self.saw

    @property
    def channels(self) -> int:
        """Of the layer."""
        return int(self.layout.shape[CHANNEL_AXIS[self.layout.kind] - 1])

    @property
    def plain_view(self) -> Any:
        """The view as values of JSON: None where there is none, "lost" where it is code."""
        view = self.saw if self.network is None else self.network.view if self.network.has_view else None
        return None if view is None else _plain(view)

    @property
    def recipe(self) -> LoadRecipe | None:
        """How it came by its name."""
        return None if self.network is None else self.network.recipe

    def config(self) -> dict[str, str]:
        """What a record says of it."""
        return {"name": self.name, "fingerprint": self.fingerprint, "layer": self.layer}

    def __deepcopy__(self, memo: Any) -> DonorSide:
        return self

    def __reduce__(self) -> Any:
        return _unpickled, (self.name, self.layer, self.fingerprint, tuple(self.layout), self.plain_view)


def _unpickled(name: str, layer: str, fingerprint: str, layout: tuple[Any, ...], plain: Any) -> DonorSide:
    return DonorSide(name, layer, fingerprint, Layout(*layout), None, _view(plain, name))


def layout_of(layer: Layer) -> Layout:
    """How a layer's activation lies."""
    return Layout(layer.kind, layer.shape, layer.over, layer.grid)


# Views.


class Lost:
    """Stands for a view that was code of the user's own, which no file keeps."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, inputs: Any) -> NoReturn:
        raise SourceError(
            f"The view of {self.name!r} was a function of your own, which no file keeps: expected it again; give it "
            "with Stitched.load(folder, view=...)."
        )


def _as_it_is(inputs: Any) -> Any:
    return inputs


def _plain(view: Any) -> Any:
    if type(view) is Typed:
        inner = None if view.view is None else _plain(view.view)
        return "lost" if inner == "lost" else {"view": "typed", "of": inner, "dtype": view.dtype}
    if type(view) is TokenView:  # whose tokenizer compares texts, and does not read them
        return {"view": "tokens", "names": list(view.names), "task": view.task, "length": view.length}
    return plain_view(view) or "lost"


def _view(plain: Any, name: str) -> View | None:
    if plain is None:
        return None
    if plain == "lost":
        return Lost(name)
    if plain["view"] == "typed":
        if not isinstance(getattr(torch, plain["dtype"], None), torch.dtype):
            raise NetworkError(f"The type {plain['dtype']!r} of a view is unknown.")
        return Typed(_view(plain["of"], name), plain["dtype"])
    if plain["view"] == "tokens":
        length = plain["length"]
        names = tuple(map(str, plain["names"]))
        return TokenView(names, str(plain["task"]), length=None if length is None else int(length))
    return view_of_plain(plain)


# To a folder and back.


@dataclass(frozen=True)
class KeptSide:
    """What a folder holds of one side.

    What its description says, and, where the side is whole, tensors with a text beside them.
    """

    said: dict[str, Any]
    tensors: dict[str, Tensor] | None = None
    texts: Mapping[str, str] | None = None


def keep(side: DonorSide, part: FromInput | FromLayer, *, whole: bool) -> KeptSide:
    """One side of a stitched model, as it stands, for a folder.

    A donor that came by its name and has changed in nothing is kept by that name; any other is kept whole, if it can
    be.

    Args:
        whole: also where the name would do.

    Raises:
        NetworkError: ``whole`` is asked for, and the part computes with what is not kept.
    """
    said: dict[str, Any] = {**side.config(), "layout": list(side.layout), "view": side.plain_view}
    network, recipe = side.network, side.recipe
    if not whole and network is not None and recipe is not None and _is_the_donors(part, network, side.layer):
        if network.view is recipe.view:
            said["view"] = "of its own"
        return KeptSide({**said, "by": "name", "recipe": {**recipe.arguments, "name": side.name}})
    try:
        values, tensors = plain_part(part)
    except NetworkError as error:
        if whole:
            raise NetworkError(f"The network {side.name!r} cannot be kept whole: {error}") from error
        return KeptSide({**said, "by": "hand", "why": str(error)})
    text = json.dumps(values, separators=(",", ":"), allow_nan=False)
    return KeptSide({**said, "by": "part"}, tensors, {_PROGRAMME: text})


def _is_the_donors(part: nn.Module, network: Network, layer: str) -> bool:
    """Whether the numbers of a part are those that its network came with."""
    if not network.unchanged:
        return False
    mine = part.state_dict()
    fresh = (network.bottom(layer) if isinstance(part, FromInput) else network.top(layer)).state_dict()
    return all(
        mine[name].dtype == value.dtype
        and (mine[name].data_ptr() == value.data_ptr() or torch.equal(mine[name].to(value.device), value))
        for name, value in fresh.items()
        if name in mine
    )


@dataclass(frozen=True)
class FoundSide:
    """One side out of a folder: the side, and its part where no network gives it."""

    side: DonorSide
    part: FromInput | FromLayer | None

    def cut(self, kind: type[P]) -> P:
        """The part: that of the folder, else a fresh one of the network."""
        part, network = self.part, self.side.network
        if part is None and network is not None:
            part = network.bottom(self.side.layer) if kind is FromInput else network.top(self.side.layer)
        assert isinstance(part, kind)
        return part


def found(
    said: Mapping[str, Any],
    which: str,
    given: Network | None,
    view: Any,
    read: Callable[[], tuple[dict[str, Tensor], dict[str, str]]],
) -> FoundSide:
    """One side of a stitched model out of a folder.

    Args:
        said: what the folder's description says of it.
        which: "bottom" or "top".
        given: the network, where the caller has it.
        view: as the caller gives it; None for that of the folder.
        read: the tensors and texts of the part, for a side that is whole.

    Raises:
        SourceError: the network is another one, cannot be had, or is not in the folder.
        ForeignError: the part is none.
    """
    name, layer, fingerprint = str(said["name"]), str(said["layer"]), str(said["fingerprint"])
    if given is not None:
        _check(which, given, fingerprint, "")
        return FoundSide(DonorSide.of(given, layer), None)
    by = said["by"]
    if by == "name":
        network = _named(said, which, name)
        _check(which, network, fingerprint, f", had by its name {said['recipe'].get('spec')!r},")
        if view is not None or said["view"] != "of its own":
            network.view = view if view is not None else _made(said["view"], name)
        return FoundSide(DonorSide.of(network, layer), None)
    if by == "hand":
        raise SourceError(
            f"The {which} {name!r} is not in the folder ({said['why'].rstrip('.')}): give the network, with "
            f"Stitched.load(folder, {which}=network)."
        )
    if by != "part":
        raise ForeignError(f"a {which} kept by {by!r}")
    tensors, texts = read()
    part = part_of(json_of(texts[_PROGRAMME], strict=True), tensors)
    if isinstance(part, FromInput) != (which == "bottom"):
        raise ForeignError(f"another part than a {which}")
    kind, shape, over, grid = said["layout"]
    layout = Layout(str(kind), tuple(map(int, shape)), str(over), None if grid is None else tuple(grid))
    saw = as_view(view) if view is not None else _made(said["view"], name)
    return FoundSide(DonorSide(name, layer, fingerprint, layout, None, saw), part)


def views_of(given: Any, said: Mapping[str, Any], networks: Mapping[str, Network | None]) -> dict[str, Any]:
    """The view of each side that a caller gives to a folder, None for that of the folder.

    Args:
        given: one, for the sides whose view is lost, or {"bottom": ..., "top": ...}.

    Raises:
        SourceError: one is given, and none is lost; or a side is unknown or has its network given, which brings its
            view.
    """
    if given is None:
        return dict.fromkeys(NAMES)
    if isinstance(given, Mapping):
        wrong = [side for side in given if side not in NAMES or networks[side] is not None]
        if wrong:
            raise SourceError(
                f"view= names {wrong[0]!r}: expected 'bottom' or 'top', and a side whose network is not given; a "
                f"network brings its own."
            )
        return {side: given.get(side) for side in NAMES}
    lost = [side for side in NAMES if networks[side] is None and said[side]["view"] == "lost"]
    if not lost:
        raise SourceError(
            "The folder holds the views of both sides: expected no view=; write view={'bottom': ..., 'top': ...} to "
            "see samples otherwise."
        )
    return {side: given if side in lost else None for side in NAMES}


def _named(said: Mapping[str, Any], which: str, name: str) -> Network:
    try:
        return load_again(said["recipe"])
    except StitchError as error:
        raise SourceError(
            f"The {which} {name!r} cannot be had by its name ({str(error).rstrip('.')}): give the network, with "
            f"Stitched.load(folder, {which}=network), or save the stitch with whole=True."
        ) from error


def _check(which: str, network: Network, fingerprint: str, how: str) -> None:
    if (is_now := network.fingerprint()) != fingerprint:
        raise SourceError(
            f"The {which} {network.name!r}{how} is not the network this map was fitted for: expected fingerprint "
            f"{fingerprint}, found {is_now}."
        )


def _made(plain: Any, name: str) -> View | None:
    try:
        return _view(plain, name)
    except (KeyError, TypeError, ValueError) as error:
        raise ForeignError(f"no view ({type(error).__name__}: {error})") from error
