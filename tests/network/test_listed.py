"""The table of layers: the same on the command line and in a notebook."""

import torch
from click.testing import CliRunner
from torch import nn

import modelstitch as ms
from modelstitch.cli import cli
from modelstitch.network.listed import HEAD, row_of

NET = "zoo:small-resnet?width=4&blocks=2"


def test_both_show_the_same_rows():
    net = ms.load(NET, meta=True)
    told, html = CliRunner().invoke(cli, ["layers", NET], catch_exceptions=False).output, net._repr_html_()
    for layer in net.layers.values():
        row = row_of(layer, net.blocks)
        assert len(row) == len(HEAD)
        if layer.exact:
            assert all(f"<td>{cell}</td>" in html and cell in told for cell in row)
    for line in net.in_words:
        assert line in " ".join(told.split())
        assert line in html


def test_a_name_is_no_markup():
    net = ms.Network(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), torch.zeros(2, 4), "<b>mine</b>")
    assert "&lt;b&gt;mine&lt;/b&gt;" in net._repr_html_()
    assert "<b>" not in net._repr_html_()
