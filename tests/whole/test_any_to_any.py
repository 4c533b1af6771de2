"""CNN and ViT into each other, across patch sizes and resolutions; and whole runs from the command line."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

import modelstitch as ms
import texts
from modelstitch.cli import cli
from modelstitch.models.load import load_for

pytestmark = pytest.mark.slow

CNN, CNN_LARGER = "timm:test_resnet?size=32", "timm:test_resnet?size=48"
VIT = "zoo:vit?depth=2&dim=12&heads=2&in_channels=1&patch={}&size=8"
AT = {"cnn": "layer3", "larger": "layer3", "vit2": "blocks.0", "vit4": "blocks.0"}


class Watched:
    """A view that remembers the raw samples it was given."""

    def __init__(self, view):
        self.view, self.seen, self.shapes = view, [], set()

    def __call__(self, inputs):
        found = self.view(inputs)
        self.seen.append(inputs.sum((1, 2, 3)))
        self.shapes.add(tuple(found.shape[1:]))
        return found


@pytest.fixture(scope="module")
def data():
    return ms.load_data("digits", limit=120)


@pytest.fixture(scope="module")
def networks(data):
    specs = {"cnn": CNN, "larger": CNN_LARGER, "vit2": VIT.format(2), "vit4": VIT.format(4)}
    found = {name: load_for(data, spec, name=name, weights="random") for name, spec in specs.items()}
    for net in found.values():
        net.view = Watched(net.view)
    return found


@pytest.mark.parametrize(
    ("below", "above", "words"),
    [
        (
            "cnn",
            "vit2",
            "map to tokens, resize 2x2 to 4x4 (area down, bilinear up), prefix tokens 0 to 1 (missing ones: mean",
        ),
        ("vit2", "cnn", "tokens to map, resize 4x4 to 2x2 (area down, bilinear up), prefix tokens 1 to 0"),
        ("vit2", "vit4", "resize 4x4 to 2x2 (area down, bilinear up)"),
        ("cnn", "larger", "resize 2x2 to 3x3 (area down, bilinear up)"),
    ],
)
def test_any_layer_faces_any_other_and_both_see_the_same_samples(networks, data, below, above, words):
    bottom, top = networks[below], networks[above]
    for net in (bottom, top):
        net.view.seen.clear()
    stitched = ms.stitch(bottom, top, (AT[below], AT[above]), data, objective="match", batch_size=60)
    assert any(note.startswith(f"adapter: {words}") for note in stitched.record["notes"]), stitched.record["notes"]
    assert -100 <= stitched.penalty <= 100
    assert stitched.metrics["r2"] <= 1
    # In every pass each batch is seen by both, whatever sizes their views make of it.
    seen = [{tuple(x.tolist()) for x in net.view.seen} for net in (bottom, top)]
    assert seen[0] == seen[1]
    assert bottom.view.shapes != top.view.shapes or below.startswith("vit")


def run(arguments, folder, monkeypatch):
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output, (folder / "out" / "report.html").read_text(encoding="utf-8")


def test_a_convolutional_network_into_a_transformer_from_the_command_line(tmp_path, monkeypatch):
    output, html = run(
        [
            "compare",
            CNN,
            VIT.format(2),
            "--layers",
            "layer3 -> blocks.0",
            "--one-way",
            "--control",
            "self",
            "--steps",
            "2",
            "--objective",
            "task",
            "--limit",
            "60",
            "--random-weights",
            "--out",
            "out",
        ],
        tmp_path,
        monkeypatch,
    )
    assert "penalty in points" in output
    assert "test_resnet (random) → vit (random)" in html
    assert "map to tokens, resize 2x2 to 4x4" in html


def test_a_language_model_into_another_from_the_command_line(tmp_path, monkeypatch):
    (tmp_path / "corpus.txt").write_text("\n".join(texts.corpus(40)))
    for seed in (0, 1):
        texts.tokenizer(tmp_path / f"gpt2-{seed}")
        texts.small("gpt2", seed, layers=1).save_pretrained(tmp_path / f"gpt2-{seed}")
    output, html = run(
        [
            "compare",
            "hf:gpt2-0",
            "hf:gpt2-1",
            "--data",
            "text:corpus.txt?length=10",
            "--layers",
            "transformer.h.0",
            "--one-way",
            "--control",
            "self",
            "--steps",
            "2",
            "--objective",
            "task",
            "--out",
            "out",
        ],
        tmp_path,
        monkeypatch,
    )
    assert "penalty in nats/token" in output
    assert "penalty (nats/token" in html  # the axis of the figure
    assert "perplexity of the top" in html
    assert "points" not in html.split("<h2>At a glance")[-1].split("Provenance")[0]
    texts.tokenizer(tmp_path / "gpt2-1", words=(*texts.WORDS, "cow"))
    refused = CliRunner().invoke(
        cli, ["stitch", "hf:gpt2-0@transformer.h.0", "hf:gpt2-1@transformer.h.0", "--data", "text:corpus.txt?length=10"]
    )
    assert "have different tokenizers (their vocabularies have 24 and 23 tokens)" in str(refused.exception)
