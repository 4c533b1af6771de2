"""What a page opens with: a sentence a pair from its numbers, and common cautions once."""

import pytest
from synthetic import make_records

from modelstitch.report.frame import frame, pairs, panel, settings
from modelstitch.report.page import page
from modelstitch.report.sentences.answer import answers, said_once
from modelstitch.report.sentences.remark import Remark
from modelstitch.support.shown import without_folders

TABLE = frame(make_records())
PANELS = [(f"{b} to {t}", panel(TABLE, b, t, settings(TABLE)[0])) for b, t in pairs(TABLE)]


def test_a_sentence_a_pair_and_no_more_than_four():
    told = answers(PANELS)
    assert len(told) == 5
    assert told[0].startswith(
        "seed0 to rotation (alone they err by 3.6 percent and 3.1 percent): near 0 (within 3.0 points, with"
    )
    assert "the largest penalty is" in told[0]
    assert told[-1] == f"{len(PANELS) - 4} more pairs are below."


def test_what_pairs_have_in_common_is_said_once():
    one, two, own = Remark("warning", "A top at chance."), Remark("warning", "Few."), Remark("warning", "Mine.")
    shared, rest = said_once([("p", [one, two]), ("q", [one]), ("r", [one, two, own])])
    assert [remark.text for remark in shared] == ["A top at chance. (Of all 3 pairs.)", "Few. (Of p, r.)"]
    assert rest == [[], [], [own]]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("modelstitch compare /home/me/a b --data parquet:/data/x/y", "modelstitch compare …/a b --data parquet:…/y"),
        ("runs/a/b ./c ~/d https://x.y/z 1/2 a -> b", "runs/a/b ./c ~/d https://x.y/z 1/2 a -> b"),
        (r"'C:\me\a.pt'", "'…/a.pt'"),
    ],
)
def test_a_page_shows_no_path_of_its_machine(text, told):
    assert without_folders(text) == told


def test_the_page_opens_with_the_answer_and_lists_many_pairs():
    html = page(make_records(), title="t", command="modelstitch compare /home/me/nets/a b")
    assert html.index('class="answer"') < html.index("At a glance")
    assert html.count('href="#pair-') == len(PANELS)
    assert "/home/me" not in html
