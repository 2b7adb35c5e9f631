"""Being in the catalog is being checked: every built-in algorithm passes the whole battery."""

from __future__ import annotations

from algoshelf.core.conformance import conformance_tests
from algoshelf.registry import catalog

for entry in catalog():
    if entry.distribution == "algoshelf":
        name = entry.algorithm.name.replace("-", "_")
        globals()[f"test_{name}"] = conformance_tests(type(entry.algorithm))
