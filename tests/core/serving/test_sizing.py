"""How many workers, and whether a model fits: what is left when its folder goes away."""

from __future__ import annotations

from pathlib import Path

import pytest
from algoshelf.core.runtime.errors import ArtifactError
from algoshelf.core.serving import sizing


def test_a_folder_that_has_vanished_since_it_was_opened_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    with pytest.raises(ArtifactError, match=f"{gone}: cannot be read: No such file"):
        sizing.workers(1, ["cpu"], [gone])
    assert sizing.fits(gone, 1)  # whoever opens it says what is wrong
