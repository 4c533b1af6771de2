"""One seam on its way from a bottom's activation to the top's output."""

import pytest
import torch

from modelstitch.engine.senders import NetworkSender
from modelstitch.engine.streams import open_stream
from modelstitch.errors import StitchError
from modelstitch.network import OUTPUT
from modelstitch.stitchers import Affine
from modelstitch.stitchers.identity import Identity

CPU = torch.device("cpu")


def opened(pair, bottom_layer="block1", top_layer="block1", **more):
    bottom, top = pair
    options = {
        "family": Affine,
        "options": {},
        "objective": "match",
        "init": "closed",
        "later": (),
        "device": CPU,
        **more,
    }
    return open_stream("key", NetworkSender(bottom), top, bottom_layer, top_layer, **options)


def test_a_seam_knows_its_channels_and_its_tail(pair):
    stream = opened(pair, "block1", "block3")
    assert stream.seam == ("block1", "block3")
    assert str(stream) == "block1 -> block3"
    assert (stream.site.p, stream.site.q, stream.site.kind) == (16, 16, "map")
    assert stream.stopped == "closed form"
    assert stream.failed == ""
    assert stream.norms == {}


def test_without_a_map_between_a_network_and_itself_it_is_the_network(pair, digits):
    bottom = pair[0]
    stream = opened((bottom, bottom), later=("block2",))
    stream.stitcher = Identity(stream.site)
    batch = next(digits.batches("test", 8))
    with torch.no_grad():
        taps = bottom.taps(["block1", "block2"])(batch.inputs)
        stitched, values = stream.forward(taps["block1"], batch.inputs)
        assert torch.equal(values[OUTPUT], bottom.full()(batch.inputs))
        assert torch.equal(values["block2"], taps["block2"])
    assert torch.equal(stitched, taps["block1"])


def test_unequal_maps_are_resized_on_the_way(pair):
    stream = opened(pair, "block1", "block3")  # 8 x 8 under 4 x 4
    stream.stitcher = Identity(stream.site)
    with torch.no_grad():
        assert stream.stitched(torch.randn(2, 16, 8, 8)).shape == (2, 16, 4, 4)


def test_statistics_of_its_own_leave_the_donors_alone(pair):
    stream = opened(pair, own=True)
    assert stream.norms
    assert all(norm.mode == "frozen" for norm in stream.norms.values())


def test_a_layer_that_there_is_not(pair):
    with pytest.raises(StitchError, match="no layer 'nothing'"):
        opened(pair, "block1", "nothing")
