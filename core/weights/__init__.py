"""weights: pretrained weights as a folder: how a row of the table states them, and their files.

May import runtime and artifact (the name of the file of parameters), nothing else of core.
"""

from __future__ import annotations

from .folder import ABOUT, FILES, PACKED, About, Pretrained, is_folder, name_fault, read, write
from .row import NPM, PYPI, Package, PretrainedWeights

__all__ = [
    "ABOUT",
    "FILES",
    "NPM",
    "PACKED",
    "PYPI",
    "About",
    "Package",
    "Pretrained",
    "PretrainedWeights",
    "is_folder",
    "name_fault",
    "read",
    "write",
]
