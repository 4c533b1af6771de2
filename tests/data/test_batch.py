"""A batch is cut into pieces in order, whatever its inputs are."""

import pytest
import torch

from modelstitch.data.batch import Batch


@pytest.mark.parametrize("named", [False, True])
def test_a_batch_in_pieces(named):
    batch = Batch(torch.arange(12), torch.rand(12, 3, 4, 4), torch.arange(12) % 3)
    if named:
        batch = Batch(batch.ids, {"x": batch.inputs, "half": batch.inputs / 2}, batch.labels)
    pieces = list(batch.pieces(5))
    assert [len(piece) for piece in pieces] == [5, 5, 2]
    assert torch.equal(torch.cat([piece.ids for piece in pieces]), batch.ids)
    assert torch.equal(torch.cat([piece.labels for piece in pieces]), batch.labels)
    parts = [piece.inputs["half"] if named else piece.inputs for piece in pieces]
    assert torch.equal(torch.cat(parts), batch.inputs["half"] if named else batch.inputs)
    assert list(batch.pieces(12)) == [batch]


def test_the_mask_is_the_input_under_its_key():
    ids, mask = torch.arange(2), torch.tensor([[1, 0], [1, 1]])
    batch = Batch(ids, {"x": torch.rand(2, 2, 3), "there": mask}, ids, mask_key="there")
    assert batch.mask.tolist() == [[True, False], [True, True]]
    assert Batch(ids, torch.rand(2, 3), ids).mask is None
