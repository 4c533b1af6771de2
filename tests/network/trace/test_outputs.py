"""What a module returns: the output that is compared."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch

from modelstitch.errors import NetworkError
from modelstitch.network.trace.outputs import choose_output, first_tensor

X, Y = torch.zeros(1), torch.ones(2)
Pair = namedtuple("Pair", "hidden scores")


@dataclass
class Answer:
    loss: object = None
    features: object = None
    logits: object = None


CASES = {
    "a tensor": (X, None, ("0", X)),
    "the first of a tuple": ((X, Y), None, ("0", X)),
    "past what is None": ((None, Y), None, ("1", Y)),
    "logits before the rest": ({"features": X, "logits": Y}, None, ("logits", Y)),
    "logits of a dataclass": (Answer(features=X, logits=Y), None, ("logits", Y)),
    "the first of a dataclass": (Answer(features=X), None, ("features", X)),
    "by its number": ((X, Y), 1, ("1", Y)),
    "by its name": (Pair(X, Y), "scores", ("scores", Y)),
    "the first tensor in a nest": ({"deep": [("text",), {"at last": X}]}, None, ("deep", X)),
    "a nest that was asked for": ((X, [Y]), 1, ("1", Y)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_output_that_is_compared(case):
    result, wanted, (name, value) = CASES[case]
    found = choose_output(result, wanted)
    assert found[0] == name
    assert found[1] is value


@pytest.mark.parametrize(
    ("result", "wanted", "words"),
    [
        ((X, Y), 2, "The network has no output '2': it returns 0, 1; choose output= from these"),
        ({"a": X}, "b", "no output 'b': it returns a"),
        (("text", X), 0, "The output '0' of the network is not a tensor but str: choose output= from 0, 1"),
        ("text", None, "No output of the network is a tensor: it returns str; choose output="),
        ((), 0, "it returns tuple"),
    ],
)
def test_what_there_is_is_told(result, wanted, words):
    with pytest.raises(NetworkError, match=words):
        choose_output(result, wanted)


def test_a_text_is_no_nest_of_texts():
    assert first_tensor("text") is None
    assert first_tensor(b"bytes") is None
    assert first_tensor([["text"], [X]]) is X
