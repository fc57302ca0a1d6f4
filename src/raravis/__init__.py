"""raravis finds what is rare in hours of unlabelled recordings.

    >>> import raravis
    >>> detector = raravis.Detector().fit("recordings/")
    >>> detector.score("recordings/")           # every window, as a pandas table
    >>> detector.events()                       # what is rare, ranked

Public names are loaded when they are first used, so that `import raravis` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from raravis.detector import Detector as Detector
    from raravis.errors import DataError as DataError
    from raravis.errors import NothingToRead as NothingToRead
    from raravis.errors import ParameterError as ParameterError
    from raravis.errors import RaravisError as RaravisError
    from raravis.errors import RecordingError as RecordingError
    from raravis.errors import RunError as RunError
    from raravis.sound.synthesis import dawn_chorus as dawn_chorus

_HOMES = {
    "Detector": "raravis.detector",
    "dawn_chorus": "raravis.sound.synthesis",
    "RaravisError": "raravis.errors",
    "ParameterError": "raravis.errors",
    "DataError": "raravis.errors",
    "RecordingError": "raravis.errors",
    "NothingToRead": "raravis.errors",
    "RunError": "raravis.errors",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'raravis' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
