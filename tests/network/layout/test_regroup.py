"""Channels on several axes, and together again."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modelstitch.network.layout.regroup import contracted, reduced, reshaped

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
