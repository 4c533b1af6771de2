"""Imports point one way: no room imports a room above it, inside functions neither."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "modelstitch"

# Lower rooms first. A room may import its own rank and below.
RANKS = [
    {"errors", "notation", "support"},
    {"stats", "views"},
    {"network"},
    {"data"},
    {"zoo"},
    {"models", "moments"},
    {"stitchers", "measures"},
    {"engine"},
    {"study"},
    {"report"},
    {"results", "stitched", "layerwise"},
    {"crossing"},
    {"paper"},
    {"api"},
    {"cli", "__main__"},
]
RANK = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path):
    """Absolute dotted names, below the package, of everything a file imports."""
    package = path.relative_to(SOURCE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - (node.level - 1)]
            module = (*base, *(node.module.split(".") if node.module else ()))
            if module:
                yield module
            else:
                yield from ((alias.name,) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "modelstitch":
            yield tuple(node.module.split(".")[1:])
        elif isinstance(node, ast.Import):
            yield from (tuple(a.name.split(".")[1:]) for a in node.names if a.name.split(".")[0] == "modelstitch")


FILES = sorted(p for p in SOURCE.rglob("*.py") if p.parent != SOURCE or p.name != "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_import_points_upwards(path):
    room = room_of(path)
    assert room in RANK, f"{room} has no place in the order of rooms: give it one in this test and in docs/design.md"
    for module in imports(path):
        if module and module[0] in RANK:
            assert RANK[module[0]] <= RANK[room], (
                f"{path.name} ({room}) imports {'.'.join(module)}, which lies above it"
            )


def test_the_torch_free_rooms_know_only_the_torch_free_half_of_a_study():
    for path in FILES:
        if room_of(path) == "report":
            for module in imports(path):
                if module[0] == "study":
                    assert module[1:2] in [
                        ("store",),
                        ("spec",),
                        ("canonical",),
                        ("parquet",),
                        ("record",),
                        ("examples",),
                        ("question",),
                        ("pooling",),
                    ], (  # fmt: skip
                        f"{path.name}: {module}"
                    )


def test_the_root_holds_the_doors_alone():
    loose = {p.name for p in SOURCE.iterdir() if p.is_file()}
    assert loose == {"__init__.py", "__main__.py", "api.py", "results.py", "errors.py", "notation.py", "py.typed"}


def test_no_room_has_the_name_of_a_public_function():
    import modelstitch

    rooms = {p.name for p in SOURCE.iterdir() if p.is_dir()}
    assert not rooms & set(modelstitch.__all__)
