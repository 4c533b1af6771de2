"""How a network wants to see text: the tensors that it reads, of how many tokens."""

import pytest
import torch

from modelstitch.errors import DataError
from modelstitch.models.token_view import TokenView

IDS = torch.arange(6).view(2, 3)


def test_the_named_tensors_alone_in_their_order():
    view = TokenView(("input_ids", "token_type_ids"))
    found = view({"labels": IDS, "token_type_ids": IDS + 1, "input_ids": IDS})
    assert list(found) == ["input_ids", "token_type_ids"]
    assert found["input_ids"] is IDS


def test_bare_ids_are_all_kept():
    found = TokenView(("input_ids", "attention_mask"))(IDS)
    assert found["input_ids"] is IDS
    assert torch.equal(found["attention_mask"], torch.ones_like(IDS))


def test_a_mask_that_is_there_is_taken():
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    assert (
        TokenView(("input_ids", "attention_mask"))({"input_ids": IDS, "attention_mask": mask})["attention_mask"] is mask
    )


@pytest.mark.parametrize(
    ("view", "given", "words"),
    [
        (
            TokenView(("input_ids", "token_type_ids")),
            {"input_ids": IDS},
            "The network reads input_ids, token_type_ids: found input_ids in the data",
        ),
        (
            TokenView(("input_ids",), length=4),
            IDS,
            r"traced with 4 tokens, the data have 3: expected the same; load it with '\?size=3', or the data with "
            r"'\?length=4'",
        ),
    ],
)
def test_what_does_not_fit_is_told(view, given, words):
    with pytest.raises(DataError, match=words):
        view(given)


def test_a_record_states_it():
    view = TokenView(("input_ids",), "causal-lm", length=3)
    assert view.describe() == {
        "view": "tokens",
        "names": ["input_ids"],
        "task": "causal-lm",
        "length": 3,
        "tokenizer": None,
    }
    assert str(view) == "input_ids, 3 tokens"
    assert str(TokenView(("a", "b"))) == "a and b"
