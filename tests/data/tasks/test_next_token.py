"""A class for each position, against a plain loop."""

import math

import pytest
import torch

from modelstitch.data.tasks import MASKED_TOKEN, NEXT_TOKEN, TASKS
from modelstitch.errors import DataError


def test_errors_and_weights_are_those_of_a_plain_loop():
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(3, 5, 7, generator=generator)
    labels = torch.randint(0, 7, (3, 5), generator=generator)
    labels[0, 2:] = labels[1, 4:] = -100
    found = NEXT_TOKEN.judge(output, labels)
    logs = output.double().log_softmax(-1)
    total, n = 0.0, 0
    for i in range(3):
        each = [-float(logs[i, t, labels[i, t]]) for t in range(5) if labels[i, t] != -100]
        assert float(found.errors[i]) == pytest.approx(sum(each) / len(each), abs=1e-5)
        assert float(found.weights[i]) == len(each)
        total, n = total + sum(each), n + len(each)
    places = [(i, t) for i in range(3) for t in range(5) if labels[i, t] != -100]
    assert found.tokens.tolist() == [int(output[i, t].argmax()) for i, t in places]
    assert found.hits.tolist() == [int(output[i, t].argmax()) == int(labels[i, t]) for i, t in places]
    assert float(NEXT_TOKEN.fitted(output, labels)) == pytest.approx(total / n, abs=1e-5)
    assert NEXT_TOKEN.numbers(1.0, None) == {"perplexity": (math.e, "tokens")}
    assert NEXT_TOKEN.of_error(1e4)["perplexity"][0] == math.exp(700)


def test_maps_are_no_sequences():
    with pytest.raises(DataError, match="the classes last and the positions in one line"):
        NEXT_TOKEN.fits("net", (5, 4, 4), torch.zeros(1, 4, 4))


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
