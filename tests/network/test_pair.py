"""Two networks have two names, or are one and the same; a bare module is none."""

import pytest
import torch
from torch import nn

from modelstitch.errors import NetworkError, StitchError
from modelstitch.network import Network
from modelstitch.network.pair import apart, check_networks


def network(seed, name="net", **more):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Network(nn.Sequential(nn.Linear(3, 3), nn.ReLU()).eval(), torch.zeros(2, 3), name, **more)


def test_networks_of_two_names_stay_apart():
    one, two = network(0, "one"), network(1, "two")
    assert apart(one, two) == (one, two)
    assert apart(one, one) == (one, one)


def test_the_same_network_under_one_name_is_one():
    one, again = network(0), network(0)
    assert apart(one, again) == (one, one)


@pytest.mark.parametrize(
    "other", [lambda: network(1), lambda: network(0, view=lambda x: 2 * x)], ids=["weights", "view"]
)
def test_two_networks_of_one_name_are_refused(other):
    with pytest.raises(
        StitchError, match="Both networks are called 'net': expected distinct names; pass name= to Network"
    ):
        apart(network(0), other())


def test_a_bare_module_is_no_network():
    with pytest.raises(
        NetworkError, match="The top must be a modelstitch Network, found Linear: make one with Network"
    ):
        check_networks(bottom=network(0), top=nn.Linear(2, 2))
