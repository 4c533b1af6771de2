"""Adapters: what goes in and comes out, in words too, and what is refused."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from modelstitch.errors import ShapeError
from modelstitch.stitchers import Adapter, Layout, rows
from modelstitch.stitchers.adapters import resize


def sample(shape, n=2):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(len(shape)))


def adapter_of(source, target):
    return Adapter(Layout(*source), Layout(*target))


def apply(source, target):
    x = sample(source[1])
    adapter = adapter_of(source, target)
    assert not list(adapter.parameters())
    return x, adapter(x), adapter.describe()


MAP, GRID, TOKENS, VECTOR = ("map", (3, 4, 4)), ("grid", (4, 4, 3)), ("tokens", (16, 3)), ("vector", (3,))
SEQUENCE = ("sequence", (3, 16))
CLASS = ("tokens", (17, 3))
AS_MAP = {
    "map": lambda x: x,
    "grid": lambda x: x.movedim(-1, 1),
    "tokens": lambda x: x.movedim(-1, 1).unflatten(2, (4, 4)),
    "sequence": lambda x: x.unflatten(2, (4, 4)),
}


@pytest.mark.parametrize("source", [MAP, GRID, TOKENS, SEQUENCE])
@pytest.mark.parametrize("target", [MAP, GRID, TOKENS, SEQUENCE])
def test_layouts_of_one_grid_hold_the_same_values(source, target):
    x, out, words = apply(source, target)
    assert out.shape[1:] == target[1]
    torch.testing.assert_close(AS_MAP[target[0]](out), AS_MAP[source[0]](x), atol=0, rtol=0)
    assert words == ("none" if source == target else f"{source[0]} to {target[0]}")


@pytest.mark.parametrize("kind", [MAP, GRID, TOKENS, SEQUENCE, VECTOR])
def test_nothing_to_do_returns_the_tensor_itself(kind):
    x, out, words = apply(kind, (kind[0], kind[1]))
    assert out is x
    assert words == "none"


def test_channels_need_not_agree():
    assert adapter_of(("map", (5, 4, 4)), ("map", (9, 4, 4))).plain


@pytest.mark.parametrize("source", [MAP, GRID, TOKENS, SEQUENCE])
def test_a_vector_is_the_mean_over_positions(source):
    x, out, words = apply(source, VECTOR)
    torch.testing.assert_close(out, AS_MAP[source[0]](x).mean((2, 3)))
    assert words == f"mean over the positions of {source[0]} {source[1]}"


@pytest.mark.parametrize("target", [MAP, GRID, TOKENS, SEQUENCE])
def test_a_vector_is_repeated_at_every_position(target):
    x, out, words = apply(VECTOR, target)
    assert out.shape[1:] == target[1]
    torch.testing.assert_close(rows(out, target[0]), x.repeat_interleave(16, 0), atol=0, rtol=0)
    assert words == f"vector repeated at every position of {target[0]} {target[1]}"


def test_shrinking_averages_areas_and_growing_interpolates():
    x, small, words = apply(("map", (3, 8, 8)), MAP)
    torch.testing.assert_close(small, F.avg_pool2d(x, 2))
    assert words == "resize 8x8 to 4x4 (area down, bilinear up)"
    x, large, _ = apply(MAP, ("map", (3, 8, 8)))
    torch.testing.assert_close(large, F.interpolate(x, size=(8, 8), mode="bilinear", align_corners=False))
    assert resize(x, (4, 4)) is x


def test_a_missing_class_token_is_the_mean_of_the_positions():
    x, out, words = apply(TOKENS, CLASS)
    torch.testing.assert_close(out[:, 1:], x, atol=0, rtol=0)
    torch.testing.assert_close(out[:, 0], x.mean(1))
    assert words == "prefix tokens 0 to 1 (missing ones: mean of the positions)"
    _, out, words = apply(("map", (3, 8, 8)), CLASS)
    assert out.shape[1:] == CLASS[1]
    assert words == (
        "map to tokens, resize 8x8 to 4x4 (area down, bilinear up), prefix tokens 0 to 1 (missing ones: mean of the "
        "positions)"
    )


def test_prefix_tokens_are_kept_in_order_dropped_and_doubled():
    registers = ("tokens", (16 + 5, 3))
    x, out, _ = apply(CLASS, registers)
    torch.testing.assert_close(out[:, 5:], x[:, 1:], atol=0, rtol=0)
    for i in range(5):  # the class token stands in for registers that it lacks
        torch.testing.assert_close(out[:, i], x[:, 0], atol=0, rtol=0)
    x, out, _ = apply(registers, CLASS)
    torch.testing.assert_close(out[:, 0], x[:, 0], atol=0, rtol=0)
    torch.testing.assert_close(out[:, 1:], x[:, 5:], atol=0, rtol=0)
    _, out, _ = apply(CLASS, MAP)
    assert out.shape[1:] == MAP[1]


def test_tokens_between_patch_sizes():
    x, out, words = apply(("tokens", (65, 3)), CLASS)
    torch.testing.assert_close(out[:, 0], x[:, 0], atol=0, rtol=0)
    grid = x[:, 1:].movedim(-1, 1).unflatten(2, (8, 8))
    torch.testing.assert_close(out[:, 1:], F.avg_pool2d(grid, 2).flatten(2).movedim(1, -1))
    assert words == "resize 8x8 to 4x4 (area down, bilinear up)"


@pytest.mark.parametrize(("length", "prefix"), [(128, 0), (129, 1), (32, 0)])
def test_tokens_take_the_aspect_of_the_map_beside_them(length, prefix):
    adapter = adapter_of(("map", (3, 8, 16)), ("tokens", (length, 3)))
    assert adapter.prefix_out == prefix
    assert adapter.grid_out[0] * 2 == adapter.grid_out[1]
    assert adapter(sample((3, 8, 16))).shape == (2, length, 3)


def on_line(kind, *shape):
    return (kind, shape, "line")


@pytest.mark.parametrize("source", ["sequence", "tokens"])
@pytest.mark.parametrize("target", ["sequence", "tokens"])
def test_along_a_line_lengths_are_resized_as_a_line(source, target):
    def order(kind, length):
        return (3, length) if kind == "sequence" else (length, 3)

    x, out, words = apply(on_line(source, *order(source, 8)), on_line(target, *order(target, 4)))
    flat, found = (v if kind == "sequence" else v.transpose(1, 2) for v, kind in ((x, source), (out, target)))
    torch.testing.assert_close(found, F.avg_pool1d(flat, 2))
    assert words.endswith("resize 8 to 4 (area down, linear up)")
    x, out, _ = apply(on_line(source, *order(source, 4)), on_line(target, *order(target, 9)))
    flat, found = (v if kind == "sequence" else v.transpose(1, 2) for v, kind in ((x, source), (out, target)))
    torch.testing.assert_close(found, F.interpolate(flat, size=9, mode="linear", align_corners=False))


@pytest.mark.parametrize("over", ["text", "line", "image", ""])
def test_a_sequence_and_as_many_tokens_hold_the_same_values(over):
    x, out, words = apply(("sequence", (3, 17), over), ("tokens", (17, 3), over))
    torch.testing.assert_close(out, x.transpose(1, 2), atol=0, rtol=0)
    assert words == "sequence to tokens"


def test_a_mask_is_about_the_positions_of_a_sequence_too():
    mask = torch.tensor([[True, True, False], [True, False, False]])
    x = sample((5, 3))
    torch.testing.assert_close(rows(x, "sequence", mask), x.transpose(1, 2)[mask])
    out = adapter_of(("sequence", (5, 3)), ("vector", (5,)))(x, mask)
    torch.testing.assert_close(out, torch.stack([x[0, :, :2].mean(1), x[1, :, 0]]))


REFUSED = [
    (("tokens", (5, 3), "text"), ("tokens", (10, 3), "text"), "Sequences of 5 and 10 tokens cannot meet"),
    (("tokens", (5, 3), ""), ("sequence", (3, 10), ""), "Sequences of 5 and 10 tokens cannot meet"),
    (
        on_line("sequence", 3, 16),
        MAP,
        r"A sequence of 16 tokens and map \(3, 4, 4\) cannot meet: expected tokens on a grid",
    ),
    (on_line("tokens", 16, 3), ("tokens", (17, 3)), r"A sequence of 16 tokens and tokens \(17, 3\) cannot meet"),
    (
        ("other", (2, 3, 4, 5)),
        MAP,
        r"An activation of shape \(2, 3, 4, 5\) cannot be stitched: expected a map, a sequence",
    ),
    (("tokens", (77, 3)), ("tokens", (78, 3)), "Sequences of 77 and 78 tokens cannot meet: expected the same length"),
    (("tokens", (77, 3)), MAP, r"A sequence of 77 tokens and map \(3, 4, 4\) cannot meet: expected tokens on a grid"),
    (MAP, ("tokens", (77, 3)), "at most 8 prefix tokens; choose a layer behind the pooling"),
    (("tokens", (77, 3)), CLASS, "A sequence of 77 tokens and tokens"),
]


@pytest.mark.parametrize(("source", "target", "message"), REFUSED)
def test_refusals(source, target, message):
    with pytest.raises(ShapeError, match=message):
        adapter_of(source, target)


def test_sequences_of_one_length_need_no_grid():
    assert adapter_of(("tokens", (77, 3)), ("tokens", (77, 5))).plain


def test_gradients_pass():
    x = sample((65, 3)).requires_grad_()
    adapter_of(("tokens", (65, 3)), ("map", (3, 4, 4)))(x).sum().backward()
    assert x.grad is not None
    assert bool((x.grad[:, 1:] != 0).all())


@pytest.mark.parametrize("kind", [MAP, GRID, TOKENS, SEQUENCE, VECTOR])
def test_rows_hold_one_position_each(kind):
    x = sample(kind[1])
    found = rows(x, kind[0])
    assert found.shape == (x.numel() // 3, 3)
    channel = x[:, 1] if kind[0] in ("map", "sequence") else x[..., 1]
    torch.testing.assert_close(found[:, 1], channel.flatten(), atol=0, rtol=0)
