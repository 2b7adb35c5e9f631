"""artifact: the model folder, and the model that it holds.

May import runtime only.
"""

from .folder import Artifact, Example, InputSignature, Metadata, Model

__all__ = ["Artifact", "Example", "InputSignature", "Metadata", "Model"]
