"""A place where a test installs distributions of strangers."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT, Algoshelf, Result


def install(folder: Path, name: str, source: str, version: str = "1.0") -> Path:
    """A distribution ``name`` with one module, as an installer leaves it; its .dist-info."""
    module = re.sub(r"\W", "_", name)
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[algoshelf]\n{module} = {module}\n")
    return info


class Site:
    """A folder of distributions that the command line sees beside its own environment."""

    def __init__(self, algoshelf: Algoshelf, folder: Path) -> None:
        self.algoshelf = algoshelf
        self.folder = folder
        folder.mkdir()

    def install(self, name: str, source: str, version: str = "1.0") -> Path:
        return install(self.folder, name, source, version)

    def __call__(self, *arguments: object, **environment: str) -> Result:
        path = str(self.folder) + os.pathsep + str(ROOT)
        return self.algoshelf(*arguments, PYTHONPATH=path, **environment)


@pytest.fixture
def site(algoshelf: Algoshelf, tmp_path: Path) -> Site:
    return Site(algoshelf, tmp_path / "site")
