"""``modelstitch doctor``."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
from pathlib import Path
from typing import Any

import click

from . import common

_CORE = ("torch", "numpy", "scipy", "scikit-learn", "polars", "matplotlib", "safetensors", "pydantic", "rich", "click")


@click.command()
@common.speaks(quiet=False)
def doctor() -> None:
    """Show versions, devices, threads, memory, caches, and which extras there are: what a report of a fault needs."""
    from ..support.memory import readable
    from ..support.version import VERSION

    versions = {"modelstitch": VERSION, "python": platform.python_version()} | {n: _version(n) for n in _CORE}
    machine, extras, caches = _machine(), _extras(), _caches()
    common.table(["package", "version"], [[name, found or "missing"] for name, found in versions.items()])
    common.table(
        ["extra", "packages", "state"],
        [
            [name, ", ".join(f"{n} {v or '-'}" for n, v in found.items()), _state(name, found)]
            for name, found in extras.items()
        ],
        words=["packages", "state"],
    )
    common.table(
        ["cache", "folder", "state"],
        [[name, str(folder), "there" if folder.is_dir() else "not there yet"] for name, folder in caches.items()],
        words=["folder", "state"],
    )
    common.say(f"{platform.platform()}, {sys.executable}.")
    memory = "unknown" if machine["memory"] is None else readable(machine["memory"])
    common.say(
        f"{machine['processors']} processors, {machine['threads']} threads of torch; free memory: {memory}; "
        f"devices: {', '.join(machine['devices'])}."
    )
    folders = {name: str(folder) for name, folder in caches.items()}
    common.result(versions=versions, extras=extras, caches=folders, platform=platform.platform(), **machine)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _machine() -> dict[str, Any]:
    import torch

    from ..support.memory import available_bytes

    gpus = [f"cuda:{at} ({torch.cuda.get_device_name(at)})" for at in range(torch.cuda.device_count())]
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processors": usable,
        "threads": torch.get_num_threads(),
        "memory": available_bytes(),
        "devices": ["cpu", *gpus],
    }


def _extras() -> dict[str, dict[str, str | None]]:
    """Each extra, and of each package that it asks for the installed version."""
    import re

    found: dict[str, dict[str, str | None]] = {}
    for asked in importlib.metadata.requires("modelstitch") or ():
        package, _, extra = asked.partition("; extra == ")
        name = re.split(r"[\s<>=!~\[;(]", package, maxsplit=1)[0]
        extra = extra.strip("\"' ")
        if extra and name != "modelstitch":
            found.setdefault(extra, {})[name] = _version(name)
    return dict(sorted(found.items()))


def _state(extra: str, found: dict[str, str | None]) -> str:
    return "installed" if all(found.values()) else f"pip install 'modelstitch[{extra}]'"


def _caches() -> dict[str, Path]:
    """Where libraries keep published weights."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    hub = Path(os.environ.get("HF_HOME", home / "huggingface"))
    return {
        "Hugging Face": Path(os.environ.get("HF_HUB_CACHE", hub / "hub")),
        "torch": Path(os.environ.get("TORCH_HOME", home / "torch")),
    }
