"""Coverage: which architectures are traced and cut exactly; one record file per model, then docs/coverage.md.

python benchmarks/coverage.py                    runs what has no record yet, then writes the page
python benchmarks/coverage.py --only 'hf:gpt'    some models (a regular expression)
python benchmarks/coverage.py --stranger         architectures that are not in the table; prints the rate
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import re
import resource
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from coverage_blocks import blocks_cut
from coverage_models import STRANGERS, TABLE, Entry
from coverage_page import summary, write_page
from torch import nn

from modelstitch.errors import StitchError
from modelstitch.moments.moments import Moments
from modelstitch.network import OUTPUT, Network, fingerprint
from modelstitch.stitchers import Affine, Site, adapter_between, rows

ROOT = Path(__file__).parent.parent
EXAMPLE, CHECK = 2, 3  # batch sizes: of the example that is traced, and of the check
WHOLE = 4  # cuts, spread over the depth, at which top(bottom(x)) is run as a whole
WIDEST = 256  # channels up to which an affine map is solved at a cut
NEAR = 1e-2  # by how much, of the largest value, a sample may differ when it comes alone: rounding, not another sample
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="a regular expression on the names")
    parser.add_argument("--stranger", action="store_true", help="the list of architectures outside the table")
    parser.add_argument("--again", action="store_true", help="also what has a record")
    parser.add_argument("--write", action="store_true", help="only write the page from the records there are")
    parser.add_argument("--limit", type=int, default=240, help="processor seconds for one model")
    parser.add_argument("--records", type=Path, default=ROOT / "runs" / "coverage")
    args = parser.parse_args()
    entries = [e for e in (STRANGERS if args.stranger else TABLE) if re.search(args.only, e.name)]
    args.records.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)  # a fused kernel for inference only, with other rounding
    if not args.write:
        warm_up()
    for at, entry in enumerate([] if args.write else entries, start=1):
        file = args.records / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', entry.name)}.json"
        if args.again or not file.exists():
            record = apart(entry, file, args.limit)
            print(f"{at}/{len(entries)} {line(record)}", flush=True)
    records = [json.loads(f.read_text()) for f in sorted(args.records.glob("*.json"))]
    by_name = {record["name"]: record for record in records}
    found = [by_name[e.name] for e in entries if e.name in by_name]
    print(summary(found))
    if not args.only and not args.stranger:
        outside = [by_name[e.name] for e in STRANGERS if e.name in by_name]
        write_page(ROOT / "docs" / "coverage.md", found, len(entries) - len(found), outside)


def warm_up() -> None:
    """Import what every model needs, and trace once, so that the processes of the models need not."""
    import timm  # noqa: F401
    import torchvision  # noqa: F401
    import transformers

    transformers.logging.set_verbosity_error()
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    net = Network(module, torch.zeros(2, 2))
    net.top("0")(net.bottom("0")(torch.zeros(3, 2)))


def apart(entry: Entry, file: Path, limit: int) -> dict[str, Any]:
    """Measure one model in a process of its own, so that a crash or the time limit costs that model alone."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))  # ends the process
        signal.alarm(10 * limit)  # where it waits
        code = 1
        try:
            write(file, measure(entry))
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if not file.exists() or status:
        how = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit {status >> 8}"
        cause = f"not finished within {limit} s" if how in ("SIGXCPU", "SIGALRM") else f"the process ended with {how}"
        write(file, {"name": entry.name, "group": entry.group, "traced": False, "cause": cause})
    return json.loads(file.read_text())


def write(file: Path, record: dict[str, Any]) -> None:
    part = file.with_suffix(".part")
    part.write_text(json.dumps(record, indent=1))
    part.replace(file)


def measure(entry: Entry) -> dict[str, Any]:
    """Build, trace, and check every cut of one model."""
    started = time.process_time()
    torch.manual_seed(SEED)
    record: dict[str, Any] = {"name": entry.name, "group": entry.group, "traced": False, "cause": ""}
    try:
        module, inputs = entry.build()
    except Exception as error:
        return record | {"cause": f"not built: {type(error).__name__}: {first_line(error)}"}
    module = module.eval().requires_grad_(False)
    record["parameters"] = sum(p.numel() for p in module.parameters())
    try:
        run_once(module, inputs(CHECK))  # some fill buffers of theirs in their first forward
    except Exception as error:
        return record | {"cause": f"does not run by itself: {type(error).__name__}: {first_line(error)}"}
    before = fingerprint(module)
    example, other = inputs(EXAMPLE), inputs(CHECK)
    start = time.process_time()
    try:
        net = Network(module, example, entry.name, data=entry.data, output=entry.output)
    except StitchError as error:
        return record | {"cause": first_line(error)}
    record |= {
        "traced": True,
        "trace_seconds": time.process_time() - start,
        "nodes": len(net._trace.graph.nodes),
        "layers": len(net.layers),
        "cuts": len(net.cuts),
    }
    record["blocks"], whole, record["why"] = blocks_cut(net)
    record["blocks_cut"] = record["blocks"] - len(whole)
    record |= check_cuts(net, other)
    record["commit"] = os.environ.get("COVERAGE_COMMIT", "")
    record["unstitched"] = stitch_cuts(net, other)
    record["unchanged"] = fingerprint(module) == before
    record["seconds"] = time.process_time() - started
    record["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return record


@torch.no_grad()
def run_once(module: nn.Module, inputs: Any) -> None:
    if isinstance(inputs, dict):
        module(**inputs)
    else:
        module(*inputs) if isinstance(inputs, tuple) else module(inputs)


@torch.no_grad()
def check_cuts(net: Network, inputs: Any) -> dict[str, Any]:
    """Is every listed cut exact, bit for bit, on a batch size that was not traced, against the eager module?

    All cuts are joined: the segment from each cut to the next must give the next one's value, and the last one the
    output, which by induction is top(bottom(x)) at each of them. At a few of them top(bottom(x)) itself is run as well.
    """
    expected = chosen(net, inputs)
    values = net.taps(net.cuts, output=True)(inputs) if net.cuts else {OUTPUT: net(inputs)}
    wrong: dict[str, str] = {}
    if not same(values[OUTPUT], expected):
        wrong["output"] = f"the trace differs from the module by {apart_by(values[OUTPUT], expected)}"
    for cut, later in zip(net.cuts, [*net.cuts[1:], None]):
        part = net.segment(cut, later) if later else net.top(cut)
        compare(wrong, cut, lambda part=part, cut=cut: part(values[cut], inputs), values[later or OUTPUT])
    step = max(1, len(net.cuts) // WHOLE)
    for cut in net.cuts[step // 2 :: step]:
        compare(wrong, cut, lambda cut=cut: net.top(cut)(net.bottom(cut)(inputs), inputs), expected)
    return {
        "finite": bool(torch.isfinite(expected).all()),
        "wrong": sorted(wrong),
        "cause": "; ".join(f"{cut}: {why}" for cut, why in list(wrong.items())[:2]),
    }


@torch.no_grad()
def stitch_cuts(net: Network, inputs: Any) -> dict[str, str]:
    """Which listed cuts no stitcher can join to themselves, and why.

    At each the activation must have the shape that is listed, the adapter from the layer to itself must leave it, and
    each sample's must be what it is without the first: so the samples lie where they are said to. At the first cut of
    each kind an affine map is solved, and the top run on what it gives.
    """
    found: dict[str, str] = {}
    some, kinds = net._rebatched(inputs, lambda leaf: leaf[1:]), set()
    values, fewer = (net.taps(net.cuts)(batch) if net.cuts else {} for batch in (inputs, some))
    for cut, value in values.items():
        layer = net.layer(cut)
        try:
            if tuple(value.shape) != (CHECK, *layer.shape):
                raise ValueError(f"shape {tuple(value.shape)}, listed {layer.shape}")
            if not same(adapter_between(layer, layer)(value), value):
                raise ValueError("its own adapter changes it")
            away = (value[1:].double() - fewer[cut].double()).abs().max().item()
            if away > NEAR * max(1e-6, value.double().abs().max().item()):
                raise ValueError(f"a sample without the others differs by {away:.1e}")
            if layer.kind not in kinds and layer.channels <= WIDEST and layer.dtype == torch.float32:
                kinds.add(layer.kind)
                flat = rows(value, layer.kind).double()
                site = Site(layer.channels, layer.channels, layer.kind)
                net.top(cut)(Affine.solve(Moments.of(flat, flat), site)(value), inputs)
        except Exception as error:
            found[cut] = f"{type(error).__name__}: {first_line(error)}"
    return found


def compare(wrong: dict[str, str], cut: str, run: Callable[[], torch.Tensor], expected: torch.Tensor) -> None:
    try:
        found = run()
    except Exception as error:
        wrong[cut] = f"{type(error).__name__}: {first_line(error)}"
        return
    if not same(found, expected):
        wrong[cut] = f"differs by {apart_by(found, expected)}"


def chosen(net: Network, inputs: Any) -> torch.Tensor:
    """What the module itself says, called as users do, with its caches and its other outputs."""
    from modelstitch.network.trace.form import choose_output

    inputs = copy.deepcopy(inputs)
    if isinstance(inputs, dict):
        result = net.module(**inputs)
    else:
        result = net.module(*inputs) if isinstance(inputs, tuple) else net.module(inputs)
    return choose_output(result, net.output_name)[1]


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    equal = a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    return equal or (a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all()))


def apart_by(a: torch.Tensor, b: torch.Tensor) -> str:
    return f"{(a - b).abs().max().item():.1e}" if a.shape == b.shape else f"{tuple(a.shape)} {tuple(b.shape)}"


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:400]


def line(record: dict[str, Any]) -> str:
    if not record["traced"]:
        return f"{record['name']}: NOT TRACED: {record['cause']}"
    bad = "".join(f"  NOT STITCHED {cut}: {why}" for cut, why in list(record["unstitched"].items())[:2])
    bad += f"  WRONG {len(record['wrong'])}: {record['cause']}" if record["wrong"] else ""
    return (
        f"{record['name']}: {record['layers']} layers, {record['cuts']} cuts, "
        f"{record['blocks_cut']}/{record['blocks']} blocks, "
        f"trace {record['trace_seconds']:.1f} s, {record['seconds']:.0f} s"
        f"{'' if record['unchanged'] else '  CHANGED'}{'' if record['finite'] else '  NOT FINITE'}{bad}"
    )


if __name__ == "__main__":
    main()
