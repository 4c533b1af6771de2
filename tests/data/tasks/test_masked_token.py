"""Hidden tokens: the same errors as of next tokens, under a name of their own."""

import pytest
import torch

from modelstitch.data.tasks import MASKED_TOKEN, NEXT_TOKEN, TASKS


def test_only_hidden_tokens_count():
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(2, 4, 6, generator=generator)
    labels = torch.full((2, 4), -100)
    labels[0, 1], labels[1, 0], labels[1, 3] = 5, 2, 0
    logs = output.double().log_softmax(-1)
    found = MASKED_TOKEN.judge(output, labels)
    assert found.errors.tolist() == pytest.approx(
        [-float(logs[0, 1, 5]), -float(logs[1, 0, 2] + logs[1, 3, 0]) / 2], abs=1e-5
    )
    assert found.weights.tolist() == [1, 2]
    assert TASKS["masked-token"].unit == NEXT_TOKEN.unit
    assert MASKED_TOKEN.stated()["says"] == "the mean cross-entropy over the tokens that were hidden"
