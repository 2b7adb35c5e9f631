"""A small detector, trained once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import InProcess, made_once

SMALL = (
    "--epochs", 2, "--image-size", 64, "--width", 16, "--batch-size", 8, "--threshold", 0.01,
    "--most-objects", 20,
)  # fmt: skip


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """object-detection after two epochs on the bundled sample; what was said is in log.txt."""

    def make(folder: Path) -> None:
        result = InProcess(folder)("train", "object-detection", *SMALL, "--output", "m")
        assert result.code == 0, result.stderr
        (folder / "log.txt").write_text(result.stderr)

    return made_once(tmp_path_factory, "detector", make) / "m"
