"""Write files atomically, and check beforehand that they can be written."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from ..core.runtime.errors import OutputError
from ..core.runtime.staging import remove_empty, unwritable, write_whole

HOME = "ALGOSHELF_HOME"


def cache_folder() -> Path:
    """Where what was fetched is kept: ALGOSHELF_HOME, or algoshelf below XDG_CACHE_HOME or where
    the platform keeps caches.
    """
    own, named = os.environ.get(HOME, ""), os.environ.get("XDG_CACHE_HOME", "")
    if own:
        return Path(own).absolute()
    if os.path.isabs(named):
        return Path(named) / "algoshelf"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "algoshelf"
    return Path.home() / ".cache" / "algoshelf"


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text``, all or nothing. Raises OutputError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
    except OSError as error:
        raise OutputError(unwritable(path, error)) from None


def check_writable(folder: Path) -> None:
    """Raises OutputError where nothing can be written into ``folder``, which need not be there."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(unwritable(folder, error)) from None
    finally:
        remove_empty(made)
