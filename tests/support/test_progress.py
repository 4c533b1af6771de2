"""Progress: rate and time left, in a terminal, in a file, and in a notebook."""

import io
import subprocess
import sys

from rich.console import Console

import modelstitch


def drawn(**options):
    out = io.StringIO()
    with modelstitch.progress(Console(file=out, width=120, **options)) as tell:
        for done in range(0, 101, 10):
            tell("zero -> one [block1]", done, 100)
        tell("one -> zero", 3, 6)
    return out.getvalue()


def test_a_terminal_sees_rate_and_time_left():
    text = drawn(force_terminal=True)
    assert "zero -> one [block1]" in text  # brackets of a name are no markup
    assert "100/100" in text
    assert "/s" in text
    assert "3/6" in text
    assert "-:--:--" in text or "0:00:0" in text


def test_in_eighty_columns_no_number_is_cut_and_both_networks_can_be_told():
    out = io.StringIO()
    with modelstitch.progress(Console(file=out, width=80, force_terminal=True)) as tell:
        for done in range(0, 45001, 4500):
            tell("resnet20-0-cfeca1c56cf2 -> resnet32-1-c43c3ce64bd8", done, 45000)
    last = out.getvalue().split("resnet20-0")[-1]
    assert "resnet32-1-c43c3ce64bd8" in last
    assert "45000/45000" in last
    assert "/s" in last
    assert last.count("0:00:0") == 2


def test_a_file_gets_the_last_state():
    text = drawn(force_terminal=False)
    assert "\x1b" not in text
    assert text.count("100/100") == 1


def test_a_notebook_without_widgets_gets_plain_lines(monkeypatch, capsys):
    monkeypatch.setattr("modelstitch.support.progress.time", Clock())
    monkeypatch.setattr("modelstitch.support.progress.find_spec", lambda name: None)  # ipywidgets: not everybody has it
    with modelstitch.progress(Console(force_jupyter=True, width=100)) as tell:
        for done in range(6):
            tell("zero -> one", done, 5)
    assert capsys.readouterr().out == "zero -> one: 5/5, 0.1/s, 50 s\n"


def test_the_name_stays_a_function_after_the_command_line_was_used():
    code = "import modelstitch.cli.common, modelstitch; assert callable(modelstitch.progress), modelstitch.progress"
    subprocess.run([sys.executable, "-c", code], check=True)


class Clock:
    """A clock that goes ten seconds further at every look."""

    def __init__(self):
        self.now, self.step = 0.0, 10.0

    def monotonic(self):
        self.now += self.step
        return self.now


def test_a_log_gets_a_line_a_minute_and_what_is_left_undone(monkeypatch):
    monkeypatch.setattr("modelstitch.support.progress.time", Clock())
    out = io.StringIO()
    with modelstitch.progress(Console(file=out, force_terminal=False)) as tell:
        for done in range(13):
            tell("long", done, 12)
        tell.speak("one alone: 12 % error")
        tell("cut short", 1, 6)
    assert out.getvalue().splitlines() == [
        "long: 5/12, 0.1/s, 70 s left",
        "long: 11/12, 0.1/s, 10 s left",
        "long: 12/12, 0.1/s, 120 s",
        "one alone: 12 % error",
        "cut short: 1/6",
    ]


def test_a_rate_needs_two_marks_apart_in_time(monkeypatch):
    """Work that is heard of once, when it is done, or whose marks all come at one moment, shows none."""
    clock = Clock()
    monkeypatch.setattr("modelstitch.support.progress.time", clock)
    out = io.StringIO()
    with modelstitch.progress(Console(file=out, force_terminal=False)) as tell:
        tell("heard of once", 512, 512)
        clock.step = 1e-4
        for done in range(4):
            tell("all at one moment", done, 3)
        clock.step = 10.0
        for done in range(500, 503):
            tell("taken up again at 500", done, 502)
        for done in (0, 4000):
            tell("fast", done, 4000)
    assert out.getvalue().splitlines() == [
        "heard of once: 512/512",
        "all at one moment: 3/3",
        "taken up again at 500: 502/502, 0.1/s, 20 s",
        "fast: 4000/4000, 400/s, 10 s",
    ]
