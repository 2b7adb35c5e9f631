"""artifact: the model folder, and the model in it.

May import runtime only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..runtime import lazy
from ..runtime.deprecated import keep_old_names

if TYPE_CHECKING:
    from .folder import Artifact
    from .metadata import Example, InputSignature, Metadata
    from .model import Model

__all__ = ["Artifact", "Example", "InputSignature", "Metadata", "Model"]

lazy.offer(
    __name__,
    {
        "folder": "Artifact",
        "metadata": "Example InputSignature Metadata",
        "model": "Model",
    },
)
keep_old_names(__name__, "artifact")
