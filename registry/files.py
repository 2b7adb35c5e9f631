"""Files that are written whole or not at all, and the look beforehand whether they can be."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from ..core.runtime import staging
from ..core.runtime.errors import OutputError


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text``, all or nothing. Raises OutputError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with staging.stage(path.parent, path.name) as stage:
            whole = stage / path.name
            whole.write_text(text, encoding="utf-8")
            whole.chmod(0o644)
            os.replace(whole, path)
    except OSError as error:
        raise OutputError(staging.unwritable(path, error)) from None


def check_writable(folder: Path) -> None:
    """Raises OutputError where nothing can be written into ``folder``, which need not be there."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(staging.unwritable(folder, error)) from None
    finally:
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()
