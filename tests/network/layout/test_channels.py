"""The kind of a layer follows from the operations that made it, not from its sizes; channels apart, and together."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from modelstitch import Network
from modelstitch.network.layout.channels import contracted, reduced, reshaped
from network.shapes import Do, Steps


class Plus(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


class Both(nn.Module):
    """Two readers of one value, their means added."""

    def __init__(self, one, other):
        super().__init__()
        self.one, self.other = one, other

    def forward(self, x):
        return self.one(x).mean(2) + self.other(x).mean(1)


def swap(x):
    return x.transpose(1, 2)


IMAGE, SEQUENCE = (2, 8, 8, 8), (2, 5, 8)
CASES = {
    "a map of another aspect than the image": (IMAGE, [nn.Conv2d(8, 6, 3, stride=(2, 1), padding=1), nn.ReLU()], "map"),
    "channels last, as many as rows": (IMAGE, [lambda x: x.permute(0, 2, 3, 1), nn.Linear(8, 8), nn.GELU()], "grid"),
    "a convolution over time": (SEQUENCE, [nn.Conv1d(5, 12, 3), nn.BatchNorm1d(12), nn.ReLU()], "sequence"),
    "it, transposed": (SEQUENCE, [nn.Conv1d(5, 12, 3), nn.ReLU(), swap], "tokens"),
    "square, axes swapped": (SEQUENCE, [nn.Conv1d(5, 8, 1), lambda x: x.swapaxes(1, 2), nn.ReLU()], "tokens"),
    "square, moved": (SEQUENCE, [nn.Conv1d(5, 8, 1), lambda x: x.movedim(1, 2), nn.ReLU()], "tokens"),
    "square, transposed as matrices": (SEQUENCE, [nn.Conv1d(5, 8, 1), lambda x: x.mT, nn.ReLU()], "tokens"),
    "a map, moved": (IMAGE, [nn.Conv2d(8, 8, 1), lambda x: x.moveaxis(1, -1), nn.ReLU()], "grid"),
    "a gated half": (SEQUENCE, [nn.Conv1d(5, 12, 1), nn.GLU(1)], "sequence"),
    "resized": (SEQUENCE, [nn.Conv1d(5, 12, 1), nn.Upsample(scale_factor=2, mode="linear")], "sequence"),
    "every place twice": (SEQUENCE, [nn.Conv1d(5, 12, 1), lambda x: x.repeat_interleave(2, 2)], "sequence"),
    "a part": (SEQUENCE, [nn.Conv1d(5, 12, 1), lambda x: x.narrow(2, 1, 4)], "sequence"),
    "the largest four": (SEQUENCE, [nn.Conv1d(5, 12, 1), lambda x: x.topk(4, 2).values], "sequence"),
    "the larger of two channels": (SEQUENCE, [nn.Conv1d(5, 12, 1), lambda x: x.view(-1, 6, 2, 8).amax(2)], "sequence"),
    "the larger of two, with its place": (
        SEQUENCE,
        [nn.Conv1d(5, 12, 1), lambda x: x.view(-1, 6, 2, 8).max(2).values],
        "sequence",
    ),
    "the largest moment": (IMAGE, [nn.Conv2d(8, 6, 3), lambda x: x.max(3).values], "sequence"),
    "channels shuffled": (
        SEQUENCE,
        [nn.Conv1d(5, 12, 1), lambda x: x.unflatten(1, (2, 6)).transpose(1, 2).flatten(1, 2)],
        "sequence",
    ),
    "channels and time mixed": (
        SEQUENCE,
        [nn.Conv1d(5, 12, 1), lambda x: x.view(-1, 2, 6, 8).mT.reshape(-1, 12, 8)],
        "other",
    ),
    "heads weighed and together again": (
        SEQUENCE,
        [nn.Linear(8, 12), lambda x: x.unflatten(2, (3, 4)).transpose(1, 2).softmax(3).transpose(1, 2).flatten(2)],
        "tokens",
    ),
    "channels of a map shuffled": (IMAGE, [nn.Conv2d(8, 12, 1), nn.ChannelShuffle(2)], "map"),
    "an equation": (SEQUENCE, [nn.Conv1d(5, 8, 1), lambda x: torch.einsum("bct->btc", x)], "tokens"),
    "weights in an equation": (
        SEQUENCE,
        [nn.Conv1d(5, 8, 1), lambda x: torch.einsum("bct,cd->btd", x, torch.ones(8, 6))],
        "tokens",
    ),
    "an equation over time": (
        SEQUENCE,
        [nn.Conv1d(5, 8, 1), lambda x: torch.einsum("bct,ts->bcs", x, torch.ones(8, 6))],
        "sequence",
    ),
    "an equation between samples' own values": (
        SEQUENCE,
        [nn.Conv1d(5, 8, 1), lambda x: torch.einsum("bct,bcs->bts", x, x)],
        "other",
    ),
    "pooled over one axis": (IMAGE, [nn.Conv2d(8, 6, 3), lambda x: x.mean(2)], "sequence"),
    "one number a place": (IMAGE, [nn.Conv2d(8, 6, 3), lambda x: x.mean(1)], "other"),
    "pooled over one axis, transposed": (IMAGE, [nn.Conv2d(8, 6, 3), lambda x: x.mean(2), swap], "tokens"),
    "patches": (IMAGE, [nn.Conv2d(8, 6, 2, stride=2), lambda x: x.flatten(2).transpose(1, 2)], "tokens"),
    "patches and attention": (
        IMAGE,
        [nn.Conv2d(8, 8, 2, stride=2), lambda x: x.flatten(2).transpose(1, 2), Plus(nn.LayerNorm(8), nn.Linear(8, 8))],
        "tokens",
    ),
    "tokens folded into a map": (SEQUENCE, [nn.Linear(8, 4), lambda x: x.transpose(1, 2).reshape(-1, 4, 1, 5)], "map"),
    "a residual branch over positions": (
        SEQUENCE,
        [nn.Linear(8, 8), Plus(Do(swap), nn.Linear(5, 5), Do(swap))],
        "tokens",
    ),
    "two halves beside each other": (IMAGE, [nn.Conv2d(8, 6, 1), lambda x: torch.cat(x.chunk(2, 1)[::-1], 1)], "map"),
    "a layer norm over channels, height and width": (
        IMAGE,
        [nn.Conv2d(8, 6, 1), nn.LayerNorm([6, 8, 8]), nn.ReLU()],
        "map",
    ),
    "a layer norm over height and width": (IMAGE, [nn.Conv2d(8, 6, 1), nn.LayerNorm([8, 8])], "map"),
    "a root mean square norm over all": (SEQUENCE, [nn.Conv1d(5, 6, 1), nn.RMSNorm([6, 8])], "sequence"),
    "a layer norm along time": (SEQUENCE, [nn.Conv1d(5, 6, 1), nn.LayerNorm(8)], "sequence"),
    "a layer along time": (SEQUENCE, [nn.Conv1d(5, 6, 1), nn.Linear(8, 4), nn.ReLU()], "sequence"),
    "a layer along the width": (IMAGE, [nn.Conv2d(8, 6, 1), nn.Linear(8, 7)], "map"),
    "a layer over tokens": (IMAGE, [nn.Conv2d(8, 6, 1), lambda x: x.flatten(2), nn.Linear(64, 5), swap], "tokens"),
    "padded before anything reads it": (
        SEQUENCE,
        [nn.ReLU(), nn.ReflectionPad1d(1), (nn.Conv1d(5, 6, 1),)],
        "sequence",
    ),
    "a vector unfolded for a convolution": (
        (2, 8),
        [nn.Linear(8, 12), nn.Unflatten(1, (4, 3)), nn.ReLU(), (nn.ConvTranspose1d(4, 2, 2),)],
        "sequence",
    ),
    "read by two that disagree": (SEQUENCE, [nn.ReLU(), (Both(nn.Conv1d(5, 4, 1), nn.Linear(8, 4)),)], "tokens"),
    "a recurrent kernel": (SEQUENCE, [nn.LSTM(8, 4, batch_first=True), lambda x: x[0]], "tokens"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_channels_are_where_the_operations_put_them(name):
    """The last layer's; steps in brackets read it."""
    shape, steps, kind = CASES[name]
    readers = [step for step in steps if isinstance(step, tuple)]
    steps = [*steps[: len(steps) - len(readers)], *(step for (step,) in readers)]
    module = Steps(*steps).eval()
    example = torch.zeros(shape)
    module(example)
    network = Network(module, example)
    last = f"steps.{len(steps) - 1 - len(readers)}"
    assert network.layer(last).kind == kind
    if kind == "other":
        assert last not in network.blocks


RESHAPES = {
    "taken apart": ((4, 12, 8), (4, 2, 6, 8), (1,), (1, 2)),
    "together": ((4, 2, 6, 8), (4, 12, 8), (1, 2), (1,)),
    "in other pieces": ((4, 2, 6, 8), (4, 3, 4, 8), (1, 2), (1, 2)),
    "behind": ((4, 8, 12), (4, 8, 3, 4), (2,), (2, 3)),
    "with time": ((4, 2, 6, 8), (4, 2, 48), (1, 2), None),
    "with the batch": ((4, 2, 6, 8), (8, 6, 8), (1, 2), None),
    "not neighbours": ((4, 2, 8, 6), (4, 12, 8), (1, 3), None),
}


@pytest.mark.parametrize("name", RESHAPES)
def test_reshaped(name):
    old, new, held, expected = RESHAPES[name]
    assert reshaped(old, new, held) == expected


@pytest.mark.parametrize(
    ("held", "gone", "kept", "expected"),
    [
        ((1, 2), [2], False, (1,)),
        ((1, 2), [1], False, (1,)),
        ((2, 3), [1], False, (1, 2)),
        ((1, 2), [1], True, (2,)),
        ((1, 2), [1, 2], False, None),
    ],
)
def test_reduced(held, gone, kept, expected):
    assert reduced(held, gone, kept=kept) == expected


EQUATIONS = {
    "transposed": ("bct->btc", [(1,)], (2,)),
    "weights": ("bnd,de->bne", [(2,), None], (2,)),
    "weights first": ("ed,bnd->bne", [None, (2,)], (2,)),
    "into heads": ("bnd,dhk->bnhk", [(2,), None], (2, 3)),
    "out of heads": ("bnhk,hkd->bnd", [(2, 3), None], (2,)),
    "no result named": ("bnd,de", [(2,), None], (1,)),  # letters in alphabetical order: ben
    "mixed over tokens": ("bnd,nm->bmd", [(2,), None], (2,)),
    "scores": ("bnd,bmd->bnm", [(2,), (2,)], None),
    "values": ("bnm,bmd->bnd", [None, (2,)], (2,)),
    "summed": ("bnd->bn", [(2,)], None),
    "one number": ("bnd->", [(2,)], None),
    "not known": ("bnd,de->bne", [None, None], None),
    "dots": ("...d,de->...e", [(2,), None], None),
}


@pytest.mark.parametrize("name", EQUATIONS)
def test_contracted(name):
    equation, operands, expected = EQUATIONS[name]
    assert contracted(equation, operands) == expected


@given(st.lists(st.sampled_from([1, 2, 3]), min_size=3, max_size=5), st.data())
def test_what_is_said_to_hold_the_channels_does(sizes, data):
    """Mark every place by its channel; after a reshape that is followed the mark depends on the named axes alone."""
    first = data.draw(st.integers(1, len(sizes) - 1))
    last = data.draw(st.integers(first, len(sizes) - 1))
    held = tuple(range(first, last + 1))
    merged = [*sizes[:first], int(torch.tensor(sizes[first : last + 1]).prod()), *sizes[last + 1 :]]
    new = data.draw(st.sampled_from([merged, sizes]))
    old = sizes if new is merged else merged
    was = held if new is merged else (first,)
    count = merged[first]
    marks = torch.arange(count).view([count if a == first else 1 for a in range(len(merged))]).expand(merged)
    found = reshaped(old, new, was)
    assert found is not None
    value = marks.reshape(old).reshape(new)
    others = [axis for axis in range(len(new)) if axis not in found]
    assert all(torch.equal(value, value.roll(1, axis)) for axis in others)
