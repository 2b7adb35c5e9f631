"""artifact: the model folder, and the model that it holds.

May import runtime only.
"""

from ..runtime.deprecated import old_names
from .folder import Artifact, Model
from .metadata import Example, InputSignature, Metadata

__all__ = ["Artifact", "Example", "InputSignature", "Metadata", "Model"]

__getattr__ = old_names(__name__, "artifact")
