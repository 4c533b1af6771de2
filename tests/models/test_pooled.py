"""One vector for a text: padding has no part in it, and layers keep their names."""

import pytest
import torch

import modelstitch as ms
import texts
from modelstitch.errors import DataError, SourceError
from modelstitch.models.pooled import over_tokens

STATES = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("how", "slow"),
    [("mean", lambda own: own.mean(0)), ("max", lambda own: own.amax(0)), ("first", lambda own: own[0])],
)
def test_padding_has_no_part(how, slow):
    found = over_tokens(STATES, MASK, how)
    for states, mask, vector in zip(STATES, MASK, found):
        torch.testing.assert_close(vector, slow(states[mask.bool()]))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    found = []
    for seed in (0, 1):
        folder = tmp_path_factory.mktemp(f"encoder{seed}")
        texts.tokenizer(folder, around=True)
        texts.small("bert", seed).bert.save_pretrained(folder)
        found.append(folder)
    return found


@pytest.fixture
def table(tmp_path):
    lines = texts.corpus(120)
    asked = [f"the {line.split()[1]} {line.split()[4]}" for line in lines]
    (tmp_path / "pairs.csv").write_text("query,text\n" + "\n".join(map(",".join, zip(asked, lines))) + "\n")
    return tmp_path / "pairs.csv"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "task", "unit"),
    [("", "embedding", "cosine distance"), ("?column=query&gallery=text", "retrieval:5", "points of recall@5")],
)
def test_sentence_encoders_are_stitched_on_texts(folders, table, query, task, unit):
    names = [f"hf:{folder}?task=features&pool=mean&size=12" for folder in folders]
    data = ms.load_data(f"text:{table}{query}", tokenizer=names[1], task=task)
    one, two = (ms.load(name, weights="random", seed=seed) for seed, name in enumerate(names))
    assert "encoder.layer.0" in two.cuts
    assert two.output_shape == (24,)
    s = ms.stitch(one, two, at="encoder.layer.0", data=data, objective="match")
    assert s.record.metric("penalty").unit == unit
    assert s.metrics["top_error"] <= s.metrics["error"]


def test_an_encoder_that_was_saved_without_a_pooler(folders, tmp_path):
    import transformers

    texts.tokenizer(tmp_path, around=True)
    inner = texts.small("bert", 3).bert
    bare = transformers.BertModel(inner.config, add_pooling_layer=False)
    bare.load_state_dict({name: value for name, value in inner.state_dict().items() if "pooler" not in name})
    bare.save_pretrained(tmp_path)
    net = ms.load(f"hf:{tmp_path}?task=features&pool=mean&size=12")
    assert "random" not in net.weights


def test_what_cannot_be_pooled(folders, table):
    with pytest.raises(SourceError, match=r"The option pool=median of .* cannot be: expected mean, max, first"):
        ms.load(f"hf:{folders[0]}?task=features&pool=median", weights="random")
    data = ms.load_data(f"text:{table}", tokenizer=folders[0], task="embedding")
    nets = [ms.load(f"hf:{folder}?task=features", weights="random", name=folder.name) for folder in folders]
    with pytest.raises(DataError, match=r"a vector for each position, padding among them.*pool=mean"):
        ms.stitch(*nets, at="encoder.layer.0", data=data, objective="match")
    with pytest.raises(DataError, match="Texts to retrieve need to know what belongs to them"):
        ms.load_data(f"text:{table}", tokenizer=folders[0], task="retrieval")
    with pytest.raises(DataError, match="The column 'text' is a gallery: expected the task retrieval"):
        ms.load_data(f"text:{table}?column=query&gallery=text", tokenizer=folders[0])
