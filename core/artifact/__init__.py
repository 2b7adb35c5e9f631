"""artifact: the model folder, and the model in it.

May import runtime only.
"""

from ..runtime.deprecated import keep_old_names
from .folder import Artifact
from .metadata import Example, InputSignature, Metadata
from .model import Model

__all__ = ["Artifact", "Example", "InputSignature", "Metadata", "Model"]

keep_old_names(__name__, "artifact")
