"""Attention masks as the running network makes them.

transformers leaves a mask out where nothing is masked, except while it is exported: then it builds one of zeros for
every sample, and some attention kernels round otherwise with it. A network whose example carries no mask is traced as
it runs. A mask that is an input is traced in full all the same: its values are not looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_MODULE, _ASKED = "transformers.masking_utils", "is_torchdynamo_exporting"


@contextmanager
def masks_as_run() -> Iterator[None]:
    """While it is entered, transformers makes the masks it makes when it is not exported."""
    module = sys.modules.get(_MODULE)
    before = getattr(module, _ASKED, None)
    if before is None:  # no network of transformers here, or a version that asks in another way
        yield
        return
    setattr(module, _ASKED, lambda: False)
    try:
        yield
    finally:
        setattr(module, _ASKED, before)
