"""The version, which the distribution reads here, too, and where a number comes from: versions, machine and date."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

VERSION = "0.1.0"


def provenance(device: torch.device) -> dict[str, Any]:
    """State versions, device, threads, platform and date, as records do."""
    import torch  # the package itself is imported without it

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "modelstitch": VERSION,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": f"{device.type} ({name})",
        "threads": torch.get_num_threads(),
        "platform": platform.platform(terse=True),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
