"""A traced network: its layers, its exact cuts, and the parts between them."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..errors import InexactCutError, NetworkError, StitchError, UnknownLayerError
from ..notation import Seam, matched
from ..support import hashing
from ..support.ambient import in_settled
from ..support.kinds import kinds
from ..support.shown import table
from ..support.user_code import in_words
from ..support.words import hint, some
from ..views import as_view, in_short
from .cuts import find_flow
from .layers import HEAD, Layer, list_layers, matching, row_of, said_of
from .segment import CutPoint, Edit, FromInput, FromLayer, Segment, shapes_of
from .trace.digest import fingerprint, graph_digest, origin_of
from .trace.form import InputForm
from .trace.owner import owners_kept
from .trace.purity import agrees, batch_of, check_any_batch, check_each_alone, check_trace, run_twice, telling
from .trace.trace import example_leaves, trace
from .trace.twin import Eager, unwrapped


@dataclass(frozen=True)
class LoadRecipe:
    """How a network was had by its name.

    Attributes:
        arguments: of ``modelstitch.load``, as plain values.
        view: the one that came with the name.
    """

    arguments: Mapping[str, Any]
    view: Callable[[Any], Any] | None


P = TypeVar("P", bound=Segment)
OUTPUT = ".output"  # beside layers' names: no module can have this one


class Network:
    """Trace a trained module, list its layers, and cut it exactly.

    ``torch.export`` traces the module once, in eval mode. The module itself is never changed.

    Args:
        module: the network, in training or eval mode. For a module of ``torch.compile`` the original is traced.
        example: one input batch: a tensor, a tuple of positional inputs, or a mapping of keyword inputs.
        name: the name in reports and seams; the class name by default.
        data: the input that carries the sample, by name or position; the first tensor by default.
        output: the output that is compared, by name or position; ``logits`` or the first tensor by default.
        trained_on: how many samples the network was trained on, the first ones of the fit split, if you know it; a
            stitcher into this network is fitted on no others.
        view: how raw samples become inputs: ``Normalise(mean, std)``, the transform of single images that you evaluate
            with (torchvision, timm), an image processor of transformers, or a function of a batch.
        weights: where the weights come from, in words; "as given" with their hash by default.

    Raises:
        TraceError: if the module cannot be traced, or computes something else for another batch size.
        NetworkError: if the module is wrapped (DataParallel, TorchScript), or the example, ``data`` or ``output`` do
            not fit the module.

    Examples:
        >>> module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> net = ms.Network(module, torch.zeros(2, 4), "small")
        >>> net.cuts
        ['0', '1', '2']
        >>> net.layers["0"].shape
        (3,)
    """

    @kinds("module", settled=True)
    def __init__(
        self,
        module: nn.Module,
        example: Any,
        name: str | None = None,
        *,
        data: str | int | None = None,
        output: str | int | None = None,
        view: Any = None,
        trained_on: int | None = None,
        weights: str | None = None,
    ) -> None:
        module = unwrapped(module)
        self.module, self.trained_on = module, trained_on
        self.recipe: LoadRecipe | None = None
        self.has_head = True  # False: what it returns are features, no scores of classes
        self.name = name or type(module).__name__
        self.view = view
        self._example = dict(example) if isinstance(example, Mapping) else example
        self._options = (data, output)
        with owners_kept(module) as reach:
            self._trace_held_against(module, *example_leaves(example, data, self.name), reach.tensors)
        parameters = {node for node, weight in self._trace.weights.items() if weight.kind == "parameter"}
        flow = find_flow(self._trace.graph, self._trace.data, self._trace.output, parameters)
        found = list_layers(self._trace, flow, module)
        self.layers: dict[str, Layer] = found.layers
        self._nodes, self._arranged, self._blocks = found.nodes, found.arranged, found.blocks
        self._alias = {alias: layer.name for layer in self.layers.values() for alias in layer.aliases}
        self._origin = origin_of(module, weights)

    def _trace_held_against(
        self, module: nn.Module, form: InputForm, leaves: list[Tensor], outside: list[Tensor]
    ) -> None:
        """Trace the module, and refuse it where it is no function of its input, or the trace another one."""
        telling_leaves, output = telling(leaves), self._options[1]
        eager = Eager(module, form, output, self.name, outside)
        self.was_run = not eager.on_meta(leaves)
        first = run_twice(eager, telling_leaves) if self.was_run else None
        self._trace = trace(module, form, leaves, output, self.name, eager.hooks)
        if first is not None:
            check_any_batch(self._trace, self._full, eager, self._example, self.name)
            one = batch_of(self._trace, telling(self._example), 1)
            check_trace(self._trace, self._full, eager, telling_leaves, first, one)
            check_each_alone(self._trace, self._full, eager, self._example, self.name)

    def __repr__(self) -> str:
        return (
            f"Network({self.name!r}, {len(self.layers)} layers, {len(self.cuts)} exact cuts, weights: {self.weights})"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the exact cuts, as the command line lists them."""
        rows = [row_of(layer, self._blocks) for layer in self.layers.values() if layer.exact]
        return table(self.name, HEAD, rows, self.in_words)

    @property
    def in_words(self) -> list[str]:
        """Its view and its weights, and how many layers can be cut, a sentence each."""
        layers = list(self.layers.values())
        return said_of(layers, self._blocks, view=self.view_in_words, weights=self.weights, was_run=self.was_run)

    @property
    def weights(self) -> str:
        """Say where the weights come from, with a hash; random ones begin with "random".

        "timm resnet18.a1_in1k, sha256 ...", "FILE, sha256 ...", "random, seed 0", or "as given, sha256 ..."; weights
        that were changed in place since are given ones.
        """
        held = fingerprint(self.module)
        if self._origin is None:
            return f"as given, sha256 {held}"
        words, then = self._origin
        return words if held == then else f"as given, sha256 {held} (changed since they were: {words})"

    @property
    def unchanged(self) -> bool:
        """Whether the weights are still those that it came with, where it is known where they came from."""
        return self._origin is not None and fingerprint(self.module) == self._origin[1]

    @property
    def view(self) -> Callable[[Any], Any]:
        """How the network sees a batch of raw samples.

        What it returns is what the network takes. It may be set to a new one, or to None.
        """
        return self._view

    @view.setter
    def view(self, given: Any) -> None:
        self._view: Callable[[Any], Any] = _unchanged if given is None or given is _unchanged else as_view(given)

    @property
    def has_view(self) -> bool:
        """Whether a view is set; without one the network sees raw samples as they are."""
        return self._view is not _unchanged

    @property
    def view_in_words(self) -> str:
        """The view for a reader: "Normalise(mean=..., std=...)"; "none, raw samples" where none is set."""
        return in_short(self._view) if self.has_view else "none, raw samples"

    @property
    def cuts(self) -> list[str]:
        """Names of the exact cuts, in forward order."""
        return [layer.name for layer in self.layers.values() if layer.exact]

    @property
    def blocks(self) -> list[str]:
        """Names of the block cuts, which a sweep visits, in forward order.

        They are the exact cuts at the ends of the units that the author repeats, the stem, and the pool; the output
        itself is left out.
        """
        return list(self._blocks)

    @property
    def why_none(self) -> str:
        """Of a network without block cuts: why its first layers are none, in words."""
        reasons = [f"{layer.name!r} is not exact: {layer.why}" for layer in self.layers.values() if layer.why]
        return "; ".join(reasons[:2]) or "no module of it gives a tensor before the output"

    @property
    def output_name(self) -> str:
        """The name of the output that is compared."""
        return self._trace.output_name

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of the output for one sample."""
        return tuple(int(n) for n in self._trace.output.meta["val"].shape[1:])

    def layer(self, name: str) -> Layer:
        """Find a layer by its name or an alias.

        Args:
            name: as in ``layers``, or one of a layer's ``aliases``.

        Returns:
            The layer: name, shape of one sample, whether a cut there is exact, or why not.

        Raises:
            UnknownLayerError: with the closest names.

        Examples:
            >>> net.layer("1").exact
            True
        """
        if isinstance(name, str) and name in self._alias:
            return self.layers[self._alias[name]]
        where = f"see Network.layers, or `modelstitch layers` (it has {some(self.layers)})."
        raise UnknownLayerError(
            f"The network {self.name!r} has no layer {name!r}: {hint(str(name), self._alias, where, alike=0.4)}"
        )

    @kinds()
    def seams(self, top: Network) -> list[Seam]:
        """List the seams of matching block cuts into another network: what ``compare`` stitches.

        They join the same block of the same architecture; else each block of the top and the nearest in depth, of the
        same kind where there is one.

        Args:
            top: the network on top; it may be this one.

        Returns:
            Seams, in the order of the top's blocks.

        Examples:
            >>> [str(seam) for seam in bottom.seams(top)][:1]
            ['bottom@stem -> top@stem']
        """
        below, above = (
            [(name, network.layer(name).kind, round(network.layer(name).depth, 6)) for name in network.blocks]
            for network in (self, top)
        )
        pairs = matching(below, above) if below else []
        return [Seam(self.name, below[at][0], top.name, above[here][0]) for at, here in pairs]

    def bottom(self, layer: str) -> FromInput:
        """Take the part from the input to an exact cut.

        Args:
            layer: the name of the cut, or an alias.

        Returns:
            A module of the network's inputs, with its weights, shared and frozen. The activation has its batch first,
            and axes that were folded into the batch apart, as ``Layer.shape`` says.

        Raises:
            UnknownLayerError: as ``layer``.
            InexactCutError: with what bypasses the layer and the nearest exact cuts.

        Examples:
            >>> net.bottom("0")(torch.zeros(5, 4)).shape
            torch.Size([5, 3])
        """
        name = self.cut(layer)
        return FromInput(self._trace, self.name, {name: self._point(name)}, single=True)

    def top(self, layer: str) -> FromLayer:
        """Take the part from an exact cut to the output; nothing below the cut is computed.

        Args:
            layer: the name of the cut, or an alias.

        Returns:
            A module of (activation, input=None), with the network's weights, shared and frozen. It asks for the input
            where it needs another one than the sample, such as a mask.

        Raises:
            UnknownLayerError: as ``layer``.
            InexactCutError: with what bypasses the layer and the nearest exact cuts.

        Examples:
            >>> x = torch.zeros(5, 4)
            >>> torch.equal(net.top("0")(net.bottom("0")(x)), net(x))
            True
        """
        name = self.cut(layer)
        return FromLayer(self._trace, self._point(name), {OUTPUT: self._end}, single=True)

    @kinds()
    def onward(self, layer: str, layers: Sequence[str] = ()) -> FromLayer:
        """Take the part from an exact cut on, with later layers beside the output.

        Args:
            layer: the name of the cut, or an alias.
            layers: exact cuts after it.

        Returns:
            A module of (activation, input=None) that gives {OUTPUT: the output, layer: its activation} in one forward.

        Raises:
            UnknownLayerError: as ``layer``.
            InexactCutError: as ``cut``.

        Examples:
            >>> sorted(net.onward("0", ["1"])(torch.ones(2, 3)))
            ['.output', '1']
        """
        name = self.cut(layer)
        stops = {later: self._point(self.cut(later)) for later in layers}
        stops[OUTPUT] = self._end
        return FromLayer(self._trace, self._point(name), stops, single=False)

    @kinds()
    def taps(self, layers: Sequence[str], *, output: bool = False, edit: Edit | None = None) -> FromInput:
        """Read the activations of any layers, exact or not, in one forward.

        Args:
            layers: names or aliases.
            output: give the network's output, too, under the name OUTPUT.
            edit: changes the graph, which is a copy, before it is compiled, and returns {name: module it calls}.

        Returns:
            A module of the network's inputs that gives {layer: activation (n, ...)}.

        Raises:
            UnknownLayerError: as ``layer``.
            NetworkError: if nothing is asked for.

        Examples:
            >>> sorted(net.taps(["0", "2"])(torch.zeros(5, 4)))
            ['0', '2']
        """
        stops = {name: self._point(self.layer(name).name) for name in layers}
        if output:
            stops[OUTPUT] = self._end
        if not stops:
            raise NetworkError("taps() needs at least one layer.")
        return FromInput(self._trace, self.name, stops, single=False, edit=edit)

    def segment(self, start: str, stop: str) -> FromLayer:
        """Take the part between two exact cuts.

        Args:
            start: the name of the cut whose activation enters.
            stop: the name of a later cut, whose activation leaves.

        Returns:
            A module of (activation, input=None).

        Raises:
            NetworkError: if ``stop`` lies before ``start``.
            InexactCutError: as ``cut``.

        Examples:
            >>> net.segment("0", "1")(-torch.ones(2, 3)).max().item()
            0.0
        """
        first, last = self.cut(start), self.cut(stop)
        if self.cuts.index(first) > self.cuts.index(last):
            raise NetworkError(f"The segment of {self.name!r} runs backwards: {start!r} comes after {stop!r}.")
        return FromLayer(self._trace, self._point(first), {last: self._point(last)}, single=True)

    def _point(self, name: str) -> CutPoint:
        return CutPoint(self._nodes[name], self._arranged.get(name))

    @property
    def _end(self) -> CutPoint:
        return CutPoint(self._trace.output)

    @cached_property
    def _full(self) -> FromInput:
        return self.full()

    def full(self) -> FromInput:
        """Make the whole traced network, input to chosen output, as a fresh module.

        Returns:
            A module of the network's inputs.

        Examples:
            >>> torch.equal(net.full()(torch.ones(2, 4)), net(torch.ones(2, 4)))
            True
        """
        return FromInput(self._trace, self.name, {OUTPUT: self._end}, single=True)

    def whole(self, device: torch.device) -> FromInput:
        """Give the whole traced network on a device, to run and not to change.

        Args:
            device: where it runs.

        Returns:
            A module of the network's inputs; where the weights lie on the device already it is the same at every call.

        Examples:
            >>> net.whole(torch.device("cpu")) is net.whole(torch.device("cpu"))
            True
        """
        held = next(itertools.chain(self._full.parameters(), self._full.buffers()), None)
        return self._full if held is not None and held.device == device else self.full().to(device)

    def ready(self, make: Callable[..., P], *asked: Hashable, device: torch.device, **options: Hashable) -> P:
        """Give a part on a device, to run and not to change.

        Args:
            make: what makes such a part: ``net.bottom``, ``top``, ``segment``, ``onward`` or ``taps``.
            *asked: what it is asked for.
            device: where the part runs.
            **options: of ``make``.

        Returns:
            The part; where the weights lie on the device already it is the same at every call.

        Examples:
            >>> cpu = torch.device("cpu")
            >>> net.ready(net.top, "0", device=cpu) is net.ready(net.top, "0", device=cpu)
            True
        """
        key = self.name, make.__name__, asked, tuple(options.items()), device
        weights = (weight.tensor for weight in self._trace.weights.values())
        return self._trace.ready.get(key, weights, lambda: make(*asked, **options).to(device))

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """The chosen output of the whole network, computed on the trace."""
        if not self._full.knows(shapes_of(self._trace.form.flatten(args, kwargs))):
            self.check_sample(args[0] if len(args) == 1 and not kwargs else kwargs or args)
        result: Tensor = self._full(*args, **kwargs)
        return result

    @property
    def dtype(self) -> torch.dtype:
        """The type of the network's numbers."""
        return self.layers[self.cuts[0]].dtype if self.cuts else torch.float32

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample of the input that carries it, as in the example."""
        return tuple(int(n) for n in self._trace.data.meta["val"].shape[1:])

    @property
    def example(self) -> tuple[Any, tuple[str | int | None, str | int | None]]:
        """The batch that it was traced with, and the ``data`` and ``output`` that were asked for."""
        return self._example, self._options

    def data_input(self, inputs: Any) -> Any:
        """Find, among a call's inputs, the one that carries the sample.

        Args:
            inputs: as the network is called: a tensor, a tuple, or a mapping.

        Returns:
            Whatever stands in its place.

        Raises:
            NetworkError: if the inputs have another structure than the example.

        Examples:
            >>> net.data_input(torch.ones(2, 4)).shape
            torch.Size([2, 4])
        """
        return self._trace.form.carrying(inputs)

    def fingerprint(self) -> str:
        """Hash the weights and what is computed with them: 16 hex digits.

        Parameters and buffers count with names, shapes, types and bytes. So another activation, another number inside
        ``forward`` or another ``output`` makes another network. The device does not count.

        Returns:
            The hash.

        Examples:
            >>> bottom.fingerprint() == top.fingerprint(), len(bottom.fingerprint())
            (False, 16)
        """
        return hashing.of(f"{fingerprint(self.module)} {self._computed}", digits=16)

    @cached_property
    def _computed(self) -> str:
        """What is computed, whatever the weights."""
        return graph_digest(self._trace)

    @in_settled
    def check_sample(self, inputs: Any) -> None:
        """Refuse samples of a size on which the trace computes something else than the module.

        A size that ``forward`` reads as a number, such as that of a pooling window, is the example's in the trace. Many
        networks take any size; so it is tried, on the samples given.

        Args:
            inputs: a batch of samples, as the network is called.

        Raises:
            NetworkError: with both sizes.

        Examples:
            >>> net.check_sample(torch.ones(3, 4))
        """
        try:
            leaves = self._trace.form.flatten((inputs,), {})
        except NetworkError:  # a forward says more
            return
        shapes = shapes_of(leaves)
        if self._full.knows(shapes):
            return
        trial, held = self.full(), next(self.module.parameters(), leaves[0])
        trial.proved = {shapes}
        moved = pytree.tree_map_only(Tensor, lambda leaf: leaf.to(held.device), inputs)
        try:
            same = agrees(trial, self.module, self._trace.form, moved, self._options[1], self.name)
        except NetworkError:
            raise
        except Exception:  # a module may refuse them in its own way, with an assertion; a forward says more
            return
        if not same:
            data = self._trace.form.data_position
            raise NetworkError(
                f"The network {self.name!r} was traced with samples of {self.sample_shape} and computes "
                f"something else than its module on those of {shapes[data]}: its forward reads a size as a "
                "number; give Network() an example of the data's size, or a view= that resizes."
            )
        self._trace.proved.add(shapes)

    def repeated(self, inputs: Any, times: int) -> Any:
        """Repeat a batch behind itself.

        Args:
            inputs: of one batch, as the network is called.
            times: how often.

        Returns:
            The same structure; inputs without a batch (positions, a mask for all) stand once.

        Examples:
            >>> [part.shape for part in net.repeated(torch.ones(2, 4), 3)]
            [torch.Size([6, 4])]
        """
        return self._rebatched(inputs, lambda leaf: leaf.repeat(times, *[1] * (leaf.ndim - 1)))

    def batch_of(self, size: int) -> Any:
        """Make a batch of so many samples of the example, those over again where it has fewer.

        Args:
            size: how many.

        Returns:
            Inputs as the network is called with.

        Examples:
            >>> net.batch_of(5).shape
            torch.Size([5, 4])
        """
        made = self._rebatched(self._example, lambda leaf: leaf[torch.arange(size, device=leaf.device) % len(leaf)])
        return made[0] if isinstance(self._example, Tensor) else made

    @in_settled
    def mixes(self, inputs: Any) -> bool:
        """Tell whether a sample's output depends on the others of its batch, as far as these inputs show.

        Batch statistics are such a thing. Differences beyond the rounding of another batch size count: a hundredth of
        the largest value.

        Args:
            inputs: of one batch, as the network is called.

        Returns:
            Whether it does.

        Examples:
            >>> net.mixes(torch.ones(4, 4))
            False
        """
        data = self.data_input(inputs)
        n = len(data) // 2
        if not n:
            return False
        full = self.whole(data.device)
        with torch.no_grad():
            whole, half = full(inputs), full(self._rebatched(inputs, lambda leaf: leaf[:n]))
        return bool((whole[:n] - half).abs().max() > 0.01 * half.abs().max())

    def _rebatched(self, inputs: Any, change: Callable[[Tensor], Tensor]) -> Any:
        """A call's inputs with a change of all that have a place for every sample."""
        trace = self._trace
        leaves = trace.form.flatten((inputs,), {})
        n = len(leaves[trace.form.data_position])
        args, kwargs = trace.form.rebuild(
            [
                change(leaf) if trace.batched(node) and len(leaf) == n else leaf
                for leaf, node in zip(leaves, trace.inputs, strict=True)
            ]
        )
        return kwargs or args

    @kinds()
    def named(self, name: str) -> Network:
        """Give the same network under another name.

        Args:
            name: the new name.

        Returns:
            A network that shares all else.

        Examples:
            >>> net.named("other").name
            'other'
        """
        twin = copy.copy(self)
        twin.name = name
        twin.__dict__.pop("_full", None)  # which says the old name in errors
        return twin

    @kinds(settled=True)
    def replaced(self, module: nn.Module, name: str | None = None, *, weights: str | None = None) -> Network:
        """Give the same architecture with another module's weights.

        The graph is used again if it gives the module's own output on the example bit for bit (on a drawn one where the
        example holds nothing but zeros), else the module is traced.

        Args:
            module: of the same architecture.
            name: of the new network; this one's by default.
            weights: where they come from, in words; "as given" with their hash by default.

        Returns:
            A network of its own.

        Raises:
            TraceError: as at construction.

        Examples:
            >>> other = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
            >>> net.replaced(other, "other").cuts == net.cuts
            True
        """
        data, output = self._options
        same = self._trace.rebound(module) if type(module) is type(self.module) else None
        if same is not None:
            twin = copy.copy(self)
            twin.module, twin.name, twin._trace = module, name or self.name, same
            twin._origin, twin.recipe = origin_of(module, weights), None
            twin.__dict__.pop("_full", None)
            if agrees(twin.full(), module, twin._trace.form, telling(self._example), output, twin.name):
                return twin
        return Network(
            module,
            self._example,
            name or self.name,
            data=data,
            output=output,
            view=self._view,
            trained_on=self.trained_on,
            weights=weights,
        )

    def matched(self, names: Iterable[str]) -> list[str]:
        """Spell out patterns of layers.

        Args:
            names: names, and patterns such as ``layer*`` of block cuts: ``*`` stands for any letters, ``?`` for one.

        Returns:
            The names, each once; of a pattern the block cuts that it fits, in forward order.

        Raises:
            UnknownLayerError: a pattern fits none.

        Examples:
            >>> bottom.matched(["block*"])
            ['block1', 'block2', 'block3']
        """
        found = (one for name in names for one in matched(name, self._blocks, self._alias, self.name))
        return list(dict.fromkeys(found))

    def cut(self, name: str) -> str:
        """Name an exact cut as it is listed.

        Args:
            name: of the layer, or an alias.

        Returns:
            The name under which ``layers`` has it.

        Raises:
            UnknownLayerError: with the closest names.
            InexactCutError: with what bypasses the layer and the nearest exact cuts.

        Examples:
            >>> net.cut("0")
            '0'
        """
        layer = self.layer(name)
        if layer.exact:
            return layer.name
        near = f"; the nearest exact cuts are {' and '.join(repr(n) for n in layer.nearest)}" if layer.nearest else ""
        raise InexactCutError(f"The layer {name!r} of {self.name!r} is not an exact cut: {layer.why}{near}.")


def _unchanged(inputs: Any) -> Any:
    return inputs


def apart(bottom: Network, top: Network) -> tuple[Network, Network]:
    """Two networks with distinct names; the same network twice, with one view, is called by one name.

    Raises:
        NetworkError: if one is no Network.
        StitchError: if two different networks have one name.
    """
    check_networks(bottom=bottom, top=top)
    if bottom is not top and bottom.name == top.name:
        if alike(bottom, top):
            return bottom, bottom
        raise StitchError(f"Both networks are called {bottom.name!r}: expected distinct names; pass name= to Network.")
    return bottom, top


def alike(one: Network, other: Network) -> bool:
    """Whether two networks are the same but for their names.

    In weights, in how they see a sample, in what they were trained on.
    """
    sight = in_words(one.view) == in_words(other.view) and one.trained_on == other.trained_on
    return sight and one.fingerprint() == other.fingerprint()


def blueprint(network: Network) -> str:
    """Hash what a network computes and the shapes that it computes with, whatever numbers its weights hold."""
    weights = (*network.module.named_parameters(), *network.module.named_buffers())
    kinds = [(name, tuple(tensor.shape), tensor.dtype) for name, tensor in weights]
    leaves = network._trace.form.flatten((network.example[0],), {})
    given = [(tuple(leaf.shape), leaf.dtype) for leaf in leaves]
    return hashing.of(repr((network._computed, kinds, given)), digits=16)


def check_networks(**sides: Any) -> None:
    """Refuse what is no Network, a bare module above all.

    Raises:
        NetworkError: naming the side and what was found.
    """
    for side, network in sides.items():
        if not isinstance(network, Network):
            raise NetworkError(
                f"The {side} must be a modelstitch Network, found {type(network).__name__}: make one with "
                "Network(module, example, name)."
            )
