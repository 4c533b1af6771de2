"""The part of the page that tells sample by sample."""

import re

import polars as pl
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import modelstitch as ms
import texts
from modelstitch.data.shown import pictures
from modelstitch.errors import DataError, StudyError
from modelstitch.models.token_view import TokenView


@pytest.fixture(scope="module")
def made(pair, digits):
    return ms.compare(*pair, digits, layers=["block1", "block2"], objective="match", controls=())


@pytest.mark.slow
def test_images_stand_on_the_page_only_where_data_are_at_hand(made, digits, tmp_path):
    bare = made.report(tmp_path / "bare.html").read_text(encoding="utf-8")
    full = made.report(tmp_path / "full.html", data=digits).read_text(encoding="utf-8")
    for text in ("Sample by sample", "test samples that the top gets right", "Penalty of each class", "All 2 networks"):
        assert text in bare
    assert "<img" not in bare
    assert "Lost by" not in bare
    assert full.count('<img src="data:image/png;base64,') > 10
    assert "Kept by all stitches" in full


@pytest.mark.slow
def test_other_data_are_refused(made, tmp_path):
    other = ms.Data(**{split: (torch.rand(9, 1, 8, 8), torch.arange(9)) for split in ("fit", "val", "test")})
    with pytest.raises(DataError, match="another test split than the records: expected the one of hash"):
        made.report(tmp_path / "page.html", data=other)


def test_what_is_no_image_has_no_picture():
    tables = ms.Data(**{split: (torch.rand(9, 4), torch.arange(9) % 2) for split in ("fit", "val", "test")})
    assert pictures(tables, [0, 1]) == {}


class Speaker(nn.Module):
    """Reads a token, answers with the next one."""

    def __init__(self, seed):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embed, self.block, self.head = nn.Embedding(23, 8), nn.Linear(8, 8), nn.Linear(8, 23)

    def forward(self, input_ids):
        return self.head(self.block(self.embed(input_ids)).tanh())


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A comparison of two language models, and the texts that it was made on."""
    here = tmp_path_factory.mktemp("texts")
    texts.tokenizer(here / "words")
    (here / "corpus.txt").write_text(" ".join(texts.corpus(60)))
    data = ms.load_data(f"text:{here / 'corpus.txt'}?length=8&tokenizer={here / 'words'}")
    example = {"input_ids": torch.zeros(2, 8, dtype=torch.int64)}
    nets = []
    for seed in (0, 1):
        module = Speaker(seed)
        optimiser = torch.optim.Adam(module.parameters(), 0.02)
        for step in range(25):
            for batch in data.batches("fit", 64, seed=step):
                optimiser.zero_grad()
                F.cross_entropy(module(batch.inputs["input_ids"]).flatten(0, 1), batch.labels.flatten()).backward()
                optimiser.step()
        nets.append(
            ms.Network(
                module.eval(), example, f"speaker{seed}", view=TokenView(("input_ids",), tokenizer=data.text.tokenizer)
            )
        )
    return ms.compare(*nets, data, layers=["embed", "block"], objective="match", family="identity", controls=()), data


@pytest.mark.slow
def test_texts_that_break_stand_on_the_page_around_the_place(told, tmp_path):
    made, data = told
    bare = made.report(tmp_path / "bare.html").read_text(encoding="utf-8")
    full = made.report(tmp_path / "full.html", data=data).read_text(encoding="utf-8")
    assert "A stitch loses a token" in bare
    assert "tokens of the test samples that the top gets right" in bare
    assert 'class="texts"' not in bare
    assert "Texts are decoded by the tokenizer words (" in full
    assert re.search(r"<b>\w+</b><i>\w+</i>", full)
    for line in re.findall(r'<span class="text">(.*?)</span>', full):
        words = re.sub(r"<i>.*?</i>|</?b>|…", " ", line).split()
        assert words
        assert set(words) <= set(texts.WORDS)


def test_texts_that_break_stand_in_the_table(told):
    made, data = told
    rows = made.breaks(data=data).filter("top_right")
    assert rows.filter(flipped=0)["text"].null_count() == rows.filter(flipped=0).height
    lost = rows.filter(pl.col("flipped") > 0)
    assert lost.height > 10
    names = [*texts.SPECIAL.values(), *texts.WORDS]
    for row in lost.iter_rows(named=True):
        inputs, labels = data.dataset("test")[row["sample"]]
        token, said = re.search(r"⟦(\S+) → (\S+)⟧", row["text"]).groups()
        assert token == names[int(labels[row["token"]])]
        assert said == names[row["answer"]]
        around = row["text"].replace(f"⟦{token} → {said}⟧", token).strip("…").split()
        assert " ".join(around) in " ".join(names[int(i)] for i in inputs["input_ids"])


def test_images_are_no_texts(made, digits):
    with pytest.raises(StudyError, match="The test samples are no texts"):
        made.breaks(data=digits)


def test_texts_of_classes_stand_whole_with_the_names_of_classes(tmp_path):
    torch.manual_seed(0)
    lines = torch.randint(0, 23, (120, 6))
    labels = (lines > 11).sum(1).gt(3).long()
    parts = [(lines[i::3].clone(), labels[i::3].clone()) for i in range(3)]
    data = ms.Data(*parts, classes=["low", "<high>"])

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(23, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.head(self.embed(x).mean(1))

    nets = [ms.Network(Reader(), lines[:2], f"reader{seed}") for seed in (0, 1)]
    r = ms.compare(*nets, data, layers=["embed"], objective="match", family="identity", controls=())
    page = r.report(tmp_path / "page.html", data=data).read_text(encoding="utf-8")
    assert "texts are the numbers of their tokens" in page
    assert "read as" in page
    assert "&lt;high&gt;" in page
    assert "<high>" not in page
    whole = {" ".join(map(str, row)) for row in parts[2][0].tolist()}
    shown = re.findall(r'<span class="text">(.*?)</span>', page)
    assert shown
    assert set(shown) <= whole
