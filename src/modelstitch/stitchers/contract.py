"""The public contract: what every stitcher family, also a user's own, must hold to."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from ..errors import ContractError, FitError, NonFiniteError, ShapeError, StitchError
from ..moments.moments import Moments
from ..network import positions_of
from ..network.trace.twin import deep_copy
from .adapters import KINDS, channels_back, rows
from .base import Site, Stitcher
from .families import family_of

_CHANNELS, _WIDER = 6, 9
_SHAPES: dict[str, Callable[[int], tuple[int, ...]]] = {
    "map": lambda c: (40, c, 3, 4),
    "sequence": lambda c: (60, c, 5),
    "grid": lambda c: (40, 3, 4, c),
    "tokens": lambda c: (60, 5, c),
    "vector": lambda c: (200, c),
    "volume": lambda c: (30, c, 2, 2, 3),
    "lattice": lambda c: (30, 2, 2, 3, c),
}


def check(family: str | type[Stitcher], *, seed: int = 0, tolerance: float = 1e-4, **options: Any) -> None:
    """Pass a family through the contract, on random activations made from ``seed``.

    For every layout it accepts (map, sequence, grid, tokens, vector, volume, lattice): the output's shape and type,
    determinism, examples kept apart, input, moments and random state left alone, gradients, a state that saves and
    loads; then dead and collinear channels, a constant target, too few rows, NaN, and every invariance that it states.

    Args:
        family: a written family such as "low-rank:2", or a subclass of Stitcher.
        seed: of the activations.
        tolerance: by how much, relative to the top's spread, the predictions may move under a stated invariance.
        **options: passed to ``solve``, for a class.

    Raises:
        ContractError: at the first clause broken; the message names it, what was expected and what was found.

    Examples:
        >>> ms.stitchers.check("orthogonal")
    """
    if isinstance(family, str):
        family, options = family_of(family)
    if not (isinstance(family, type) and issubclass(family, Stitcher)):
        raise ContractError(
            f"A family must be a subclass of modelstitch.stitchers.Stitcher, or the name of one, found {family!r}."
        )
    case = _Case(family, options, seed, tolerance)
    _description(case)
    accepted = [kind for kind in KINDS if case.accepts(kind)]
    if not accepted:
        raise case.broken("layouts", f"a stitcher for at least one of {', '.join(KINDS)}", "none")
    for kind in accepted:
        for p, q in case.widths(kind):
            x, y = case.activations(kind, p, q)
            site = Site(p, q, kind)
            moments = case.moments(rows(x, kind), rows(y, kind), site)
            _shapes_and_types(case, site, moments, x, y)
            _left_alone(case, site, moments, x)
            _deterministic(case, site, moments, x)
            _gradients(case, site, moments, x)
            _saves(case, site, moments, x)
    kind = "vector" if "vector" in accepted else accepted[0]
    _awkward(case, kind)
    _refusals(case, kind)
    for name in case.cls.invariances(**options):
        _invariant(case, kind, name)


class _Case:
    """A family under test, and the activations it is tested on."""

    def __init__(self, cls: type[Stitcher], options: dict[str, Any], seed: int, tolerance: float) -> None:
        self.cls, self.options, self.tolerance = cls, options, tolerance
        self.generator = torch.Generator().manual_seed(seed)

    def broken(self, clause: str, expected: object, found: object) -> ContractError:
        name = self.cls.family or self.cls.__name__
        return ContractError(f"The family {name!r} breaks the clause {clause!r}: expected {expected}, found {found}.")

    def solve(self, moments: Moments, site: Site, clause: str = "solve") -> Stitcher:
        try:
            return self.cls.solve(moments, site, **self.options).eval()
        except Exception as error:
            raise self.broken(clause, "a stitcher", f"{type(error).__name__}: {error}") from error

    def moments(self, x: Tensor, y: Tensor, site: Site) -> Moments:
        """Of rows in memory, with what the family takes from a second look."""
        return self.cls.looked(Moments.of(x, y), site, lambda below, above: Moments.of(below(x), above(y)))

    def accepts(self, kind: str, p: int = _CHANNELS, q: int = _CHANNELS) -> bool:
        x, y = self.activations(kind, p, q)
        try:
            site = Site(p, q, kind)
            self.cls.solve(self.moments(rows(x, kind), rows(y, kind), site), site, **self.options)
        except ShapeError as error:
            if not str(error).strip():
                raise self.broken("refusals", f"a reason why {kind} is refused", "an empty message") from error
            return False
        except Exception as error:
            raise self.broken("solve", "a stitcher, or ShapeError", f"{type(error).__name__}: {error}") from error
        return True

    def widths(self, kind: str) -> list[tuple[int, int]]:
        both = [(_CHANNELS, _CHANNELS), (_CHANNELS, _WIDER), (_WIDER, _CHANNELS)]
        return [both[0], *(pq for pq in both[1:] if self.accepts(kind, *pq))]

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def activations(self, kind: str, p: int, q: int) -> tuple[Tensor, Tensor]:
        """x and y, related but for noise, with offsets and unequal spreads, in the layout of the kind."""
        shape = _SHAPES[kind](1)
        n = torch.Size(shape).numel()
        x = self.normal(n, p) * torch.linspace(0.5, 2, p) + 3
        y = x @ self.normal(p, q) / p**0.5 + 0.3 * self.normal(n, q) - 1
        return tuple(shaped(side, kind) for side in (x, y))  # type: ignore[return-value]


def shaped(flat: Tensor, kind: str) -> Tensor:
    """Rows (positions of a batch, channels) in the layout of a kind, the inverse of ``rows``."""
    channels = flat.shape[1]
    n, *shape = _SHAPES[kind](channels)
    return channels_back(flat.view(n, *positions_of(kind, tuple(shape)), channels), kind).contiguous()


def _description(case: _Case) -> None:
    for name in ("family", "solved", "invariance"):
        if not getattr(case.cls, name, ""):
            raise case.broken("description", f"a text in {name!r}", "none")
    unknown = set(case.cls.invariances(**case.options)) - set(_MOVES)
    if unknown:
        raise case.broken("description", f"invariances among {', '.join(_MOVES)}", ", ".join(sorted(unknown)))


def _shapes_and_types(case: _Case, site: Site, moments: Moments, x: Tensor, y: Tensor) -> None:
    stitcher = case.solve(moments, site)
    count = stitcher.parameter_count
    if not isinstance(count, int) or count < 0:
        raise case.broken("description", "a parameter_count of 0 or more", count)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        out = deep_copy(stitcher).to(dtype)(x.to(dtype))
        if out.shape != y.shape:
            raise case.broken(f"shape ({site.kind})", tuple(y.shape), tuple(out.shape))
        if out.dtype != dtype:
            raise case.broken(f"type ({site.kind})", dtype, out.dtype)
        if not bool(torch.isfinite(out).all()):
            raise case.broken(f"finite output ({site.kind}, {dtype})", "finite numbers", "NaN or infinity")
    case.solve(_in_float32(moments), site, "moments in float32")


def _in_float32(moments: Moments) -> Moments:
    half = Moments(moments.n, *(getattr(moments, name).float() for name in _SUMS))
    return half if moments.again is None else half.beside(_in_float32(moments.again))


def _left_alone(case: _Case, site: Site, moments: Moments, x: Tensor) -> None:
    before, kept, state = copy.deepcopy(moments), x.clone(), torch.get_rng_state()
    stitcher = case.solve(moments, site)
    with torch.no_grad():
        stitcher(x)
        if not torch.equal(x, kept):
            raise case.broken("no mutation", "the input as it was", "a changed input")
        for value in stitcher.state_dict().values():
            value.add_(1)
    for name in _SUMS:
        if not torch.equal(getattr(moments, name), getattr(before, name)):
            raise case.broken("no mutation", f"the moments' {name} as it was", "a changed or shared tensor")
    if not torch.equal(state, torch.get_rng_state()):
        raise case.broken("random state", "torch's random state as it was", "an advanced one")


def _deterministic(case: _Case, site: Site, moments: Moments, x: Tensor) -> None:
    one, two = case.solve(moments, site), case.solve(moments, site)
    with torch.no_grad():
        whole = one(x)
        if not torch.equal(whole, two(x)):
            raise case.broken("determinism", "equal stitchers from equal moments", "different outputs")
        order = torch.randperm(len(x), generator=case.generator)
        for clause, found, wanted in (
            ("examples apart", one(x[order]), whole[order]),
            ("one example", one(x[:1]), whole[:1]),
        ):
            if found.shape != wanted.shape or not torch.allclose(found, wanted, atol=1e-4, rtol=1e-4):
                raise case.broken(clause, "the output that an example has within a batch", "another one")
    starts = []
    for _ in range(2):
        try:
            starts.append(case.cls.random(site, torch.Generator().manual_seed(1), **case.options).eval())
        except ShapeError:
            return  # a family without a random start says so
    if not torch.equal(starts[0](x), starts[1](x)):
        raise case.broken("determinism", "equal random starts from equal generators", "different outputs")


def _gradients(case: _Case, site: Site, moments: Moments, x: Tensor) -> None:
    stitcher, x = case.solve(moments, site).train(), x.clone().requires_grad_(True)
    out = stitcher(x)
    torch.autograd.backward(out.square().sum() / 2)
    if x.grad is None or not bool(torch.isfinite(x.grad).all()) or not bool((x.grad != 0).any()):
        raise case.broken("gradients", "a finite gradient of the input that is not 0 throughout", "none")
    trained = [(name, value.grad) for name, value in stitcher.named_parameters() if value.requires_grad]
    if not case.cls.trainable:
        if trained:
            raise case.broken("gradients", "no parameter that asks for one, as trainable is False", trained[0][0])
        return
    for name, gradient in trained:
        if gradient is None or not bool(torch.isfinite(gradient).all()):
            raise case.broken("gradients", f"a finite gradient of {name!r}", "none, NaN or infinity")
    if not any(bool((gradient != 0).any()) for _, gradient in trained if gradient is not None):
        raise case.broken("gradients", "a parameter whose gradient is not 0", "none")


def _saves(case: _Case, site: Site, moments: Moments, x: Tensor) -> None:
    stitcher = case.solve(moments, site)
    state = stitcher.state_dict()
    try:
        save({name: value.contiguous() for name, value in state.items()})
        others = case.moments(case.normal(50, site.p), case.normal(50, site.q), site)
        other = case.solve(others, site)
        other.load_state_dict(state)
    except StitchError:
        raise
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        raise case.broken("save and load", "a state that saves and loads", found) from error
    with torch.no_grad():
        if not torch.equal(stitcher(x), other(x)):
            raise case.broken("save and load", "the same output after loading the state", "another one")


def _awkward(case: _Case, kind: str) -> None:
    x, y = (rows(side, kind) for side in case.activations(kind, _CHANNELS, _CHANNELS))
    dead, collinear, flat = x.clone(), x.clone(), y.clone()
    dead[:, 1], collinear[:, 2], flat[:, 0] = 0.1, 2 * x[:, 0] - x[:, 1] + 1, 0.7
    site = Site(_CHANNELS, _CHANNELS, kind)
    cases = {
        "dead channels": (dead, y),
        "collinear channels": (collinear, y),
        "constant target": (x, flat),
        "nothing varies": (torch.full_like(x, 0.1), torch.full_like(y, 0.3)),
        "fewer rows than channels": (x[:4], y[:4]),
    }
    for clause, (a, b) in cases.items():
        stitcher = case.solve(case.moments(a, b, site), site, clause)
        for name, value in stitcher.state_dict().items():
            if not bool(torch.isfinite(value).all()):
                raise case.broken(clause, "finite numbers", f"NaN or infinity in {name!r}")
        if len(a) < len(x):
            continue
        nudged = a + 1e-5 * case.normal(*a.shape)
        with torch.no_grad():
            moved = float((stitcher(shaped(nudged, kind)) - stitcher(shaped(a, kind))).abs().max())
        if not moved <= 1e-2:
            raise case.broken(clause, "an output that a change of 1e-5 moves by at most 0.01", f"{moved:.3g}")


def _refusals(case: _Case, kind: str) -> None:
    site = Site(_CHANNELS, _CHANNELS, kind)
    x, y = case.normal(3, _CHANNELS), case.normal(3, _CHANNELS)
    broken = Moments.of(x, y)
    broken.xy[0, 0] = float("nan")
    for clause, moments, wanted in (
        ("one row", Moments.of(x[:1], y[:1]), FitError),
        ("no rows", Moments.empty(_CHANNELS, _CHANNELS), FitError),
        ("NaN in the moments", broken, NonFiniteError),
    ):
        try:
            stitcher = case.cls.solve(moments, site, **case.options)
        except wanted as error:
            if not str(error).strip():
                raise case.broken(clause, "a reason", "an empty message") from error
        except Exception as error:
            raise case.broken(clause, wanted.__name__, f"{type(error).__name__}: {error}") from error
        else:
            if stitcher.state_dict():  # without a state nothing was solved, so that nothing can be wrong
                raise case.broken(clause, wanted.__name__, "a stitcher")


def _invariant(case: _Case, kind: str, name: str) -> None:
    x, y = (rows(side, kind).double() for side in case.activations(kind, _CHANNELS, _CHANNELS))
    moved = _MOVES[name](x, case)
    site = Site(_CHANNELS, _CHANNELS, kind)
    with torch.no_grad():
        found, wanted = (
            case.solve(case.moments(side, y, site), site).double()(shaped(side, kind)) for side in (moved, x)
        )
    away = float((found - wanted).abs().max() / y.std())
    if not away <= case.tolerance:
        raise case.broken(f"invariance to {name}", f"predictions within {case.tolerance:g}", f"{away:.3g} away")


def _linear(x: Tensor, case: _Case) -> Tensor:
    return _turned(x, case) * torch.linspace(0.5, 3, x.shape[1], dtype=x.dtype) @ _rotation(case, x.shape[1])


def _turned(x: Tensor, case: _Case) -> Tensor:
    return x @ _rotation(case, x.shape[1])


def _rotation(case: _Case, width: int) -> Tensor:
    q: Tensor = torch.linalg.qr(case.normal(width, width).double()).Q
    return q


_SUMS = ("mean_x", "mean_y", "xx", "yy", "xy")
_MOVES: dict[str, Callable[[Tensor, _Case], Tensor]] = {
    "shift": lambda x, case: x + 5 * case.normal(1, x.shape[1]).double(),
    "scale": lambda x, case: 3.7 * x,
    "channel scales": lambda x, case: x * torch.linspace(0.3, 4, x.shape[1], dtype=x.dtype),
    "permutation": lambda x, case: x[:, torch.randperm(x.shape[1], generator=case.generator)],
    "orthogonal": _turned,
    "linear": _linear,
}
