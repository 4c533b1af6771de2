"""Networks without a head: similarity takes them, an error is never measured on them."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import transformers as tf

import modelstitch as ms
from modelstitch.engine.alone import look
from modelstitch.errors import DataError
from texts import corpus, small, tokenizer

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 16,
    "patch_size": 8,
}
WORDS = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
    "max_position_embeddings": 16,
}
PROCESSOR = tf.BitImageProcessor(size={"shortest_edge": 18}, crop_size={"height": 16, "width": 16})
MADE = {
    "dino": (lambda: tf.Dinov2Model(tf.Dinov2Config(**SIZES)), "", "last_hidden_state", (5, 16)),
    "pooled": (lambda: tf.ViTModel(tf.ViTConfig(**SIZES)), "?output=pooler_output", "pooler_output", (16,)),
    "under a head": (
        lambda: tf.ViTForImageClassification(tf.ViTConfig(**SIZES)),
        "?task=features",
        "last_hidden_state",
        (5, 16),
    ),
    "projected": (
        lambda: tf.CLIPVisionModelWithProjection(tf.CLIPVisionConfig(**SIZES, projection_dim=8)),
        "",
        "image_embeds",
        (8,),
    ),
    "one of two towers": (
        lambda: tf.CLIPModel(tf.CLIPConfig(text_config=WORDS, vision_config=SIZES, projection_dim=8)),
        "?task=features",
        "0",
        (8,),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", MADE)
@torch.no_grad()
def test_encoders_of_images(tmp_path: Path, digits: ms.Data, case: str) -> None:
    make, query, output, shape = MADE[case]
    module = make().eval()
    module.save_pretrained(tmp_path)
    PROCESSOR.save_pretrained(tmp_path)
    net = ms.load(f"hf:{tmp_path}{query}", name=case)
    assert (net.output_name, net.output_shape, net.has_head, net.has_view) == (output, shape, False, True)
    x = net.view(next(digits.batches("val", 3)).inputs)
    if case == "under a head":  # the weights of the folder, without a pooler that no one has trained
        wanted = module.base_model(x).last_hidden_state
    elif case == "one of two towers":
        wanted = module.get_image_features(pixel_values=x)
        wanted = getattr(wanted, "pooler_output", wanted)
    else:
        wanted = getattr(module(x), output)
    torch.testing.assert_close(net(x), wanted)


@pytest.mark.slow
def test_similarity_takes_them_and_stitching_refuses(tmp_path: Path, digits: ms.Data) -> None:
    tf.Dinov2Model(tf.Dinov2Config(**SIZES)).save_pretrained(tmp_path)
    PROCESSOR.save_pretrained(tmp_path)
    net = ms.load(f"hf:{tmp_path}", name="dino")
    net2 = ms.load("timm:test_resnet?classes=0&size=32", weights="random")
    assert (net2.output_shape, net2.has_head) == ((timm.create_model("test_resnet").num_features,), False)
    seam = f"{net.blocks[-1]} -> {net.blocks[-1]}"
    found = ms.similarity(net, net2, digits, measures=["cka"], layers=([net.blocks[-1]], [net2.blocks[-1]]), samples=60)
    assert 0 <= found.frame["value"][0] <= 1
    told = (
        r"'dino' has no head: it returns features, no scores of the labels' classes \(logits\).*compare "
        r".*similarity\(\)"
    )
    for ask in (
        lambda: ms.stitch(net, net, at=seam, data=digits),
        lambda: ms.compare(net, net2.named("other"), digits),
        lambda: ms.matrix(net2, net, digits),
    ):
        with pytest.raises(DataError, match=told.replace("'dino'", "'(dino|other)'")):
            ask()


@pytest.mark.slow
def test_a_bare_encoder_may_be_a_bottom(digits: ms.Data) -> None:
    bottom = ms.load("timm:test_resnet?classes=0&size=32", weights="random", name="bare")
    top = ms.load("timm:test_resnet?size=32", weights="random", classes=10, name="whole")
    s = ms.stitch(bottom, top, at=f"{top.blocks[-2]} -> {top.blocks[-2]}", data=digits, objective="match", samples=100)
    assert s.penalty is not None
    assert not any("network bare" in note for note in s.record["notes"])  # it has no error that could be doubtful
    told = look(bottom, digits, torch.device("cpu"), top=False)
    assert (told.facts.error, "(it returns features)" in told.told()) == (None, True)
    with pytest.raises(DataError, match="The top 'bare' has no head"):
        ms.stitch(top, bottom, at=f"{top.blocks[-2]} -> {top.blocks[-2]}", data=digits, objective="match")


@pytest.mark.slow
def test_sentence_encoders(tmp_path: Path) -> None:
    folder, text = tmp_path / "bert", tmp_path / "rows.csv"
    small("bert", 0).bert.save_pretrained(folder)
    tokenizer(folder, around=True)
    text.write_text("\n".join(["text", *corpus(60)]), encoding="utf-8")
    net = ms.load(f"hf:{folder}", size=12)
    assert (net.output_name, net.output_shape, net.has_head) == ("last_hidden_state", (12, 24), False)
    assert (
        net.view_in_words
        == f"input_ids and attention_mask by the tokenizer bert ({net.view.tokenizer.fingerprint}), 12 tokens"
    )
    data = ms.load_data(f"text:{text}", tokenizer=net)
    assert data.text.task == "features"
    first = next(data.batches("fit", 1)).inputs
    real = first["input_ids"][0, : int(first["attention_mask"].sum())]
    special = net.view.tokenizer.special
    assert (int(real[0]), int(real[-1])) == (special["cls"], special["sep"])  # as the tokenizer itself makes them
    own = net.view.tokenizer.batch(corpus(60), 12)["input_ids"].tolist()  # padded and cut by the tokenizer itself
    ids = torch.cat([batch.inputs["input_ids"] for split in ("fit", "val", "test") for batch in data.batches(split, 8)])
    assert sorted(ids.tolist()) == sorted(own)
    by_name = ms.load_data(f"text:{text}", tokenizer=f"hf:{folder}?size=12")
    assert by_name.fingerprint == data.fingerprint
    found = ms.similarity(net, net, data, measures=["cka"], split="fit", layers=([net.blocks[-1]], [net.blocks[-1]]))
    assert found.frame["value"][0] == pytest.approx(1.0)
    with pytest.raises(DataError, match="'bert' has no head: it returns features"):
        ms.stitch(net, net, at=(net.blocks[-1],) * 2, data=data)
    with pytest.raises(DataError, match=r"reads whole texts between its special tokens.*add '\?task=features'"):
        ms.similarity(net, net, ms.load_data(f"text:{text}?task=causal-lm", tokenizer=net))


@pytest.mark.slow
def test_a_text_without_labels_measures_no_error(tmp_path: Path) -> None:
    folder, text = tmp_path / "gpt2", tmp_path / "rows.csv"
    small("gpt2", 0).save_pretrained(folder)
    tokenizer(folder)
    text.write_text("\n".join(["text", *corpus(60)]), encoding="utf-8")
    net = ms.load(f"hf:{folder}", size=12)
    data = ms.load_data(f"text:{text}?task=features", tokenizer=net)
    assert (
        ms.similarity(net, net, data, measures=["cka"], split="fit", layers=([net.blocks[-1]],) * 2).frame.height == 1
    )
    with pytest.raises(
        DataError, match=r"'rows.csv' has no labels \(task=features\): expected some to measure errors on"
    ):
        ms.stitch(net, net, at=(net.blocks[-1],) * 2, data=data)


def test_what_reads_neither_images_nor_one_text_is_refused(tmp_path: Path) -> None:
    tf.T5Model(tf.T5Config(d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, vocab_size=50)).save_pretrained(
        tmp_path
    )
    with pytest.raises(
        ms.StitchError, match="reads input_ids and decoder_input_ids: expected a network of images or of one text"
    ):
        ms.load(f"hf:{tmp_path}")
