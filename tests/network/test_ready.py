"""Parts that only run are built once, and never stand for other weights, another device or another network."""

import copy

import pytest
import torch
from torch import nn

from modelstitch import Network
from modelstitch.errors import NetworkError
from modelstitch.network import ready
from modelstitch.support.footprint import most_held

CPU = torch.device("cpu")


def network(name="net", seed=0):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    return Network(module, torch.zeros(2, 4), name)


@pytest.mark.parametrize(
    ("method", "asked"), [("top", "0"), ("bottom", "1"), ("onward", ("0", ("1",))), ("segment", ("0", "1"))]
)
def test_a_part_is_built_once_and_gives_what_a_fresh_one_gives(method, asked):
    net = network()
    make, asked = getattr(net, method), asked if isinstance(asked, tuple) else (asked,)
    part = net.ready(make, *asked, device=CPU)
    assert net.ready(make, *asked, device=CPU) is part is not make(*asked)
    x = torch.randn(5, 4 if method == "bottom" else 3)
    torch.testing.assert_close(part(x), make(*asked)(x), rtol=0, atol=0)


def test_what_is_asked_for_tells_parts_apart():
    net = network()
    parts = [
        net.ready(net.top, "0", device=CPU),
        net.ready(net.top, "1", device=CPU),
        net.ready(net.bottom, "0", device=CPU),
        net.ready(net.taps, ("0",), device=CPU),
        net.ready(net.taps, ("0",), output=True, device=CPU),
        net.ready(net.top, "0", device=torch.device("meta")),
    ]
    assert len(set(map(id, parts))) == len(parts)


def test_weights_that_are_changed_in_place_are_those_of_the_part():
    net = network()
    part = net.ready(net.top, "0", device=CPU)
    with torch.no_grad():
        net.module[2].bias += 1
    assert net.ready(net.top, "0", device=CPU) is part
    torch.testing.assert_close(part(torch.ones(1, 3)), net.module[1:](torch.ones(1, 3)), rtol=0, atol=0)


def test_weights_that_lie_elsewhere_make_another_part():
    net = network()
    old = net.ready(net.top, "0", device=CPU)
    net.module[2].bias.data = net.module[2].bias.data + 1
    new = net.ready(net.top, "0", device=CPU)
    x = torch.ones(1, 3)
    torch.testing.assert_close(new(x), net.module[1:](x), rtol=0, atol=0)
    torch.testing.assert_close(new(x), old(x) + 1)


def test_another_networks_part_is_another():
    net, other = network(), network(seed=1)
    part = net.ready(net.bottom, "0", device=CPU)
    twin, named = net.replaced(other.module), net.named("of another name")
    torch.testing.assert_close(
        twin.ready(twin.bottom, "0", device=CPU)(torch.ones(1, 4)), other.module[0](torch.ones(1, 4)), rtol=0, atol=0
    )
    with pytest.raises(NetworkError, match="of another name"):
        named.ready(named.bottom, "0", device=CPU)(torch.ones(1, 5))
    copied = copy.deepcopy(part)
    assert copied is not part
    torch.testing.assert_close(copied(torch.ones(1, 4)), part(torch.ones(1, 4)), rtol=0, atol=0)


def test_a_copy_on_another_device_is_not_kept():
    net, meta = network(), torch.device("meta")
    part = net.ready(net.top, "0", device=meta)
    assert {tensor.device for tensor in part.parameters()} == {meta}
    assert net.ready(net.top, "0", device=meta) is not part
    assert {tensor.device for tensor in net.ready(net.top, "0", device=CPU).parameters()} == {CPU}


def test_what_is_made_among_fake_tensors_or_under_a_transform_ends_there():
    net = network()
    made = []
    weights, parts = [weight.tensor for weight in net._trace.weights.values()], ready.Ready()

    def part():
        return parts.get("0", weights, lambda: net.top("0"))

    assert most_held(lambda: made.append(part())) is not None
    torch.func.vjp(lambda x: made.append(part()) or x, torch.ones(1, 3))
    assert len(made) == 2
    assert all(part() is not one for one in made)
    assert part() is part()
    torch.testing.assert_close(part()(torch.ones(1, 3)), net.module[1:](torch.ones(1, 3)), rtol=0, atol=0)


def test_the_room_is_not_passed_and_the_oldest_goes(monkeypatch):
    net = network()
    first, last = (net.ready(net.top, name, device=CPU) for name in ("0", "1"))
    nodes = [len(part.body.graph.nodes) for part in (first, last)]
    monkeypatch.setattr(ready, "ROOM", sum(nodes))
    net.ready(net.bottom, "0", device=CPU)
    assert net.ready(net.top, "1", device=CPU) is last
    assert net.ready(net.top, "0", device=CPU) is not first
    monkeypatch.setattr(ready, "ROOM", 0)
    assert net.ready(net.taps, ("0",), device=CPU) is not net.ready(net.taps, ("0",), device=CPU)
