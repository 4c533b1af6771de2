"""The forms of a call: flattened and put back; and which of the values that come back is compared."""

from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch

from modelstitch.errors import NetworkError
from modelstitch.network.trace.form import InputForm, choose_output, first_tensor, repeat_batch

X, M = torch.zeros(2, 3), torch.ones(2, 3)


def learn(example, data=None):
    return InputForm.learn(example, data)[0]


@pytest.mark.parametrize(
    ("example", "paths"),
    [
        (X, ["0"]),
        ((X, M), ["0", "1"]),
        ({"x": X, "mask": M}, ["mask", "x"]),
        ((X, {"inner": (M, 3)}), ["0", "1.inner.0"]),
    ],
)
def test_tensors_are_named_by_their_way(example, paths):
    assert sorted(learn(example).tensor_paths) == paths


@pytest.mark.parametrize(("data", "found"), [(None, "0"), (1, "1"), ("1", "1")])
def test_the_input_that_carries_the_sample(data, found):
    form = learn((X, M, "words"), data)
    assert form.paths[form.data] == found
    assert form.constants == {2: "words"}
    assert form.data_position == int(found)


def test_what_is_flattened_is_rebuilt():
    form, leaves = InputForm.learn({"x": X, "flag": True, "mask": M}, "x")
    tensors = form.flatten((), {"mask": M + 1, "x": X + 2, "flag": True})
    args, kwargs = form.rebuild(tensors)
    assert args == ()
    assert torch.equal(kwargs["x"], X + 2)
    assert torch.equal(kwargs["mask"], M + 1)
    assert kwargs["flag"] is True
    assert len(leaves) == 3


def test_the_form_of_the_example_and_the_modules_own_call_are_the_same():
    form = learn({"x": X, "mask": M})
    one, other = form.flatten(({"x": X, "mask": M},), {}), form.flatten((), {"mask": M, "x": X})
    assert all(a is b for a, b in zip(one, other, strict=True))
    assert learn((X, M)).flatten(((X, M),), {})[1] is M


def test_what_carries_the_sample_is_found_in_any_batch():
    form = learn({"x": X, "mask": M}, "x")
    assert form.carrying({"mask": M, "x": X}) is X
    with pytest.raises(NetworkError, match="another structure than the example"):
        form.carrying({"y": X})


EXAMPLES = {
    "no tensor": (
        ("words", 3),
        None,
        "The example holds no tensor: expected a tensor, a tuple or a dict of tensors, found tuple",
    ),
    "no such input": (
        {"x": X, "mask": M},
        "y",
        "No input is called 'y': the example has x, mask; choose data= from these",
    ),
    "a constant": ((X, "words"), 1, "No input is called '1': the example has 0"),
}


@pytest.mark.parametrize("case", EXAMPLES)
def test_examples_that_cannot_be_used(case):
    example, data, words = EXAMPLES[case]
    with pytest.raises(NetworkError, match=words):
        learn(example, data)


CALLS = {
    "one too few": ((X,), {}, "is called with 1 positional and keyword inputs .*: expected 2"),
    "another nest": ((X, (M,)), {}, "The input has another structure than the example"),
    "another constant": ((X, [M, 4]), {}, "The input '1.1' is fixed to 3 by the example: found 4"),
    "no tensor": ((X, ["words", 3]), {}, "The input '1.0' is no tensor: expected one, as in the example, found str"),
}


@pytest.mark.parametrize("case", CALLS)
def test_calls_of_another_form(case):
    args, kwargs, words = CALLS[case]
    with pytest.raises(NetworkError, match=words):
        learn((X, [M, 3])).flatten(args, kwargs)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"x": X, "mask": M, "more": X},
            r"where samples hold more, take what it knows: view=lambda x: \{key: x\[key\] for key in \['mask', 'x'\]\}",
        ),
        ({"x": X}, "the call lacks 'mask'"),
    ],
)
def test_the_way_out_is_told(given, words):
    with pytest.raises(NetworkError, match=words):
        learn({"x": X, "mask": M}).flatten((), given)


def test_a_batch_of_one_is_doubled_with_what_goes_along():
    form, leaves = InputForm.learn((torch.zeros(1, 3), torch.zeros(1, 2), torch.zeros(4), 5), None)
    assert [getattr(leaf, "shape", leaf) for leaf in repeat_batch(leaves, form)] == [(2, 3), (2, 2), (4,), 5]
    form, leaves = InputForm.learn((X, torch.zeros(1, 2)), None)
    assert repeat_batch(leaves, form) is leaves


P, Q = torch.zeros(1), torch.ones(2)
Pair = namedtuple("Pair", "hidden scores")


@dataclass
class Answer:
    loss: object = None
    features: object = None
    logits: object = None


CASES = {
    "a tensor": (P, None, ("0", P)),
    "the first of a tuple": ((P, Q), None, ("0", P)),
    "past what is None": ((None, Q), None, ("1", Q)),
    "logits before the rest": ({"features": P, "logits": Q}, None, ("logits", Q)),
    "logits of a dataclass": (Answer(features=P, logits=Q), None, ("logits", Q)),
    "the first of a dataclass": (Answer(features=P), None, ("features", P)),
    "by its number": ((P, Q), 1, ("1", Q)),
    "by its name": (Pair(P, Q), "scores", ("scores", Q)),
    "the first tensor in a nest": ({"deep": [("text",), {"at last": P}]}, None, ("deep", P)),
    "a nest that was asked for": ((P, [Q]), 1, ("1", Q)),
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
        ((P, Q), 2, "The network has no output '2': it returns 0, 1; choose output= from these"),
        ({"a": P}, "b", "no output 'b': it returns a"),
        (("text", P), 0, "The output '0' of the network is not a tensor but str: choose output= from 0, 1"),
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
    assert first_tensor([["text"], [P]]) is P
