"""artifact: the model folder, and the model that it holds.

May import runtime only.
"""

from .folder import Artifact
from .metadata import Example, InputSignature, Metadata
from .model import Model

__all__ = ["Artifact", "Example", "InputSignature", "Metadata", "Model"]
