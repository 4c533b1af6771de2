"""Layer-wise linear CKA of two networks beside the bare forward passes and beside other packages.

    uv run --with pytorch-cka --with torch_cka python benchmarks/cka_layers.py [--rounds N] [--batches N] [--full N]
                                                      [--pairs 20/32,56/20,18/18] [--weights DIR] [--side N]

Pairs are depths of ResNets for CIFAR-10 as published (18: torchvision's, on images of 64 x 64; --side makes all images
of that size); --weights is a folder of resnetDEPTH.safetensors, and what it lacks is drawn. All examples at once are
those of the first pair. The file is not named cka.py, which would hide the package of that name.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from side_by_side import Times, head, ratios, side_by_side, table, write
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import modelstitch as ms
from modelstitch.layerwise import plan_similarity
from modelstitch.support.memory import keep_heap

BATCH = 128
PUBLISHED = Path(__file__).parent.parent / "docs" / "results" / "paper" / "own" / "networks.py"
Sides = tuple[list[str], list[str]]  # layers of the one and of the other network


def resnet(depth: int, seed: int, weights: Path | None = None) -> nn.Module:
    """A ResNet, its weights read or drawn."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if depth == 18:
            from torchvision.models import resnet18

            return resnet18(num_classes=10)
        spec = importlib.util.spec_from_file_location("published", PUBLISHED)
        assert spec is not None
        assert spec.loader is not None
        published = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(published)
        module: nn.Module = published.ResNet((depth - 2) // 6)
    path = weights and weights / f"resnet{depth}.safetensors"
    if path and path.is_file():
        module.load_state_dict(load_file(path))
        return module.eval()
    return module


class Lifted(nn.Module):
    """Three convolutions whose features have means of a hundred standard deviations."""

    def __init__(self, seed: int, images: Tensor) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.convs = nn.ModuleList([nn.Conv2d(3, 16, 3, padding=1), *(nn.Conv2d(16, 16, 3) for _ in range(2))])
        for conv in self.convs:
            with torch.no_grad():
                conv.bias += 100 * conv(images).std()
                images = torch.tanh(conv(images) - 100 * conv(images).std())

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = conv(x)
            x = torch.tanh(x - x.mean((1, 2, 3), keepdim=True))
        return x.mean((2, 3))


def calibrated(module: nn.Module, images: Tensor) -> nn.Module:
    """Running statistics as a trained network has them; one whose weights were read has its own."""
    if module.training:
        with torch.no_grad():
            for _ in range(3):
                module(images)
    return module.eval()


def reference(one: nn.Module, two: nn.Module, sides: Sides, images: Tensor) -> Tensor:
    """Minibatch CKA in float64 from hooked activations, by its definition."""
    sums = torch.zeros(3, *map(len, sides), dtype=torch.float64)
    for part in images.split(BATCH):
        both = []
        for module, layers in zip((one, two), sides):
            kept: dict[str, Tensor] = {}
            hooks = [
                module.get_submodule(name).register_forward_hook(
                    lambda _m, _i, out, name=name, kept=kept: kept.__setitem__(name, out.flatten(1).double())
                )
                for name in layers
            ]
            with torch.no_grad():
                module(part)
            for hook in hooks:
                hook.remove()
            grams = []
            for name in layers:
                x = kept.pop(name)
                x -= x.mean(0)
                grams.append((x @ x.T).fill_diagonal_(0))
            both.append(grams)
        for i, k in enumerate(both[0]):
            for j, other in enumerate(both[1]):
                for at, (a, b) in enumerate(((k, other), (k, k), (other, other))):
                    n = len(a)
                    inner = (a * b).sum() + a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * a.sum(0) @ b.sum(0)
                    sums[at, i, j] += inner / (n * (n - 3))
    return sums[0] / (sums[1] * sums[2]).sqrt()


def convolutions(*modules: nn.Module) -> Sides:
    """Their names in each module."""
    one, two = ([name for name, part in m.named_modules() if isinstance(part, nn.Conv2d)] for m in modules)
    return one, two


def ours(one: ms.Network, two: ms.Network, layers: Sides, data: ms.Data, measure: str = "cka_minibatch") -> Tensor:
    found = ms.similarity(
        one, two, data, measures=[measure], layers=layers, view="flatten", shuffles=0, seed=0, split="val"
    )
    return torch.tensor(found.frame["value"].to_list(), dtype=torch.float64).view(*map(len, layers))


def peers(
    one: nn.Module, two: nn.Module, layers: Sides, images: Tensor, batch: int, slow: bool = True
) -> dict[str, Callable[[], Any]]:
    """The other packages that are installed, each as a call that returns the matrix.

    The package torch_cka, which is slow, on demand.
    """
    loader = DataLoader(TensorDataset(images, torch.zeros(len(images))), batch_size=batch)
    found: dict[str, Callable[[], Any]] = {}
    with contextlib.suppress(ImportError):
        from cka import compute_cka

        found["pytorch-cka"] = lambda: compute_cka(
            one, two, loader, layers=layers[0], model2_layers=layers[1], device="cpu", progress=False
        )[0]
    with contextlib.suppress(ImportError):
        from torch_cka import CKA

        def other() -> Tensor:
            with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()), torch.no_grad():
                warnings.simplefilter("ignore")
                measured = CKA(one, two, model1_layers=layers[0], model2_layers=layers[1], device="cpu")
                measured.compare(loader)
            for module in (one, two):  # its hooks stay
                for part in module.modules():
                    part._forward_hooks.clear()
            return measured.hsic_matrix

        if slow:
            found["torch_cka"] = other
    return found


class Ordered(ms.Data):
    """Batches in sample order, so that every package sees the same minibatches.

    ``between`` is called before each batch of the pass that measures, which asks with a seed; looks beforehand do not.
    """

    between: Callable[[], None] | None = None

    def batches(self, split: Any, batch_size: int, **rest: Any) -> Any:
        measuring = rest.get("seed") is not None and split == "val"
        for batch in super().batches(split, batch_size, **{**rest, "seed": None}):
            if self.between and measuring:
                self.between()
            yield batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--full", type=int, default=1024, help="examples of the full-data comparison; 0: none")
    parser.add_argument("--pairs", default="20/32,56/20,56/44,18/18")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--side", type=int, help="pixels of an image's side")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    parts, kept, errors = list[str](), list[str](), list[tuple[str, ...]]()
    pairs = [pair(name, chosen) for name in chosen.pairs.split(",")]
    for title, one, two, images in pairs:
        parts.append(compare(title, one, two, images, chosen.rounds, slow=True))
        check(title, one, two, images[:BATCH], errors)
    side = chosen.side or 32
    images = torch.randn(BATCH, 3, side, side, generator=torch.Generator().manual_seed(0))
    first = [int(depth) for depth in chosen.pairs.split(",")[0].split("/")]
    fresh = [resnet(depth, seed).eval() for seed, depth in enumerate(first)]
    check(" and ".join(f"ResNet-{depth}" for depth in first) + ", untrained", *fresh, images, errors)
    check("mean of features 100 standard deviations", *(Lifted(seed, images).eval() for seed in (0, 1)), images, errors)
    parts.append(
        "Largest error of any pair of layers against float64 sums over the definition, from hooked activations of 128 "
        "examples:\n\n" + table(["", *dict.fromkeys(name for _, name, _ in errors)], _wide(errors))
    )
    if chosen.full:
        parts.append(full(first, chosen.full, chosen.rounds, side))
    keep_heap()
    for title, one, two, images in pairs:
        kept.append(compare(f"{title}, with kept memory", one, two, images, chosen.rounds))
    write(
        "benchmark-cka",
        "Layer-wise CKA beside the bare forward passes",
        [
            "Unbiased HSIC over minibatches of 128 examples, all convolutions by all convolutions, every position and "
            "channel a feature (`similarity(..., measures=['cka_minibatch'], view='flatten', shuffles=0)`), one "
            "thread. *Bare* is the two modules' own eager forward passes over the same batches, each just before "
            "modelstitch takes the batch, since a shared machine changes its speed within seconds; the other packages' "
            "calls take turns with bare passes over all batches.",
            *parts,
            "So far freed memory went back to the system, as in any Python process. The command line keeps it "
            "(`memory.keep_heap`), which saves the bare passes most, since they take new memory for every result:",
            *kept,
        ],
    )


def pair(name: str, chosen: argparse.Namespace) -> tuple[str, nn.Module, nn.Module, Tensor]:
    """Two networks by their depths, what they are called together, and images for them."""
    depths = [int(depth) for depth in name.split("/")]
    side = chosen.side or (64 if 18 in depths else 32)
    images = torch.randn(BATCH * chosen.batches, 3, side, side, generator=torch.Generator().manual_seed(0))
    one, two = (calibrated(resnet(d, seed, chosen.weights), images[:BATCH]) for seed, d in enumerate(depths))
    return f"ResNet-{depths[0]} and ResNet-{depths[1]}, {side} x {side}", one, two, images


def compare(title: str, one: nn.Module, two: nn.Module, images: Tensor, rounds: int, *, slow: bool = False) -> str:
    layers = convolutions(one, two)
    first, second, data = networks(one, two, images)

    def bare(part: Tensor) -> None:
        with torch.no_grad():
            one(part)
            two(part)

    own = in_turns(lambda: ours(first, second, layers, data), data, bare, images, rounds)
    calls: dict[str, Callable[[], Any]] = {"bare": lambda: [bare(part) for part in images.split(BATCH)]}
    others = peers(one, two, layers, images, BATCH, slow=slow)
    beside = ratios(side_by_side(calls | others, rounds), "bare")[1:] if others else []
    return (
        f"{title}, {len(layers[0])} x {len(layers[1])} layers, {len(images)} examples, rounds: {rounds}:\n\n"
        + table(head("bare"), [*ratios(own, "bare"), *beside])
    )


def in_turns(
    call: Callable[[], Any], data: Ordered, bare: Callable[[Tensor], Any], images: Tensor, rounds: int
) -> dict[str, Times]:
    """A call, and bare passes over each batch just before the call takes it: a machine changes speed within seconds."""
    found = {"bare": Times([], []), "modelstitch": Times([], [])}
    for _ in range(rounds + 1):
        parts = iter(images.split(BATCH))
        spent = [0.0, 0.0]

        def between(parts: Iterator[Tensor] = parts, spent: list[float] = spent) -> None:
            before = time.perf_counter(), time.process_time()
            bare(next(parts))
            spent[0] += time.perf_counter() - before[0]
            spent[1] += time.process_time() - before[1]

        data.between = between
        before = time.perf_counter(), time.process_time()
        call()
        whole = time.perf_counter() - before[0], time.process_time() - before[1]
        data.between = None
        for name, (clock, processor) in (
            ("bare", (spent[0], spent[1])),
            ("modelstitch", (whole[0] - spent[0], whole[1] - spent[1])),
        ):
            found[name].clock.append(clock)
            found[name].processor.append(processor)
    return {
        name: Times(times.clock[1:], times.processor[1:]) for name, times in found.items()
    }  # the first one warms up


def check(title: str, one: nn.Module, two: nn.Module, images: Tensor, errors: list[tuple[str, ...]]) -> None:
    layers = convolutions(one, two)
    first, second, data = networks(one, two, images)
    right = reference(one, two, layers, images)
    every = {"modelstitch": ours(first, second, layers, data)}
    for name, call in peers(one, two, layers, images, BATCH).items():
        with contextlib.suppress(AssertionError):
            every[name] = call()
    for name, value in every.items():
        errors.append((title, name, f"{float((value - right).abs().max()):.1e}"))


def networks(one: nn.Module, two: nn.Module, images: Tensor) -> tuple[ms.Network, ms.Network, Ordered]:
    labels = torch.arange(len(images)) % 10
    few = TensorDataset(images[:4].clone(), labels[:4])
    data = Ordered(few, TensorDataset(images, labels), TensorDataset(images[:4], labels[:4]))
    return ms.Network(one, images[:2], "one"), ms.Network(two, images[:2], "two"), data


def _wide(errors: list[tuple[str, ...]]) -> list[list[str]]:
    names = list(dict.fromkeys(name for _, name, _ in errors))
    found = {(title, name): value for title, name, value in errors}
    return [
        [title, *(found.get((title, n), "refused") for n in names)] for title in dict.fromkeys(t for t, _, _ in errors)
    ]


def full(depths: Sequence[int], n: int, rounds: int, side: int) -> str:
    """Linear CKA over all examples at once, of some layers of two ResNets."""
    images = torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(1))
    one, two = (calibrated(resnet(d, 0), images[:BATCH]) for d in depths)
    every = convolutions(one, two)
    layers = every[0][::4], every[1][::6]
    first, second, data = networks(one, two, images)
    chosen = {"measures": ["cka_linear_debiased"], "layers": layers, "view": "flatten", "shuffles": 0}
    plan = plan_similarity(first, second, data, **chosen)
    tight = plan_similarity(first, second, data, **chosen, available=plan.size // 2)
    calls: dict[str, Callable[[], Any]] = {
        "modelstitch": lambda: ours(first, second, layers, data, "cka_linear_debiased"),
        "modelstitch, half the memory": lambda: ms.similarity(first, second, data, **chosen, available=plan.size // 2),
    }
    calls |= peers(one, two, layers, images, n)
    found = side_by_side(calls, max(2, rounds // 2))
    values = {name: call() for name, call in calls.items() if "half" not in name}
    right = reference_full(one, two, layers, images)
    wrong = ", ".join(f"{name} {float((value - right).abs().max()):.1e}" for name, value in values.items())
    return (
        f"Over all {n} examples at once, {len(layers[0])} x {len(layers[1])} layers of the first "
        f"pair. Stated before it "
        f"starts: "
        f"*{plan.describe()}*; with half of that memory: *{tight.describe()}*. Largest errors: {wrong}.\n\n"
        + table(head("modelstitch"), ratios(found, "modelstitch"))
    )


def reference_full(one: nn.Module, two: nn.Module, layers: Sides, images: Tensor) -> Tensor:
    global BATCH
    before, BATCH = BATCH, len(images)
    try:
        return reference(one, two, layers, images)
    finally:
        BATCH = before


if __name__ == "__main__":
    main()
