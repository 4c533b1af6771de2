"""Test samples as images or texts, of the data that were measured on alone."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

import modelstitch as ms
import texts
from modelstitch.data.readers.tokenizer import TextFacts, Tokenizer
from modelstitch.data.shown import Passages, Shown, pictures
from modelstitch.errors import DataError


def made(inputs, **more):
    return ms.Data(**{s: (inputs.clone(), torch.arange(len(inputs)) % 2) for s in ("fit", "val", "test")}, **more)


def test_images_have_pictures_and_no_text_and_tokens_the_other_way_round():
    images = made(torch.rand(4, 1, 5, 5), classes=["cat", "dog"])
    shown = Shown(images, [images.test_fingerprint])
    assert list(shown.pictures([2])) == [2]
    assert shown.passages([(2, None)]) == []
    assert [shown.word(label) for label in (0, 1, 2)] == ["cat", "dog", "2"]
    tokens = Shown(made(torch.arange(12).reshape(4, 3)), [])
    assert tokens.pictures([2]) == {}
    assert str(tokens.passages([(2, None)])[0]) == "6 7 8"
    assert tokens.word(1) == "1"


def test_another_test_split_is_refused():
    with pytest.raises(DataError, match="another test split than the records: expected the one of hash abc"):
        Shown(made(torch.rand(4, 3)), ["abc"])


LINE = "the cat sees a fish today ."
NAMES = [*texts.SPECIAL.values(), *texts.WORDS]


def ids(line):
    return torch.tensor([[NAMES.index(word) for word in line.split()]])


def data(inputs, labels, *, text=None, task=None):
    mask = torch.ones_like(inputs)
    mask[:, -1] = 0 if task == "padded" else 1
    rows = [({"input_ids": i, "attention_mask": m}, y) for i, m, y in zip(inputs, mask, labels)]
    named = None if task == "padded" else task
    return ms.Data(list(rows), list(rows), list(rows), text=text, task=named)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    texts.tokenizer(folder, around=True)
    return Tokenizer.load(folder)


def following(line):
    found = ids(line)
    return found, torch.cat([found[:, 1:], torch.full((1, 1), -100)], 1)


@pytest.mark.parametrize(
    ("token", "answer", "expected"),
    [
        (3, NAMES.index("bone"), "the cat sees a ⟦fish → bone⟧ today ."),
        (3, None, "the cat sees a ⟦fish⟧ today ."),
        (0, NAMES.index("[UNK]"), "the ⟦cat → [UNK]⟧ sees a fish today ."),
        (5, 7, f"the cat sees a fish today ⟦. → {NAMES[7]}⟧"),
        (None, None, LINE),
    ],
)
def test_the_next_token_stands_at_its_place(tokenizer, token, answer, expected):
    facts = TextFacts(tokenizer, "causal-lm", 7)
    shown = Passages(data(*following(LINE), text=facts))
    assert [str(passage) for passage in shown.of([(0, token)], [answer])] == [expected]
    assert tokenizer.fingerprint in shown.about


def test_without_a_tokenizer_texts_are_the_numbers_of_their_tokens():
    shown = Passages(data(torch.tensor([[4, 5, 6, 9]]), torch.tensor([[5, 6, 9, -100]]), task="padded"))
    assert str(shown.of([(0, 1)], [2])[0]) == "4 5 ⟦6 → 2⟧"  # and what is padded is left out
    assert "name no tokenizer: texts are the numbers of their tokens" in shown.about


def test_a_hidden_token_is_put_back_at_its_place(tokenizer):
    found, labels = ids("[CLS] the [MASK] sees a [MASK] today [SEP]"), torch.full((1, 8), -100)
    labels[0, 2], labels[0, 5] = NAMES.index("cat"), NAMES.index("fish")
    shown = Passages(data(found, labels, text=TextFacts(tokenizer, "masked-lm", 8)))
    assert str(shown.of([(0, 1)], [NAMES.index("egg")])[0]) == "the [MASK] sees a ⟦fish → egg⟧ today"
    of_a_task = Passages(data(found, labels, task="masked-token"))
    assert str(of_a_task.of([(0, 0)], [1])[0]).startswith(f"2 {NAMES.index('the')} ⟦{NAMES.index('cat')} → 1⟧")


def test_labels_that_are_no_tokens_stand_beside_them(tokenizer):
    shown = Passages(data(ids("the cat sees"), torch.tensor([[0, 1, 2]]), text=TextFacts(tokenizer, "tags", 3)))
    assert str(shown.of([(0, 1)], [2])[0]) == "the ⟦cat (1) → (2)⟧ sees"


def test_long_texts_are_cut_around_the_place_and_stay_on_one_line(tokenizer):
    words = " ".join([LINE] * 20)
    passage = Passages(data(*following(words), text=TextFacts(tokenizer, "causal-lm", 140))).of([(0, 70)], [9])[0]
    assert passage.before.startswith("…")
    assert passage.after.endswith("…")
    assert (len(passage.before), len(passage.after)) == (90, 60)
    whole = ms.Data(*[[("first\nline \u202e<b>" + "x" * 300, 0), ("b", 1)] for _ in range(3)])
    (text,) = Passages(whole).of([(0, None)])
    assert text.before.startswith("first line \ufffd<b>xxx")
    assert len(text.before) == 150


class Bytes:
    """A stand-in of a tokenizer whose tokens are halves of letters, and blanks."""

    before = after = ()
    name, fingerprint = "bytes", "0"

    def decode(self, ids):
        return bytes(ids).decode(errors="replace")


def test_tokens_that_are_no_whole_letters_and_blanks_are_seen():
    facts = TextFacts(Bytes(), "causal-lm", 4)
    found = torch.tensor([list("aé\nb".encode())])
    labels = torch.cat([found[:, 1:], torch.full((1, 1), -100)], 1)
    shown = Passages(data(found, labels, text=facts))
    said = [str(one) for one in shown.of([(0, i) for i in range(4)], [10, None, 32, 9])]
    assert said == ["a⟦\ufffd → ↵⟧\ufffd b", "a\ufffd⟦\ufffd⟧ b", "aé⟦↵ → ␣⟧b", "aé ⟦b → ⇥⟧"]


def seen(images, ids):
    labels = torch.arange(len(images)) % 2
    data = ms.Data(**{split: (images.clone(), labels.clone()) for split in ("fit", "val", "test")})
    found = pictures(data, ids)
    assert list(found) == ids
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(found[i].partition(",")[2])))) for i in ids]


@pytest.mark.parametrize(
    ("images", "shade"),
    [
        (torch.full((4, 1, 5, 6), 0.5), 128),
        (torch.full((4, 3, 5, 6), 7, dtype=torch.uint8), 7),
        (torch.linspace(-2, 2, 4)[:, None, None, None].expand(4, 3, 5, 6), 255),
    ],
    ids=["from 0 to 1", "bytes", "normalised"],
)
def test_pixels_are_those_of_the_sample(images, shade):
    (first, last) = seen(images, [1, 3])
    assert first.shape[:2] == last.shape[:2] == (5, 6)
    assert int(last.max()) == int(last.min()) == shade


def test_large_images_are_reduced():
    (image,) = seen(torch.rand(2, 3, 400, 200), [0])
    assert image.shape == (96, 48, 3)
