"""The networks of figures: what they are trained on, what is kept of them, and checkpoints of one's own."""

import dataclasses

import pytest
from tiny import TINY, tiny_job

from modelstitch.data.load import load_data
from modelstitch.errors import DataError, SourceError
from modelstitch.paper.donors import Workshop
from modelstitch.paper.figure import Model
from modelstitch.support.files import SetAside


def test_a_share_without_a_class_is_refused(tmp_path):
    job = tiny_job(tmp_path)
    with pytest.raises(DataError, match=r"holds no sample of class \d: expected all 10 classes"):
        job.workshop.own(Model(samples=0.04))
    with pytest.raises(DataError, match="is none"):
        job.workshop.own(Model(samples=0.001))


def test_the_scale_says_how_many_samples_are_little(tmp_path):
    scale = dataclasses.replace(TINY, amounts={"much": 0.9, "some": 0.8, "little": 0.7})
    job = tiny_job(tmp_path, scale)
    whole = job.data.size("fit")
    for samples, share in (("much", 0.9), ("some", 0.8), ("little", 0.7), (0.5, 0.5), (1.0, 1.0)):
        assert job.workshop.own(Model(samples=samples)).size("fit") == round(share * whole)
        assert job.seen_by(Model(samples=samples)).size("fit") == round(share * whole)
    assert "little data are 90, 80 and 70 % (the paper: 50, 20 and 10 %)" in scale.words
    assert TINY.words.endswith("little data are 50, 20 and 10 %")


@pytest.mark.parametrize("n", [1000, 999, 997, 250])
def test_halves_of_any_number_of_samples_do_not_meet(tmp_path, n):
    shop = Workshop(TINY, load_data("digits").subset(n), tmp_path)
    halves = [shop.own(Model(samples=0.5, part=part)) for part in (0, 1)]
    ids = [set(half.dataset("fit").ids.tolist()) for half in halves]
    assert [len(part) for part in ids] == [n // 2] * 2
    assert not ids[0] & ids[1]


def test_a_donor_whose_card_was_changed_is_set_aside_and_trained_anew(tmp_path):
    folder = tiny_job(tmp_path).workshop.donor(Model()).folder
    card = folder / "card.json"
    whole = card.read_text()
    card.write_text(whole.replace('"lr": 0.2', '"lr": 0.3'))
    with pytest.warns(SetAside, match="is damaged"):
        again = tiny_job(tmp_path).workshop.donor(Model()).folder
    assert again == folder
    assert '"lr": 0.2' in card.read_text()
    assert '"lr": 0.3' in (folder.with_name(f"{folder.name}.aside-1") / "card.json").read_text()


def test_checkpoints_of_ones_own_are_asked_for(tmp_path):
    model = Model("base", file="DINO")
    with pytest.raises(SourceError, match=r"expected --checkpoints DIR with DINO.safetensors"):
        tiny_job(tmp_path / "a").workshop.network(model)
    with pytest.raises(SourceError, match="There are no weights of DINO"):
        tiny_job(tmp_path / "b", checkpoints=tmp_path).workshop.network(model)
