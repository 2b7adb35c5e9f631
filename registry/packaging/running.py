"""Run pip as a program of its own, and say what it says."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ...core.runtime.errors import AlgoshelfError

DOWNLOAD_SECONDS = 600


def pip(command: list[str], option: str, folder: Path | None = None) -> None:
    """Run pip. Raises AlgoshelfError with what it says."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_SECONDS,
            check=False,
            cwd=folder,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AlgoshelfError(f"{option}: pip failed: {error}") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise AlgoshelfError(
            f"{option}: pip did not find all requirements: "
            + ("\n".join(said) or done.stderr.strip() or f"exit code {done.returncode}")
        )
