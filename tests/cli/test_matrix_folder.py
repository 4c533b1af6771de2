"""Two matrices may share a folder: the sums of each are its own, and are used again."""

from click.testing import CliRunner

from modelstitch.cli import cli


def test_another_matrix_in_the_same_folder_is_no_mistake(tmp_path):
    for width, files in ((4, 1), (6, 2), (4, 2)):
        arguments = ["matrix", "zoo:small-resnet?width=4&blocks=2", f"zoo:small-resnet?width={width}&blocks=2"]
        options = ["--limit", "200", "--measure", "cka", "--out", str(tmp_path)]
        done = CliRunner().invoke(cli, arguments + options, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        assert len(list(tmp_path.glob("sums-*.safetensors"))) == files
