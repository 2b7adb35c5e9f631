"""artifact: the model folder, and the model in it.

May import runtime only.
"""

from .folder import Artifact, Model
from .metadata import Example, InputSignature, Metadata

__all__ = ["Artifact", "Example", "InputSignature", "Metadata", "Model"]
