"""What a release is made of agrees with itself: versions, requirements, forms, and no address of a registry."""

import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import modelstitch

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IN_CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


def read(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_there_is_one_version():
    assert "version" in PROJECT["dynamic"]
    assert version("modelstitch") == modelstitch.__version__
    assert read("CITATION.cff")["version"] == modelstitch.__version__
    assert read("conda/recipe.yaml")["context"]["version"] == modelstitch.__version__


def test_the_recipe_asks_for_what_the_package_asks_for():
    asked = [re.fullmatch(r"([\w-]+)(.*)", one).groups() for one in PROJECT["dependencies"]]
    wanted = {f"{IN_CONDA.get(name, name)} {bounds}" for name, bounds in asked}
    assert set(read("conda/recipe.yaml")["requirements"]["run"]) == wanted | {f"python {PROJECT['requires-python']}"}


def test_all_extras_are_in_all_and_are_checked():
    extras = PROJECT["optional-dependencies"]
    names = set(extras) - {"all"}
    (whole,) = extras["all"]
    assert set(re.search(r"\[(.*)\]", whole)[1].split(",")) == names
    script = (ROOT / ".ci/wheel").read_text(encoding="utf-8")
    assert set(re.search(r"extras=\((none .*)\)", script)[1].split()) == names | {"none"}
    assert all(f"\n    {name}) " in script for name in names)


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.stem)
def test_forms_and_workflows_can_be_read(path):
    found = read(path.relative_to(ROOT))
    assert found["name"]
    if path.parent.name == "ISSUE_TEMPLATE":
        assert {part["type"] for part in found["body"]} <= {"input", "textarea"}
        assert len({part["id"] for part in found["body"]}) == len(found["body"])


def test_every_python_that_is_named_is_tested():
    named = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)}
    tested = read(".github/workflows/ci.yml")["jobs"]["pythons"]["strategy"]["matrix"]["python"]
    assert named == set(tested)


def test_no_committed_file_names_a_registry():
    registry = "|".join(("py" + r"pi\.org", "python" + r"hosted\.org", "anaconda" + r"\.org"))
    found = subprocess.run(
        ["git", "grep", "-IlE", registry, "--", ".", ":!*.parquet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert found == []
