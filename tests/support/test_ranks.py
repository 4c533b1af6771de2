"""Two processes that share one pass.

The numbers are those of one process, one of them writes, and no failure leaves the other waiting.
"""

import contextlib
import functools
import io
import json
import multiprocessing
import os
import re
import socket
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import TensorDataset

import modelstitch as ms
from modelstitch.errors import DataError, StitchError, StudyError
from modelstitch.moments.grid import MomentsGrid
from modelstitch.moments.moments import Moments
from modelstitch.moments.null import NullGrid
from others import CONTEXT
from pages import blocks

SUMS = ("mean_x", "mean_y", "xx", "yy", "xy")
ROWS = {"uneven": (1, 40, 7, 42), "one process has none": (90,), "even": (45, 45)}
FIT = {"batch_size": 48, "device": "cpu"}
LIMIT = 60.0  # seconds


@functools.cache
def net(seed, width):
    torch.manual_seed(seed)
    parts = [nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 4, 3, stride=2), nn.ReLU()]
    return ms.Network(nn.Sequential(*parts, nn.Flatten(), nn.Linear(36, 3)), torch.zeros(2, 1, 8, 8), f"n{seed}")


def nets():
    """Two networks of unlike widths, and data with an augmentation that draws from batch to batch."""
    x = torch.randn(360, 1, 8, 8, generator=torch.Generator().manual_seed(5)) + 20
    y = (x.mean((1, 2, 3)) > 20).long() + (x[:, 0, 0, 0] > 20)
    parts = [TensorDataset(x[a:b], y[a:b]) for a, b in ((0, 200), (200, 280), (280, 360))]
    return net(0, 6), net(1, 5), ms.Data(*parts, n_classes=3, augment=jitter)


def jitter(inputs, generator):
    return inputs + 0.1 * torch.randn(inputs.shape, generator=generator)


jitter.recipe = "noise of 0.1"


def rows():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(90, 4, generator=generator) + 1e3, torch.randn(90, 3, generator=generator)


def moments(sizes, rank=0, size=1):
    x, y = rows()
    found = Moments.empty(4, 3)
    for a, b in list(zip(x.split(sizes), y.split(sizes)))[rank::size]:
        found.update(a, b)
    return found


def grid(kind, sizes, rank=0, size=1):
    x, y = rows()
    found = kind({"a": 1, "b": 3}, {"c": 3}, **({"shuffles": 0} if kind is NullGrid else {}))
    for a, b in list(zip(x.split(sizes), y.split(sizes)))[rank::size]:
        found.update({"a": a[:, :1], "b": a[:, 1:]}, {"c": b})
    return found


def sums(found):
    return {name: getattr(found, name).tolist() for name in SUMS}


def shared_sums(folder):
    with ms.across_ranks() as ranks:
        found = {name: sums(moments(s, ranks.rank, 2).over(ranks)) for name, s in ROWS.items()}
        for kind in (MomentsGrid, NullGrid):
            mine = grid(kind, ROWS["uneven"], ranks.rank, 2)
            mine.gather(ranks)
            found[kind.__name__] = [mine.n, *(sums(mine.pair(layer, "c")) for layer in ("a", "b"))]
        found["nothing"] = Moments.empty(4, 3).over(ranks).n
    return found


def questions(folder, out=None):
    a, b, data = nets()
    stitched = ms.stitch(a, b, "0", data, objective="match", **FIT)
    controls = ("self", "random", "shuffled", "class-noise")
    compared = ms.compare(a, b, data, layers=["2"], objective="match", controls=controls, out=out, both=False, **FIT)
    crossed = ms.matrix(
        a, b, data, positions=7, layers=(["0", "2"], ["2"]), kept=folder / "sums" if out else None, **FIT
    )
    tables = [compared.frame, crossed.frame]
    return {
        "map": stitched.stitcher.weight.flatten().tolist(),
        "values": [t["value"].to_list() for t in tables],
    }


def shared_questions(folder):
    with ms.across_ranks() as ranks:
        out = folder / f"run-{ranks.rank}"
        found = [questions(folder, out), questions(folder, out)]  # again: from what is kept
    return {"found": found, "out": out.exists(), "sums": (folder / "sums").exists()}


def told(work, **options):
    """What is raised, and after how long."""
    begun = time.monotonic()
    try:
        with ms.across_ranks(**options):
            work()
    except Exception as error:
        return {"kind": type(error).__name__, "text": str(error), "seconds": time.monotonic() - begun}
    return None


def one_fails(folder):
    a, b, data = nets()
    if dist.get_rank() == 1:
        data.augment = broken
    return told(lambda: ms.stitch(a, b, "0", data, objective="match", **FIT))


def broken(inputs, generator):
    raise DataError("The disk is gone: expected samples.")


broken.recipe = "noise of 0.1"


def one_fails_before(folder):
    a, b, data = nets()
    at = "0" if dist.get_rank() == 0 else "nowhere"
    return told(lambda: ms.stitch(a, b, at, data, objective="match", **FIT))


def other_questions(folder):
    a, b, data = nets()
    return told(lambda: ms.stitch(a, b, "0", data, objective="match", seed=dist.get_rank(), **FIT))


def fitted(folder):
    a, b, data = nets()
    return told(lambda: ms.stitch(a, b, "0", data, steps=2, **FIT))


def moving(folder):
    a, b, data = nets()
    return told(lambda: ms.compare(a, b, data, objective="match", normalisation="recalibrated", **FIT))


def short_of_memory(folder):
    """One process that runs out of memory with its first batches: all halve them."""
    a, b, data = nets()
    if dist.get_rank() == 1:
        data.augment = greedy
    with ms.across_ranks():
        return [n for n in ms.stitch(a, b, "0", data, objective="match", **FIT).record.notes if "batch size" in n]


def greedy(inputs, generator):
    if len(inputs) == 48:
        raise MemoryError
    return jitter(inputs, generator)


greedy.recipe = jitter.recipe


def caught_by_both(folder):
    """A mistake that all make is told, and the next question is answered."""
    a, b, data = nets()
    with ms.across_ranks():
        with pytest.raises(StitchError, match="nowhere"):
            ms.stitch(a, b, "nowhere", data, objective="match", **FIT)
        return ms.stitch(a, b, "0", data, objective="match", **FIT).penalty


def one_leaves_early(folder):
    a, b, data = nets()
    return told(lambda: dist.get_rank() or ms.stitch(a, b, "0", data, objective="match", **FIT))


def one_is_late(folder):
    return told(lambda: time.sleep(3.0 * dist.get_rank()), seconds=1.0)


def one_never_enters(folder):
    if dist.get_rank() == 1:
        time.sleep(2.5)
        return None
    return told(lambda: None, seconds=1.0)


def one_is_killed(folder):
    a, b, data = nets()

    def work():
        if dist.get_rank() == 1:
            os._exit(9)
        ms.stitch(a, b, "0", data, objective="match", **FIT)

    return told(work)


def as_on_the_page(folder):
    """The program of the page on studies, as torchrun starts it."""
    (code,) = blocks("docs/studies.md", "python")
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as told:
        exec(compile(code, "pair.py", "exec"), {})
    return told.getvalue()


SCENES = (
    shared_sums,
    shared_questions,
    one_fails,
    one_fails_before,
    other_questions,
    fitted,
    moving,
    short_of_memory,
    caught_by_both,
    one_leaves_early,
    one_is_late,
    one_never_enters,
    one_is_killed,
)


def life(rank, folder, port):
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    (Path(folder) / f"page-{rank}.txt").write_text(as_on_the_page(folder))
    for scene in SCENES:
        dist.init_process_group("gloo", init_method=f"file://{folder}/{scene.__name__}.init", rank=rank, world_size=2)
        begun = time.monotonic()
        found = scene(Path(folder))
        (Path(folder) / f"{scene.__name__}-{rank}.json").write_text(json.dumps([found, time.monotonic() - begun]))
        dist.destroy_process_group()


def host(folder):
    """A fresh process that loads all once, and whose two children are the processes of the group."""
    nets()
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [context.Process(target=life, args=(rank, folder, port)) for rank in (0, 1)]
    for child in children:
        child.start()
    until = time.monotonic() + 2 * LIMIT
    for child in children:
        child.join(max(0.0, until - time.monotonic()))
        child.kill()


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """{scene: what the two processes found}."""
    folder = tmp_path_factory.mktemp("ranks")
    process = CONTEXT.Process(target=host, args=(str(folder),))
    process.start()
    process.join()
    found = {"folder": folder}
    for scene in SCENES:
        files = [folder / f"{scene.__name__}-{rank}.json" for rank in (0, 1)]
        found[scene.__name__] = [json.loads(f.read_text())[0] if f.exists() else None for f in files]
    return found


def close(found, wanted):
    torch.testing.assert_close(
        torch.tensor(found, dtype=torch.float64), torch.tensor(wanted, dtype=torch.float64), rtol=1e-10, atol=1e-10
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_sums_are_those_of_one_process(scenes, name):
    one = sums(moments(ROWS[name]))
    first, second = (found[name] for found in scenes["shared_sums"])
    assert first == second  # to the last bit
    for key in SUMS:
        close(first[key], one[key])


@pytest.mark.slow
@pytest.mark.parametrize("kind", [MomentsGrid, NullGrid])
def test_sums_of_all_pairs_are_those_of_one_process(scenes, kind):
    one = grid(kind, ROWS["uneven"])
    first, second = (found[kind.__name__] for found in scenes["shared_sums"])
    assert first == second
    assert first[0] == one.n == 90
    for found, layer in zip(first[1:], ("a", "b")):
        for key in SUMS:
            close(found[key], getattr(one.pair(layer, "c"), key).tolist())
    assert [found["nothing"] for found in scenes["shared_sums"]] == [0, 0]


@pytest.mark.slow
def test_answers_are_those_of_one_process_and_one_of_them_writes(scenes, tmp_path):
    wanted = questions(tmp_path)
    first, second = scenes["shared_questions"]
    for found in (*first["found"], *second["found"]):
        close(found["map"], wanted["map"])
        for values, others in zip(found["values"], wanted["values"], strict=True):
            close(values, others)
    assert (first["out"], second["out"], first["sums"]) == (True, False, True)


@pytest.mark.slow
def test_the_program_of_the_page_runs_as_written(scenes):
    first, second = ((scenes["folder"] / f"page-{rank}.txt").read_text() for rank in (0, 1))
    assert first.count("random") == 2
    assert second == ""
    assert len(list((scenes["folder"] / "runs" / "pair" / "cells").iterdir())) == 6


FAILURES = {
    "one_fails": (
        ("StitchError", "Process 1 of 2 failed: The disk is gone: expected samples."),
        ("DataError", "The disk is gone"),
    ),
    "one_fails_before": (("StitchError", "Process 1 of 2 failed: .*nowhere"), ("UnknownLayerError", "nowhere")),
    "other_questions": (
        ("StitchError", "Process 1 of 2 is asked for another comparison than process 0: expected the same networks"),
    )
    * 2,
    "fitted": (
        ("StudyError", "Processes share the sums of closed forms alone: expected objective='match', found 'task'"),
    )
    * 2,
    "moving": (("StudyError", "expected normalisation='frozen', found 'recalibrated'"),) * 2,
    "one_leaves_early": (
        ("StitchError", "Process 1 of 2 is at 'the end', process 0 at '.*': expected the same calls in the same order"),
        ("StitchError", "Process 0 of 2 is at '.*', process 1 at 'the end'"),
    ),
    "one_is_late": (("StitchError", "Another process of the 2 has gone, or gave no word for 1 seconds"),) * 2,
    "one_never_enters": (("StitchError", "Another process of the 2 has gone, or gave no word for 1 seconds"), None),
    "one_is_killed": (
        ("StitchError", r"Another process of the 2 has gone, .* see what it says, and start all again\."),
        None,
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_told_to_all_and_nobody_waits(scenes, name):
    for found, wanted in zip(scenes[name], FAILURES[name], strict=True):
        if wanted is None:
            assert found is None
            continue
        assert found["kind"] == wanted[0], found
        assert re.search(wanted[1], found["text"]), found["text"]
        assert "\n" not in found["text"]
        assert found["seconds"] < LIMIT


def test_where_memory_runs_out_on_one_all_take_smaller_batches(scenes):
    first, second = scenes["short_of_memory"]
    assert first == second == ["batch size 24 instead of 48: memory ran out"]


def test_a_mistake_of_all_ends_nothing(scenes):
    first, second = scenes["caught_by_both"]
    assert first == second


def test_without_a_group_it_is_refused():
    with (
        pytest.raises(
            StitchError, match=r"expected an initialised group of torch\.distributed; call init_process_group"
        ),
        ms.across_ranks(),
    ):
        pass


def test_engines_of_their_own_are_refused(monkeypatch):
    from modelstitch.study import run
    from modelstitch.support import ranks

    monkeypatch.setattr(run, "current", lambda: object())
    assert ranks.current() is None
    with pytest.raises(StudyError, match="need no engine beside: expected engine='local'"):
        run.run(None, engine=lambda *args: iter(()))
