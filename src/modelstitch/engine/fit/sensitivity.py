"""The closed form in the metric of the top's own sensitivity: Gauss-Newton on its output, without labels.

Least squares at the seam counts every error there alike. Here an error counts as far as the top's output feels it: each
step linearises the top at the stitched activations of every sample, and solves least squares of (the top's own output
less the stitched one) in all parameters of the map at once, damped as by Levenberg and Marquardt. Few samples are soon
followed too closely, so every fourth one is held out: it chooses the damping of each step, and none is taken that comes
no nearer to its outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, vjp, vmap

from ...network import OUTPUT
from ...support.words import counted
from ..senders import NetworkSender, open_quick, open_whole, view_of
from ..sweep import Stream, Sweep, derive, shuffle
from .options import SENSITIVITY

STEPS = 3
DAMPINGS = (1e-2, 1e-1, 1e0, 1e1, 1e2)  # of the squared sensitivity to a parameter
HOLD = 4  # one sample of so many is held out
FLOOR = 1e-4  # of the mean one: a parameter that the output hardly feels stays
DIRECTIONS = 16  # in which outputs are looked at: all of fewer values, else drawn ones, which keep squares on the mean
ENTRIES, UNKNOWNS = 250_000_000, 6_000  # of the sensitivities that are held, and of a system that is solved
HELD = 500_000_000  # bytes of activations
PIECE = 20_000_000  # sensitivities that are worked out at once


@dataclass
class _SeenBatch:
    """A batch of fit samples: activations below, what the rest of the top reads beside them, and its own output."""

    below: dict[str, Tensor]
    inputs: Any
    mask: Tensor | None
    wanted: Tensor
    held: Tensor


def weigh(streams: Sequence[Stream], sweep: Sweep) -> None:
    """Move every stitcher whose objective is ``sensitivity`` from least squares at the seam towards that of the output.

    At most ``start_samples`` fit samples are looked at, fewer where the map has many parameters. In a shuffled sweep
    every sample is held against another one's output.
    """
    chosen = [stream for stream in streams if stream.objective == SENSITIVITY and not stream.failed]
    if not chosen:
        return
    seen = list(_looked_at(chosen, sweep))
    for stream in chosen:
        _Newton(stream, seen, sweep).go()


def _looked_at(streams: Sequence[Stream], sweep: Sweep) -> Iterator[_SeenBatch]:
    send = open_quick(sweep.sender, [stream.bottom_layer for stream in streams], sweep.device)
    own = open_whole(NetworkSender(sweep.top), sweep.device)
    left, size, seen = sweep.spec.start_samples, 0, 0
    for batch in sweep.batches("moments"):
        if left <= 0 or size > HELD:
            return
        below, wanted = send(batch), own(batch)
        if sweep.shuffled:
            wanted = wanted[shuffle(len(batch), batch, sweep.seed).to(wanted.device)]
        left, size = left - len(batch), size + sum(value.nbytes for value in below.values())
        mask = None if batch.mask is None else batch.mask.to(sweep.device)
        held = (torch.arange(seen, seen + len(batch)) % HOLD == HOLD - 1).to(sweep.device)
        seen += len(batch)
        yield _SeenBatch(below, view_of(sweep.top, batch, sweep.device), mask, wanted, held)


class _Newton:
    """Gauss-Newton steps of one stream."""

    def __init__(self, stream: Stream, seen: Sequence[_SeenBatch], sweep: Sweep) -> None:
        assert stream.stitcher is not None
        self.stream, self.stitcher = stream, stream.stitcher
        self.names = [name for name, _ in self.stitcher.named_parameters()]
        self.theta = torch.cat([value.detach().flatten() for value in self.stitcher.parameters()])
        self.width = self.theta.numel()
        outputs = seen[0].wanted[0].numel()
        self.drawn = _directions(seen[0].wanted[0], sweep) if outputs > DIRECTIONS else None
        self.looks = min(outputs, DIRECTIONS)
        most = ENTRIES // (self.width * self.looks)
        if self.width > UNKNOWNS:
            most = min(most, UNKNOWNS // self.looks)
        self.seen, n = [], 0
        for part in seen:
            if n < max(most, 1):
                self.seen.append(part)
                n += len(part.wanted)
        self.samples, self.held = n, sum(int(part.held.sum()) for part in self.seen)

    def go(self) -> None:
        before = start = self._away(self.theta)
        steps = 0
        for _ in range(STEPS):
            system = self._system()
            tried = [self.theta + system.step(damping) for damping in DAMPINGS]
            away, best = min((self._away(theta), i) for i, theta in enumerate(tried))
            if not away < before:
                break
            self.theta, before, steps = tried[best], away, steps + 1
        self._put(self.theta)
        self.stream.steps = steps
        self.stream.notes.append(
            f"{counted(steps, 'Gauss-Newton step')} over {self.samples - self.held} fit samples: squared error of the "
            f"output, on {self.held or self.samples} held out, {start:.4g} -> {before:.4g} a sample"
        )

    def _named(self, theta: Tensor) -> dict[str, Tensor]:
        sizes = [value.numel() for value in self.stitcher.parameters()]
        shaped = zip(self.names, torch.split(theta, sizes), self.stitcher.parameters())
        return {name: part.view_as(value) for name, part, value in shaped}

    def _put(self, theta: Tensor) -> None:
        with torch.no_grad():
            for value, part in zip(self.stitcher.parameters(), self._named(theta).values()):
                value.copy_(part)

    def _away(self, theta: Tensor) -> float:
        """The mean squared error of the stitched output over the samples held out."""
        self._put(theta)
        total = 0.0
        with torch.no_grad():
            for part in self.seen:
                away = self._residual(part, self._mapped(part)).square().sum(1)
                total += float(away[part.held].sum() if self.held else away.sum())
        return total / (self.held or self.samples)

    def _mapped(self, part: _SeenBatch) -> Tensor:
        return self.stream.stitched(part.below[self.stream.bottom_layer], part.mask)

    def _residual(self, part: _SeenBatch, stitched: Tensor) -> Tensor:
        """The top's own output less the stitched one in the directions looked at, (n, looks)."""
        tail = self.stream.tail
        found: Tensor = tail(stitched, part.inputs if tail.needs_input else None)[OUTPUT]
        away: Tensor = part.wanted.float() - found.float()
        if part.mask is not None and away.shape[: part.mask.ndim] == part.mask.shape:
            away = away * part.mask.view(*part.mask.shape, *[1] * (away.ndim - part.mask.ndim))
        if self.drawn is None:
            return away.flatten(1)
        signs, mixed = self.drawn
        return ((away.flatten(1, -2) if away.ndim > 2 else away[:, None]) @ mixed * signs).sum(1)

    def _system(self) -> _System:
        """The linearised least squares at the present map."""
        system = _System(self.width, (self.samples - self.held) * self.looks, self.theta)
        named = self._named(self.theta)

        def row(x: Tensor, seam: Tensor) -> Tensor:
            pull: Any = vjp(lambda given: functional_call(self.stitcher, given, (x[None],)), named)[1]
            (found,) = pull(seam[None])
            return torch.cat([found[name].flatten() for name in self.names])

        for part in self.seen:
            x = self.stream.adapter(part.below[self.stream.bottom_layer], part.mask).to(self.theta.dtype)
            with torch.enable_grad():
                at = self._mapped(part).detach().requires_grad_()
                away = self._residual(part, at)
                slopes = [
                    -torch.autograd.grad(away[:, k].sum(), at, retain_graph=k + 1 < self.looks)[0]
                    for k in range(self.looks)
                ]
            fitted = (~part.held).nonzero()[:, 0]
            for k, slope in enumerate(slopes):
                for some in torch.split(fitted, max(1, PIECE // self.width)):
                    with torch.no_grad():
                        system.add(vmap(row)(x[some], slope[some].to(x.dtype)), away[some, k].detach())
        return system


def _directions(output: Tensor, sweep: Sweep) -> tuple[Tensor, Tensor]:
    """Signs of positions (places, directions) and what mixes the values of one (values, directions).

    Squares stay what they are on the mean.
    """
    generator = torch.Generator().manual_seed(derive(sweep.seed, "directions"))
    values = output.shape[-1]
    mixed = torch.randn(values, DIRECTIONS, generator=generator) / DIRECTIONS**0.5
    signs = 1.0 - 2.0 * torch.randint(2, (output.numel() // values, DIRECTIONS), generator=generator)
    return signs.to(sweep.device), mixed.to(sweep.device)


class _System:
    """Least squares J d = r, of more rows than columns by its normal equations, else by those of the rows."""

    def __init__(self, width: int, rows: int, like: Tensor) -> None:
        self.wide = rows <= width
        self.rows: list[Tensor] = []
        self.away: list[Tensor] = []
        size = 0 if self.wide else width
        self.normal = like.new_zeros(size, size, dtype=torch.float64)
        self.back = like.new_zeros(size, dtype=torch.float64)

    def add(self, rows: Tensor, away: Tensor) -> None:
        """Rows (n, width) of J, and what they are to give."""
        if self.wide:
            self.rows.append(rows)
            self.away.append(away)
        else:
            self.normal += (rows.T @ rows).double()
            self.back += (rows.T @ away).double()

    def step(self, damping: float) -> Tensor:
        """The damped solution, each parameter in units of what the output feels of it."""
        if self.wide:
            if len(self.rows) > 1:
                self.rows, self.away = [torch.cat(self.rows)], [torch.cat(self.away)]
            (j,), (r,) = self.rows, self.away
            scale = _scale(j.square().sum(0))
            scaled = j / scale
            gram = (scaled @ scaled.T).double()
            found = scaled.T @ _solved(gram, r.double(), damping).to(j.dtype)
            return found / scale
        scale = _scale(self.normal.diagonal())
        found = _solved(self.normal / (scale[:, None] * scale), self.back / scale, damping)
        return (found / scale).to(torch.get_default_dtype())


def _scale(squares: Tensor) -> Tensor:
    return (squares + FLOOR * squares.mean()).clamp(min=torch.finfo(squares.dtype).tiny).sqrt()


def _solved(matrix: Tensor, wanted: Tensor, damping: float) -> Tensor:
    eased = matrix + damping * torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    found: Tensor = torch.linalg.solve(eased, wanted)
    return found
