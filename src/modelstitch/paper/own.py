"""Figures on a user's own networks: what a folder declares, and what is asked of its networks. Torch-free.

A folder holds ``donors.toml``, or networks that ``modelstitch train`` made, whose cards say all. Nothing is guessed: an
architecture is a name that ``modelstitch.load`` knows, and weights are a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import SourceError, StudyError
from ..support.mistakes import sentence
from ..support.reading import read_toml
from .cka import cka_falls
from .claims import all_of, below, near, rising
from .connectivity import joined
from .fig2a import RANGE
from .fig4 import kernels
from .figure import Claim, Figure, Line, Model, Probe
from .matrix import each_to_each

FILE = "donors.toml"
FIGURES = ("2a", "4", "5", "connectivity", "matrix")


class Ref(BaseModel):
    """One network of ``donors.toml``.

    Attributes:
        model: a name as for ``modelstitch.load``; networks of one model are of one architecture.
        weights: a file, relative to the folder; left out for published weights.
        mean, std: normalise images for it, in place of its own preprocessing.
        error: what it errs on, on the whole test split, in percent: another error is refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    model: str
    weights: str | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    error: float | None = None


class Declared(BaseModel):
    """All of ``donors.toml``.

    Attributes:
        donors: name -> network.
        across: pairs of networks of two architectures that are stitched, too, both ways.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    donors: dict[str, Ref]
    across: list[list[str]] = []


@dataclass(frozen=True)
class Groups:
    """Networks by name, as figures compare them; plain data that every record carries.

    Attributes:
        alike: architecture -> its networks, which differ in their seeds: all are paired.
        across: pairs of two architectures.
    """

    alike: dict[str, list[str]]
    across: list[list[str]]

    @property
    def plain(self) -> dict[str, Any]:
        """As records carry it."""
        return asdict(self)


def declared(folder: Path) -> Declared | None:
    """What the folder's ``donors.toml`` says; None where there is no such file.

    Raises:
        SourceError: if it cannot be read, or names a network that is not there.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        found = Declared.model_validate(read_toml(path))
    except ValidationError as error:
        raise SourceError(sentence(error, _known, where=str(path))) from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read ({error}): expected a TOML file with a table [donors].") from error
    for name, ref in found.donors.items():
        if (ref.mean is None) != (ref.std is None):
            raise SourceError(f"{path}: donors.{name} has one of mean and std: expected both, or none.")
        if ref.weights is not None and not (folder / ref.weights).is_file():
            raise SourceError(f"{path}: donors.{name}.weights: expected a file, found none at {folder / ref.weights}.")
    for pair in found.across:
        gone = [name for name in pair if name not in found.donors]
        if len(pair) != 2 or gone or pair[0] == pair[1]:
            raise SourceError(f"{path}: across: expected pairs of two networks of [donors], found {pair}.")
    return found


def _known(place: tuple[int | str, ...]) -> list[str]:
    return list(Ref.model_fields if len(place) > 1 else Declared.model_fields)


def grouped(architectures: Mapping[str, str], across: Sequence[Sequence[str]], folder: Path) -> Groups:
    """The networks of a folder by their architecture.

    Args:
        architectures: network -> its architecture, in words.

    Raises:
        SourceError: if no two networks can be compared.
    """
    alike: dict[str, list[str]] = {}
    for name, net in architectures.items():
        alike.setdefault(net, []).append(name)
    if not across and all(len(names) < 2 for names in alike.values()):
        raise SourceError(
            f"{folder} holds {', '.join(f'{len(names)} of {net}' for net, names in alike.items()) or 'no network'}: "
            f"expected two networks of one architecture at least; add one, or name pairs of two architectures under "
            f"'across' in {FILE}."
        )
    return Groups({net: names for net, names in alike.items() if len(names) > 1}, [list(pair) for pair in across])


def figure(name: str, groups: Groups) -> Figure:
    """The figure of that name on these networks.

    Raises:
        StudyError: if it needs networks that are trained for it, or of one architecture.
    """
    if name not in FIGURES:
        raise StudyError(
            f"Figure {name} needs networks that are trained for it: expected one of {', '.join(FIGURES)} with "
            "--donors; leave --donors out."
        )
    if name != "2a" and not groups.alike:
        raise StudyError(
            f"Figure {name} needs two networks of one architecture, found pairs of two architectures alone: ask for 2a."
        )
    made = {"2a": _seeds, "4": _kernels, "5": _random, "connectivity": _connected, "matrix": _matrix}[name](groups)
    return made


def _model(net: str, name: str, change: str = "", seed: int = 0) -> Model:
    return Model(net, seed=seed, change=change, file=name)


def _all_pairs(net: str, names: Sequence[str]) -> tuple[tuple[Model, Model], ...]:
    """All ordered pairs, ring by ring: wherever a run is stopped, every network stands in about as many."""
    n = len(names)
    return tuple((_model(net, names[i]), _model(net, names[(i + by) % n])) for by in range(1, n) for i in range(n))


def _ring(net: str, names: Sequence[str]) -> tuple[tuple[Model, Model], ...]:
    """Each network under the next one."""
    turned = [*names[1:], names[0]] if len(names) > 2 else names[1:]
    return tuple((_model(net, a), _model(net, b)) for a, b in zip(names, turned))


def _line(label: str, pairs: tuple[tuple[Model, Model], ...], **more: Any) -> Line:
    return Line(label, *pairs[0], pairs=pairs, **more)


def _probe(kind: str, label: str, each: tuple[tuple[Model, ...], ...]) -> Probe:
    return Probe(kind, label, each[0], each=each)


def _seed_line(net: str, names: Sequence[str]) -> Line:
    return _line(f"another seed of {net}", _all_pairs(net, names))


def _random_label(net: str) -> str:
    return f"random bottom, {net}"


def _random_lines(net: str, names: Sequence[str]) -> list[Line]:
    """A random bottom under every network, each drawn by itself; its BatchNorm statistics both ways."""
    return [
        _line(
            _random_label(net) + words,
            tuple((_model(net, name, change, seed), _model(net, name)) for seed, name in enumerate(names)),
            protocols=("honest",),
        )
        for change, words in (("re-initialised", ""), ("re-initialised, statistics fresh", ", statistics fresh"))
    ]


_SETTING = (
    "CIFAR-10; six architectures, one pair of seeds each: penalties between -0.7 and +4.8 points; a random bottom "
    "rises to 33.5."
)
_NOTE = (
    "The networks are given, nothing is trained. All ordered pairs of one architecture are stitched; intervals draw "
    "networks, not pairs, since pairs share them. A random bottom is drawn by itself for every top; its BatchNorm "
    "statistics are estimated on fit data, or (statistics fresh) stay 0 and 1 as at the start of a training."
)


def _seeds(groups: Groups) -> Figure:
    seeds = [_seed_line(net, names) for net, names in groups.alike.items()]
    nets = {name: net for net, names in groups.alike.items() for name in names}
    alone = {name: [name] for pair in groups.across for name in pair if name not in nets}
    random = [_random_lines(net, names) for net, names in (groups.alike | alone).items()]
    across = [
        _line(f"{a} under {b}", ((_model(nets.get(a, a), a), _model(nets.get(b, b), b)),))
        for pair in groups.across
        for a, b in (pair, pair[::-1])
    ]
    claims = []
    if seeds:
        claims += [
            Claim(
                "Networks of one architecture trained from different seeds are stitching connected: the penalty stays "
                "near 0.",
                "a layer whose penalty, its interval included, is above 5 points",
                near(*(line.label for line in seeds), level=5.0),
            ),
            Claim(
                "The stitcher alone is not learning: with a random bottom the penalty grows with depth.",
                "a penalty of the random bottom that does not rise",
                rising(random[0][0].label),
                ("honest",),
            ),
            Claim(
                "What the seeds have in common is learned: a random bottom costs more.",
                "a middle layer at which a random bottom costs as little",
                below(seeds[0].label, random[0][0].label),
                ("honest",),
            ),
        ]
    claims += _of_two_architectures(across)
    lines = (*seeds, *across, *(line for drawn in random for line in drawn))
    return Figure("2a", "Different seeds", _SETTING, tuple(claims), lines, notes=(_NOTE,), paper_range=RANGE)


def _of_two_architectures(across: Sequence[Line]) -> list[Claim]:
    if not across:
        return []
    return [
        Claim(
            "Networks of two architectures are stitching connected, too (not claimed by the paper).",
            "a layer whose penalty, its interval included, is above 5 points",
            near(*(line.label for line in across), level=5.0),
        ),
        Claim(
            "What two architectures have in common is learned: a random bottom costs more.",
            "a middle layer at which a random bottom costs as little",
            all_of(*(below(line.label, _random_label(line.top.net)) for line in across)),
            ("honest",),
        ),
    ]


def _random(groups: Groups) -> Figure:
    lines, probes, claims = [], [], []
    for net, names in groups.alike.items():
        drawn = _random_lines(net, names)
        like = _probe("similarity", f"CKA with a random network, {net}", drawn[0].pairs)
        seeds = _probe("similarity", f"CKA with another seed, {net}", _ring(net, names))
        lines += [_seed_line(net, names), *drawn]
        probes += [like, seeds]
        claims += [
            Claim(
                f"Stitching tells a random bottom from a trained one: its penalty grows with depth ({net}).",
                "a penalty of the random bottom that does not rise",
                rising(drawn[0].label),
                ("honest",),
            ),
            Claim(
                f"CKA agrees: it is high in the first layers and falls with depth, below that of another seed ({net}).",
                "a CKA with a random network that does not fall below that of another seed",
                cka_falls(like.label, seeds.label),
            ),
        ]
    setting = "CIFAR-10, ResNet-18. The paper's random bottom costs 0 to 33.5 points with depth; CKA falls with it."
    title = "Random networks: stitching and CKA"
    return Figure("5", title, setting, tuple(claims), tuple(lines), tuple(probes), "penalty and cka", (_NOTE,))


def _kernels(groups: Groups) -> Figure:
    lines = [
        _line(f"another seed of {net}", _ring(net, names), families=("kernels",), layers="three")
        for net, names in groups.alike.items()
    ]
    return kernels(tuple(lines), (f"{_RING} Three layers: at a sixth, a half and five sixths of the places.",))


def _connected(groups: Groups) -> Figure:
    seeds = [_seed_line(net, names) for net, names in groups.alike.items()]
    paths = [_probe("path", f"path between seeds of {net}", _ring(net, names)) for net, names in groups.alike.items()]
    return joined(tuple(seeds), tuple(paths), (_RING,))


def _matrix(groups: Groups) -> Figure:
    ((net, names), *_) = groups.alike.items()
    ring = _ring(net, names)
    random = tuple((_model(net, name, "re-initialised", seed), _model(net, name)) for seed, name in enumerate(names))
    more = "" if len(groups.alike) == 1 else f" Of {net} alone."
    return each_to_each(
        _probe("matrix", f"matched, another seed of {net}", ring),
        _probe("matrix", f"matched, random bottom, {net}", random),
        _line(f"fitted to the task, another seed of {net}", ring[:1], layers="grid", protocols=("honest",)),
        (f"{_RING} Fitted to the task: one pair.{more}",),
    )


_RING = "Beside figure 2A each network is set under the next one, the last under the first."
