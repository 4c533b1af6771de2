"""Where in the user's own code something happened."""

import sys
import sysconfig
from contextlib import nullcontext

import pytest
import torch

from modelstitch import Network
from modelstitch.network.trace import lines
from modelstitch.network.trace.lines import (
    SourceLine,
    is_outside,
    is_own,
    line_here,
    line_of_error,
    line_of_node,
    without_lines,
)


def test_a_line_is_told_with_its_text():
    line = line_here(sys._getframe())  # this very line
    assert line.file == __file__
    assert line.text == "line = line_here(sys._getframe())  # this very line"
    assert str(line) == f"{__file__}:{line.number} `{line.text}`"
    assert str(SourceLine("nowhere.py", 3)) == "nowhere.py:3"


@pytest.mark.parametrize(
    ("file", "own", "outside"),
    [
        (__file__, True, True),
        (torch.__file__, False, False),
        (lines.__file__, False, False),
        ("<string>", False, False),
        ("/x/site-packages/timm/models/resnet.py", False, True),
        (f"{sysconfig.get_path('stdlib')}/copy.py", False, True),
    ],
)
def test_whose_a_file_is(file, own, outside):
    assert is_own(file) is own
    assert is_outside(file) is outside


def broken(x):
    return x @ torch.zeros(5)


def test_an_error_in_torch_is_at_the_users_line():
    with pytest.raises(RuntimeError) as raised:
        broken(torch.zeros(3))
    line = line_of_error(raised.value)
    assert (line.file, line.text) == (__file__, "return x @ torch.zeros(5)")


def test_an_error_from_nowhere_has_no_line():
    assert line_of_error(ValueError("x")) is None


@pytest.mark.parametrize(
    ("trace", "wanted"),
    [
        (
            f'  File "/x/site-packages/lib/a.py", line 3, in f\n    y\n'
            f'  File "{__file__}", line 5, in forward\n    z\n',
            (__file__, 5),
        ),
        (
            f'  File "{__file__}", line 5, in forward\n    y\n  File "/x/site-packages/lib/a.py", line 3, in f\n',
            (__file__, 5),
        ),
        ('  File "/x/site-packages/lib/a.py", line 3, in f\n', ("/x/site-packages/lib/a.py", 3)),
        (f'  File "{torch.__file__}", line 3, in f\n', None),
        (None, None),
    ],
)
def test_a_value_of_the_graph_is_at_the_users_line_else_at_the_librarys(trace, wanted):
    node = torch.fx.Graph().placeholder("x")
    node.meta["stack_trace"] = trace
    found = line_of_node(node)
    assert (None if found is None else (found.file, found.number)) == wanted


@pytest.mark.parametrize("fails", [False, True])
def test_the_tracers_option_is_put_back(fails):
    before = torch.fx.config.do_not_emit_stack_traces
    with pytest.raises(ValueError) if fails else nullcontext(), without_lines():
        assert torch.fx.config.do_not_emit_stack_traces
        if fails:
            raise ValueError
    assert torch.fx.config.do_not_emit_stack_traces is before is False


def test_a_trace_notes_no_lines_nobody_asks_for():
    trace = Network(torch.nn.Linear(3, 2), torch.ones(2, 3))._trace
    assert [line_of_node(node) for node in trace.graph.nodes] == [None] * len(trace.graph.nodes)
