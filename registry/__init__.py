"""registry: algorithms by name — discovery, the command line, packaging, SageMaker.

May import core. Knows no algorithm but through the hooks, and is never shipped into a container.
"""

from .discovery import Catalog, Entry, catalog

__all__ = ["Catalog", "Entry", "catalog"]
