"""Retrieval against a gallery: recall, ranks and losses against plain loops; ids that the gallery lacks."""

import numpy as np
import pytest
import torch
from torch import nn

import modelstitch as ms
from modelstitch.data.tasks import Retrieval
from modelstitch.engine.measure import Tally
from modelstitch.errors import DataError

GALLERY = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
IDS = torch.arange(30) // 2 + 100  # two items an id


def test_recall_ranks_and_losses_are_those_of_plain_loops():
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(100, 115, (40,), generator=generator)
    output = GALLERY[(labels - 100) * 2] + 0.8 * torch.randn(40, 6, generator=generator)
    task = Retrieval(GALLERY, IDS, k=5)
    tally = Tally(task, whole=True)
    for ids in torch.arange(40).split(16):
        tally.add(output[ids], labels[ids], ids)
    found = tally.outcome()
    ranks, losses = [], []
    for query, label in zip(output.double().numpy(), labels.tolist()):
        cosines = [query @ item / np.linalg.norm(query) / np.linalg.norm(item) for item in GALLERY.double().numpy()]
        best = max(c for c, i in zip(cosines, IDS.tolist()) if i == label)
        ranks.append(1 + sum(c >= best for c, i in zip(cosines, IDS.tolist()) if i != label))
        shares = np.exp(np.array(cosines) / 0.05)
        losses.append(-np.log(shares[(label == IDS).numpy()].sum() / shares.sum()))
    assert found.errors.tolist() == [100.0 * (rank > 5) for rank in ranks]
    assert found.losses.tolist() == pytest.approx(losses, rel=1e-4, abs=1e-5)
    assert found.numbers["mrr"][0] == pytest.approx(np.mean([1 / rank for rank in ranks]))
    for k in (1, 5, 10):
        assert found.numbers[f"recall@{k}"][0] == pytest.approx(100 * np.mean([rank <= k for rank in ranks]))
    assert found.unit == "points of recall@5"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: Retrieval(GALLERY, IDS[:5]),
            r"The gallery is of shape \(30, 6\) with ids of shape \(5,\): expected em",
        ),
        (lambda: Retrieval(GALLERY.numpy()[:, 0], IDS), r"The gallery is of shape \(30,\) with ids of shape \(30,\)"),
        (lambda: Retrieval([["a"]], [1]), r"The gallery is of type list \(.*\): expected embeddings, numbers"),
        (lambda: Retrieval(GALLERY, ["x"] * 30), "A label is 'x': expected whole numbers, of classes or ids"),
        (
            lambda: Retrieval(GALLERY, IDS / 7),
            "labels of the gallery are of type torch.float32: expected integers, ids",
        ),
        (lambda: Retrieval.of(GALLERY[:0], []), "The gallery has 0 items: expected 1 at least"),
        (
            lambda: Retrieval.of(GALLERY, IDS, k=31),
            r"The gallery has 30 items: expected 31 at least, .* looked at \(k\)",
        ),
        (
            lambda: ms.Data(
                (GALLERY, IDS), (GALLERY + 1, IDS), (GALLERY + 2, IDS[:, None].expand(-1, 2)), task="retrieval"
            ),
            r"labels of the test split of data are of shape \(30, 2\): expected one id for each query",
        ),
        (lambda: Retrieval(GALLERY * torch.nan, IDS), "The gallery holds NaN"),
        (lambda: Retrieval(GALLERY, IDS, k=31), "k is 31: expected a whole number from 1 to 30"),
        (
            lambda: ms.Data((GALLERY, IDS), (GALLERY + 1, IDS + 9), (GALLERY + 2, IDS), task=Retrieval(GALLERY, IDS)),
            "no ids of the gallery .18 of them, the first is 115.: expected one of its 15 ids",
        ),
        (lambda: Retrieval(GALLERY, IDS).fits("net", (4,), IDS), "the gallery holds vectors of 6 numbers"),
    ],
)
def test_galleries_and_ids_that_do_not_do(call, words):
    with pytest.raises(DataError, match=words):
        call()


def test_digits_are_found_by_their_embeddings():
    digits = ms.load_data("digits")

    def encoder(seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 24))
        return ms.Network(module.eval(), torch.zeros(2, 1, 8, 8), f"encoder{seed}")

    one, two = encoder(0), encoder(1)
    fit = next(digits.batches("fit", 2000))
    task = Retrieval(two(fit.inputs), fit.labels)
    data = ms.Data(*(digits.dataset(split) for split in ("fit", "val", "test")), task=task, name="digits found")
    s = ms.stitch(one, two, at="2", data=data, objective="match")
    test = next(digits.batches("test", 2000))
    near = task.likeness(s.predict(test.inputs)).argmax(1)
    assert s.metrics["error"] == pytest.approx(100 * float((fit.labels[near] != test.labels).double().mean()))
    assert s.metrics["top_recall@1"] == pytest.approx(100 - s.metrics["top_error"])
    assert s.metrics["top_error"] < 20 < s.metrics["chance_error"]
    assert s.record.data["task"]["items"] == 1000


def test_without_a_gallery_each_top_searches_what_it_gives_for_the_fit_split():
    digits = ms.load_data("digits", task="retrieval", limit=200)
    net = ms.Network(nn.Sequential(nn.Flatten(), nn.Linear(64, 5)).eval(), torch.zeros(2, 1, 8, 8), "net")
    task = digits.for_top(net, torch.device("cpu")).task
    fit = next(digits.batches("fit", 200))
    torch.testing.assert_close(task.gallery, nn.functional.normalize(net(fit.inputs)), rtol=1e-5, atol=1e-6)
    assert task.ids.tolist() == fit.labels.tolist()
    assert digits.for_top(net, torch.device("cpu")).task is task
    assert digits.task.stated()["gallery"] == "the fit split, as the top itself gives it"
    x = torch.randn(30, 1, 8, 8)
    lacking = ms.Data(
        (x, [0] * 15 + [1] * 15), (x + 1, [0] * 30), (x + 2, [0] * 29 + [5]), task="retrieval", name="few"
    )
    with pytest.raises(
        DataError, match=r"labels of the test split of few are no ids of the gallery .1 of them, the first"
    ):
        lacking.for_top(net, torch.device("cpu"))
    with pytest.raises(DataError, match="put what belongs to every query into the fit split, which is the gallery"):
        lacking.for_top(net, torch.device("cpu"))
    with pytest.raises(DataError, match="split of digits, which is the gallery, has 167 items: expected 900 at least"):
        digits.of_task("retrieval:900").for_top(net, torch.device("cpu"))
    one = ms.Network(nn.Sequential(nn.Flatten(), nn.Linear(64, 1)).eval(), torch.zeros(2, 1, 8, 8), "one")
    with pytest.raises(
        DataError, match=r"'one' gives values of shape .1,. for a sample: expected one vector of two num"
    ):
        digits.for_top(one, torch.device("cpu"))
    wide = ms.Network(nn.Conv2d(1, 2, 3).eval(), torch.zeros(2, 1, 8, 8), "wide")
    with pytest.raises(DataError, match=r"'wide' gives values of shape .2, 6, 6. for a sample: expected one vector"):
        digits.for_top(wide, torch.device("cpu"))


def encoders():
    made = []
    for seed in (0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 24))
        made.append(ms.Network(module.eval(), torch.zeros(2, 1, 8, 8), f"encoder{seed}", view=ms.Normalise(0.0, 1.0)))
    return made


def test_a_bottom_is_not_held_against_a_gallery_of_the_tops_space(tmp_path):
    digits, (one, two) = ms.load_data("digits"), encoders()
    fit = next(digits.batches("fit", 2000))
    data = digits.of_task(Retrieval(two(fit.inputs), fit.labels))
    r = ms.compare(one, two, data=data, layers="2", objective="match", controls=("self",), both=False)
    assert "bottom_error" not in r.frame["metric"].to_list()
    assert r.donors["encoder0"]["error"] is None
    assert not [note for note in r.notes if note.startswith("caution")]
    page = r.report(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "has not learned" not in page
    other = ms.compare(two, one, data=data, layers="2", objective="match", controls=(), both=False)
    (told,) = [note for note in other.notes if "samples of the fit split" in note]
    assert told.endswith(
        "the gallery may lie in another network's space; stitch into the network that embedded it, or leave it out, so "
        "that each top embeds its own"
    )


@pytest.mark.parametrize("n", [100, 2500], ids=["looked at whole", "looked at in part"])
def test_a_bottom_is_held_against_what_it_gives_itself_where_no_gallery_is_given(n):
    """Test samples beyond those looked at beforehand are read beside the stitches: by its own gallery, too."""
    generator, (one, two) = torch.Generator().manual_seed(0), encoders()
    x, ids = torch.rand(n, 1, 8, 8, generator=generator), torch.arange(n) % 10
    fit = 0.9 * x[:60] + 0.1 * torch.rand(60, 1, 8, 8, generator=generator)
    data = ms.Data((fit, ids[:60]), (fit[:20] + 1, ids[:20]), (x, ids), task="retrieval", name="points")
    r = ms.compare(one, two, data=data, layers="2", objective="match", controls=(), both=False)
    query, items = (nn.functional.normalize(one(one.view(part))) for part in (x, fit))
    wrong = 100 * float((ids[:60][(query @ items.T).argmax(1)] != ids).double().mean())
    assert r.donors["encoder0"]["error"] == pytest.approx(wrong)
    assert r.frame.filter(metric="bottom_error")["value"].to_list() == pytest.approx([wrong])
