"""``modelstitch layers MODEL``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import common

if TYPE_CHECKING:
    from ..network import Layer, Network


@click.command()
@click.argument("model")
@click.option(
    "--weights", type=click.Path(path_type=Path), help="A weights file, or 'random'; none are loaded by default."
)
@common.random_weights
@click.option(
    "--input-shape",
    callback=common.numbers("the shape of one sample such as 3,32,32", most=2**31),
    metavar="C,H,W",
    help="Shape of one sample, for a model that comes without an example.",
)
@click.option("--all", "everything", is_flag=True, help="List layers that cannot be cut, too, and why.")
@common.speaks(quiet=False)
@common.imports
def layers(
    model: str,
    weights: Path | None,
    random_weights: bool,
    input_shape: tuple[int, ...] | None,
    everything: bool,
) -> None:
    """List a model's layers: shape, kind, parameters below, and whether it can be cut there exactly.

    MODEL is a name such as zoo:resnet20, timm:resnet18, torchvision:resnet50, hf:FOLDER, or a donor folder.
    """
    from ..models.load import is_donor, load
    from ..network.layers import HEAD, row_of

    if input_shape is not None and model.partition(":")[0] in ("timm", "torchvision", "openclip"):
        raise click.UsageError(
            f"--input-shape is for models that take any: expected {model}?size=N for another image size."
        )
    asked = common.drawn(model, weights, random_weights)
    net = load(model, weights=asked, input_shape=input_shape, meta=asked is None and not is_donor(model))
    shown = [layer for layer in net.layers.values() if everything or layer.exact]
    if common.manner().as_json:
        common.result(**_plain(net, shown))
        return
    blocks = set(net.blocks)
    common.table(HEAD, [row_of(layer, blocks) for layer in shown], net.name, words=["cut"])
    for line in net.in_words:
        common.say(line)
    if not everything and len(net.cuts) < len(net.layers):
        common.say("--all shows the others and why they cannot be cut.")


def _plain(net: Network, shown: Sequence[Layer]) -> dict[str, Any]:
    """A network and its layers as plain values."""
    return {
        "network": net.name,
        "weights": net.weights,
        "view": net.view_in_words,
        "output": net.output_name,
        "run": net.was_run,
        "layers": [
            {
                **{key: getattr(layer, key) for key in ("name", "aliases", "shape", "kind", "over", "grid", "module")},
                **{key: getattr(layer, key) for key in ("exact", "why", "nearest")},
                "depth": round(layer.depth, 6),
                "parameters": layer.parameters,
                "block": layer.name in net.blocks,
            }
            for layer in shown
        ],
    }
