"""Memory while fitting, measured: bytes of all tensors alive at once, beside the donors."""

import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from conftest import Small
from modelstitch import Data, Network, StitchError, compare, stitch
from modelstitch.data.batch import Batch
from modelstitch.engine.fit.memory import Samples, chunks, solved_bytes, stream_bytes, tiles

WIDE = ["stem", "block1"]  # before the pool: their streams hold the most
LAYERS = [*WIDE, "pool", "block2", "block3"]
QUICK = {"controls": (), "both": False, "steps": 3, "eval_every": 3, "batch_size": 100, "device": "cpu"}


class Live(TorchDispatchMode):
    """Adds up the storages that operations make, until each is freed; the most that were alive at once is ``peak``."""

    def __init__(self):
        super().__init__()
        self.sizes, self.now, self.peak = {}, 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor):
                storage = value.untyped_storage()
                key = storage._cdata
                if key not in self.sizes:
                    self.sizes[key] = storage.nbytes()
                    self.now += storage.nbytes()
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self.freed, key)
        return result

    def freed(self, key):
        self.now -= self.sizes.pop(key, 0)


def peak(networks, data, layers, memory):
    with Live() as live:
        compare(*networks, data, layers=layers, memory=memory, **QUICK)
    return live.peak


@pytest.fixture(scope="module")
def networks():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return [Network(Small(24).eval(), torch.zeros(2, 1, 8, 8), name) for name in ("a", "b")]


@pytest.fixture(scope="module")
def few(digits):
    """Of each split more than the largest batch, 200."""
    sizes = {"fit": 400, "val": 240, "test": 400}
    batches = [next(digits.batches(split, n)) for split, n in sizes.items()]
    return Data(*((batch.inputs, batch.labels) for batch in batches), name="few")


@pytest.mark.slow
def test_the_budget_sets_how_many_streams_are_in_flight(networks, few):
    alone = max(peak(networks, few, [layer], 1e-9) for layer in WIDE)
    one_by_one = peak(networks, few, LAYERS, 1e-9)
    together = peak(networks, few, LAYERS, 1.0)
    stated = sum(stream_bytes(networks[0].layer(n), networks[1].layer(n), QUICK["batch_size"]) for n in LAYERS)
    assert one_by_one <= 1.25 * alone, "a budget for one stream: no more than the largest stream takes by itself"
    assert together > 1.1 * one_by_one, "a large budget: all streams at once"
    room = alone + stated + _validation(networks, few) + _side_by_side(networks)
    assert together <= room, "and no more than what is stated for them"


def _validation(networks, data):
    """Bytes of bottom activations of the validation split, kept where the budget has room for them."""
    return sum(4 * data.size("val") * torch.Size(networks[0].layer(n).shape).numel() for n in LAYERS)


def _side_by_side(networks):
    """Bytes of a measuring batch of all streams in one run through the top.

    Its widest activation, once in and once out.
    """
    widest = max(torch.Size(layer.shape).numel() for layer in networks[1].layers.values())
    return 2 * 4 * len(LAYERS) * 2 * QUICK["batch_size"] * widest


def test_streams_are_cut_into_chunks_that_fit():
    assert [list(part) for part in chunks([3, 3, 3, 9, 1], 6)] == [[0, 1], [2], [3], [4]]
    assert [list(part) for part in chunks([3, 3], None)] == [[0, 1]]


class Wide:
    def __init__(self, name, channels=2048, dtype=torch.float32):
        self.name, self.channels, self.dtype = name, channels, dtype


def grid(n, families=1, dtype=torch.float32):
    return [
        (Wide(f"b{b}", dtype=dtype), Wide(f"t{t}", dtype=dtype))
        for b in range(n)
        for t in range(n)
        for _ in range(families)
    ]


def test_closed_forms_come_in_blocks_of_layers_by_layers():
    seams = grid(4)
    assert tiles(seams, 10**6, 10**12) == [list(range(16))]
    budget = solved_bytes([seams[i] for i in (0, 1, 4, 5)], 10**6)
    assert tiles(seams, 10**6, budget) == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    assert tiles(seams, 10**6, 1) == [[i] for i in range(16)]
    assert tiles(grid(1, families=2), 10**6, 1) == [[0], [1]]
    diagonal = [seams[i] for i in (0, 5, 10, 15)]
    assert tiles(diagonal, 10**6, solved_bytes(diagonal[:2], 10**6)) == [[0, 1], [2, 3]]


def test_layers_that_meet_in_a_block_share_their_sums_and_few_rows_take_less():
    p = 2048
    one = 8 * p * p * (4 + 4 + 2 + 1) + 4 * (p + 1) * p
    assert solved_bytes(grid(1), 10**6) == one
    assert solved_bytes(grid(4), 10**6) < 0.6 * 16 * one
    assert solved_bytes(grid(4), 100) < 0.8 * solved_bytes(grid(4), 10**6)


def test_stitches_in_half_precision_have_sums_of_their_own_output():
    more = solved_bytes(grid(4, dtype=torch.bfloat16), 10**6) - solved_bytes(grid(4), 10**6)
    assert more == 8 * 2048**2 * (2 * 16 + 4 - (16 + 8))


def test_sums_in_single_precision_take_less_and_make_larger_blocks():
    seams = grid(4)
    less = solved_bytes(seams, 10**6) - solved_bytes(seams, 10**6, "float32")
    assert less == 4 * 2048**2 * (8 + 16)
    budget = solved_bytes(seams, 10**6, "float32")
    assert [len(tiles(seams, 10**6, budget, sums)) for sums in ("float64", "float32")] == [4, 1]


@pytest.mark.slow
def test_the_results_do_not_depend_on_the_budget(networks, few):
    small, large = (compare(*networks, few, layers=LAYERS[2:], memory=m, **QUICK) for m in (1e-9, 1.0))
    for one, other in zip(small.records, large.records, strict=True):
        assert one["cell"] == other["cell"]
        assert one["metrics"][:3] == other["metrics"][:3]


def test_a_budget_of_nothing_is_refused(networks, digits):
    with pytest.raises(StitchError, match="memory budget 0 cannot be kept: expected gigabytes above 0"):
        compare(*networks, digits, memory=0, **QUICK)


@pytest.mark.parametrize(("budget", "calls"), [(10**6, 2), (100, 4)])
def test_activations_are_kept_where_they_fit_the_budget(budget, calls):
    asked = []

    def send(batch):
        asked.append(batch)
        return {"x": batch.inputs * 2}

    sender = Samples(send, 8, budget)
    inputs = torch.arange(32.0).view(8, 4)
    for _ in range(2):
        for ids in (torch.tensor([3, 1, 5, 0]), torch.tensor([2, 4, 7, 6])):
            found = sender(Batch(ids, inputs[ids], ids))
            assert torch.equal(found["x"], 2 * inputs[ids])
    assert len(asked) == calls


@pytest.mark.slow
def test_a_fit_with_kept_activations_is_the_same_fit(networks, few):
    options = {**QUICK, "steps": 24, "eval_every": 8, "augment": False, "layers": ["block2"]}
    fresh, kept = (compare(*networks, few, cache=cache, **options).records[0] for cache in (0.0, 1.0))
    for (_, error, loss), (_, other_error, other_loss) in zip(fresh["history"], kept["history"], strict=True):
        assert abs(error - other_error) <= 1.0
        assert loss == pytest.approx(other_loss, rel=1e-3)


@pytest.mark.slow
def test_a_cache_that_is_too_small_says_so(networks, few):
    options = {**QUICK, "augment": False, "layers": ["block2"], "controls": ()}
    for cache, noted in ((1e-6, 1), (1.0, 0)):
        notes = compare(*networks, few, cache=cache, **options).records[0]["notes"]
        found = [n for n in notes if "more than cache=1e-06: none were kept" in n]
        assert len(found) == noted, notes


class Maps(torch.utils.data.Dataset):
    """Images and a class for each of their pixels, made when they are read."""

    def __init__(self, shift, n):
        images = np.random.default_rng(shift).normal(size=(64, 1, 8, 8)).astype("float32")
        self.images, self.shift, self.n = images, shift, n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        x = self.images[i % 64] + np.float32(i / 10_000)
        return x, (x[0] > 0).astype("int64")


@pytest.mark.slow
def test_maps_of_classes_are_streamed():
    """Twice the data take a few numbers a sample more: those of its errors and of the pixels of each class."""
    nets = []
    for seed in (0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
        nets.append(Network(module.eval(), torch.zeros(2, 1, 8, 8), f"net{seed}"))
    peaks, sizes = [], (1040, 2080)  # two of the largest batches, and four
    for n in sizes:
        data = Data(Maps(0, n), Maps(3000, 40), Maps(6000, n), task="dense", name="maps")
        with Live() as live:
            stitch(*nets, "1", data, objective="match", batch_size=32, device="cpu")
        peaks.append(live.peak)
    assert (peaks[1] - peaks[0]) / (sizes[1] - sizes[0]) < 200  # bytes; an image and its map take 768
