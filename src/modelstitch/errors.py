"""Every error a user can meet, one sentence each: what, expected, found, what to try.

```text
StitchError
├── NetworkError          a network and its layers
│   ├── TraceError        the network cannot be traced
│   ├── UnknownLayerError no layer of that name
│   └── InexactCutError   the layer exists, but values bypass it
├── SourceError           a model or a checkpoint cannot be loaded
│   └── MissingExtraError an optional dependency is not installed
├── DataError             data that cannot be read or used
│   └── ArrayError        embeddings that cannot be aligned; a ValueError, too, as scikit-learn's own checks are
├── ShapeError            two layers that no stitcher of the family can join
├── NonFiniteError        NaN or infinity in activations, losses or statistics
├── FitError              fitting failed or diverged
├── FoldError             a map that cannot be folded into its neighbours exactly
├── MeasureError          a number that cannot be computed from what was given
├── ContractError         a stitcher family breaks a clause of the contract
└── StudyError            a study's spec, folder or records
    └── RecordError       something kept that cannot be believed, and why
```
"""

import re

from .support.shown import visible

_NEXT = re.compile(r"\.\s+(?=[A-Z])")  # where advice begins that is not ours


class StitchError(Exception):
    """Base of all errors modelstitch raises on purpose. Its text holds nothing that would steer a terminal."""

    def __str__(self) -> str:
        return visible(super().__str__())


class NetworkError(StitchError):
    """A network and its layers."""


class TraceError(NetworkError):
    """The network cannot be traced."""


class UnknownLayerError(NetworkError):
    """No layer of that name."""


class InexactCutError(NetworkError):
    """The layer exists, but values bypass it, so that it cannot be cut."""


class SourceError(StitchError):
    """A model or a checkpoint cannot be loaded."""


class MissingExtraError(SourceError):
    """An optional dependency is not installed."""


class DataError(StitchError):
    """Data that cannot be read or used."""


class ArrayError(DataError, ValueError):
    """Embeddings that cannot be aligned; a ``ValueError``, too, as scikit-learn expects."""


class ShapeError(StitchError):
    """Two layers that no stitcher of the asked family can join."""


class NonFiniteError(StitchError):
    """NaN or infinity where a number was needed."""


class FitError(StitchError):
    """Fitting failed or diverged."""


class FoldError(StitchError):
    """A map that cannot be folded into its neighbours exactly."""


class MeasureError(StitchError):
    """A number that cannot be computed from what was given."""


class ContractError(StitchError):
    """A stitcher family breaks a clause of the contract that all families hold to."""


class StudyError(StitchError):
    """A study's spec, folder or records."""


class RecordError(StudyError):
    """A record, or another kept file, that cannot be believed."""


def first_line(error: BaseException) -> str:
    """The first sentence of an error's text, at most 300 characters; of the file system its own word."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return _NEXT.split(lines[0], maxsplit=1)[0][:300] if lines else "no message"
