"""A stitched model measured as it stands: the numbers of a slow loop, and names of maps by their numbers."""

import pytest
import torch
from torch import nn

from modelstitch.errors import StitchError
from modelstitch.stitched.measure import measured, of_map

CPU = torch.device("cpu")


class Through:
    """The two networks joined by nothing at all."""

    def __init__(self, bottom, top, layer):
        self.parts = bottom.bottom(layer), top.top(layer)

    def through(self, below, above, mask):
        return self.parts[1](self.parts[0](below))


def test_the_record_holds_what_a_plain_loop_counts(pair, digits):
    bottom, top = pair
    stitched = Through(bottom, top, "block2")
    record = measured(stitched, bottom, top, digits, {"bottom": {"name": "zero"}}, CPU)
    wrong = own = total = 0
    with torch.no_grad():
        for batch in digits.batches("test", 37):
            wrong += int((stitched.through(batch.inputs, batch.inputs, None).argmax(1) != batch.labels).sum())
            own += int((top.full()(batch.inputs).argmax(1) != batch.labels).sum())
            total += len(batch)
    assert record.metric("error").value == pytest.approx(100 * wrong / total)
    assert record.metric("top_error").value == pytest.approx(100 * own / total)
    assert record.metric("penalty").value == pytest.approx(100 * (wrong - own) / total)
    assert record.cell == ""
    assert record.config["data"]["fingerprint"] == digits.fingerprint
    assert "measured by hand, not by a fit" in record.notes
    assert int(record.examples["n"]) == total


def test_without_its_donors_there_is_no_penalty(pair, digits):
    with pytest.raises(StitchError, match="This stitched model has not its donors with it"):
        measured(None, pair[0], None, digits, {}, CPU)


def test_a_map_is_named_by_its_numbers():
    torch.manual_seed(0)
    one = nn.Linear(3, 2)
    wide = nn.Linear(3, 2).double()
    wide.load_state_dict({k: v.double() for k, v in one.state_dict().items()})
    assert of_map(one) == of_map(wide)
    assert len(of_map(one)) == 16
    with torch.no_grad():
        wide.bias[0] += 1e-9
    assert of_map(one) != of_map(wide)
