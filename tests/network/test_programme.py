"""A part of a network as plain values and back: the same numbers; nothing but listed operations is ever looked up."""

import json

import pytest
import torch
from torch import nn

from conftest import Small
from modelstitch import Network
from modelstitch.errors import NetworkError
from modelstitch.network.programme import OPERATIONS, ForeignError, part_of, plain_part


class Attention(nn.Module):
    """Reads ids and a mask by keyword, in a nested form; the mask goes past the cut."""

    def __init__(self):
        super().__init__()
        self.embed, self.block = nn.Embedding(11, 8), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight  # tied

    def forward(self, ids, rest):
        mask, scale, flags = rest["mask"], rest["scale"], rest["flags"]
        x = self.block(self.embed(ids) * scale, src_key_padding_mask=mask == 0)
        return self.head(x[:, -1] if flags[0] else x[:, 0]) + torch.where(mask[:, :1] > 0, 0.0, float("-inf")) * 0


class Sizes(nn.Module):
    """Computes with its batch size, with numpy-like indices, slices, and a part in another layout of memory."""

    def __init__(self):
        super().__init__()
        self.conv, self.register = nn.Conv2d(1, 4, 3), nn.ParameterDict({"a-b": torch.randn(4)})
        self.register_buffer("order", torch.randperm(4))
        self.out = nn.Linear(4, 3)

    def forward(self, x):
        n = x.shape[0]
        x = self.conv(x)[:, self.order, ::2] + self.register["a-b"][None, :, None, None]
        ones = torch.ones(n, 4, dtype=x.dtype)
        return self.out(x.flatten(2).amax(2) + ones.clamp(max=float("inf")) / n)


def network(kind):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        if kind == "attention":
            rest = {"mask": torch.ones(2, 5, dtype=torch.int64), "scale": torch.tensor(2.0), "flags": [True, 3]}
            return Network(Attention().eval(), {"ids": torch.randint(11, (2, 5)), "rest": rest}, kind)
        module = {"small": lambda: Small(6), "sizes": Sizes}[kind]().eval().to(memory_format=torch.channels_last)
        return Network(module, torch.randn(2, 1, 8, 8), kind)


def inputs(kind, n=3):
    if kind != "attention":
        return torch.randn(n, 1, 8, 8)
    return {
        "ids": torch.randint(11, (n, 5)),
        "rest": {"mask": torch.ones(n, 5, dtype=torch.int64), "scale": torch.tensor(2.0), "flags": [True, 3]},
    }


def there_and_back(part):
    values, tensors = plain_part(part)
    return part_of(json.loads(json.dumps(values, allow_nan=False)), tensors)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["small", "sizes", "attention"])
def test_a_part_computes_the_same_bit_for_bit(kind):
    net = network(kind)
    for cut in net.cuts:
        x, below, above = inputs(kind), net.bottom(cut), net.top(cut)
        again, later = there_and_back(below), there_and_back(above)
        activation = below(x)
        assert torch.equal(again(x), activation)
        assert later.needs_input == above.needs_input
        assert torch.equal(later(activation, x), above(activation, x))
        assert not any(p.requires_grad for p in (*again.parameters(), *later.parameters()))
    with pytest.raises(NetworkError, match=r"another structure|cannot take its input|is called with"):
        again(torch.zeros(2, 7, 5, 5))


@pytest.mark.slow
def test_the_memory_of_weights_is_theirs_and_a_tied_weight_is_kept_once():
    part = network("small").bottom("stem.0")
    (weight,) = [p for p in there_and_back(part).parameters() if p.ndim == 4]
    assert weight.stride() == next(p for p in part.parameters() if p.ndim == 4).stride()
    values, tensors = plain_part(network("attention").full())
    assert len({id(t) for t in tensors.values()}) == len(tensors)
    tied = [name for name, (key, *_) in values["weights"].items() if key in ("embed.weight", "head.weight")]
    assert (
        sum(key in tensors for key in ("embed.weight", "head.weight"))
        == 1
        == len({values["weights"][n][0] for n in tied})
    )


def changed(values, path, by):
    values = json.loads(json.dumps(values))
    at = values
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = by
    return values


def call(name, *args):
    return ["call", name, list(args), {}]


FOREIGN = {
    "a file that is read": (
        ("nodes", 1),
        call("from_file.default", "/etc/passwd"),
        "the operation 'from_file.default'",
    ),
    "a write": (("nodes", 1), call("add_.Tensor", {"node": 0}, {"node": 0}), "the operation 'add_.Tensor'"),
    "an operation that writes its argument": (("nodes", 1), call("add.out", {"node": 0}), "the operation 'add.out'"),
    "another library's": (("nodes", 1), call("prims::add.default", {"node": 0}), "the operation 'prims::add"),
    "a name of Python": (("nodes", 1), call("__class__", {"node": 0}), "the operation '__class__'"),
    "an overload that is none": (("nodes", 1), call("add.__init__", {"node": 0}), "the operation 'add.__init__'"),
    "a keyword that is code": (("nodes", 1), ["call", "relu.default", [{"node": 0}], {"a=print(1)": 1}], "the name"),
    "a weight that is code": (("weights",), {'a")+print("': ["a", "buffer", []]}, "the weight"),
    "a weight that hides a method": (("weights",), {"forward.x": ["a", "buffer", []]}, "the weight"),
    "a weight of a class": (("weights",), {"__class__.x": ["a", "buffer", []]}, "the weight"),
    "a weight that is not there": (("nodes", 1), ["weight", "other"], "the weight 'other'"),
    "a value of later": (("nodes", 1), call("relu.default", {"node": 9}), "a step 9 that comes later"),
    "an unknown step": (("nodes", 1), ["module", "x"], "a step 'module'"),
    "no type": (("nodes", 1), call("zeros.default", [1], {"dtype": "load"}), "no dtype of torch"),
    "an unknown argument": (("nodes", 1), call("relu.default", {"eval": "1"}), "an argument 'eval'"),
    "a step too long": (("nodes", 1), ["call"], "no programme"),
    "no list": (("nodes",), 3, "no programme"),
    "inputs of another form": (("form", "tree"), {"set": []}, "inputs in a 'set'"),
    "inputs without data": (("form", "data"), 7, "inputs that do not fit"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("path", "by", "why"), FOREIGN.values(), ids=FOREIGN)
def test_what_is_not_on_the_list_is_refused(path, by, why):
    net = Network(nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)).eval(), torch.zeros(2, 3), "net")
    values, tensors = plain_part(net.bottom("1"))
    with pytest.raises(ForeignError, match=why):
        part_of(changed(values, path, by), {**tensors, "a": torch.zeros(1)})


def test_every_listed_operation_is_one_of_torch_that_names_no_file():
    packets = {name: getattr(torch.ops.aten, name, None) for name in OPERATIONS}
    assert [name for name, packet in packets.items() if packet is None] == []
    texts = {
        argument.name
        for packet in packets.values()
        for overload in packet.overloads()
        for argument in getattr(packet, overload)._schema.arguments
        if str(argument.type) in ("str", "Optional[str]")
    }
    how = {"approximate", "equation", "indexing", "mode", "norm", "ord", "padding", "reduce", "rounding_mode", "side"}
    compared = {"a", "b", "self", "el", "string", "substr", "separator"}  # of operations on texts
    assert texts <= how | compared


def test_what_cannot_be_kept_is_named():
    class Fake(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            return self.b(torch.linalg.matrix_exp(torch.diag_embed(self.a(x))).sum(1))

    net = Network(Fake().eval(), torch.zeros(2, 3), "net")
    with pytest.raises(
        NetworkError, match=r"computes aten\.linalg_matrix_exp\.default: expected operations of PyTorch"
    ):
        plain_part(net.top("a"))
    assert plain_part(net.bottom("a"))


def test_sizes_that_were_proved_stay_so():
    class Average(nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    net = Network(Average().eval(), torch.rand(2, 3, 6, 6), "net")
    other = torch.rand(2, 3, 4, 4)
    net.check_sample(other)
    kept = there_and_back(net.full())
    assert torch.equal(kept(other), net.module(other))
    with pytest.raises(NetworkError, match=r"nobody has tried whether it computes there"):
        kept(torch.rand(2, 3, 5, 5))
