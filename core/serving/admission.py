"""Who may send requests (host names, bearer token), and from where models may be loaded."""

from __future__ import annotations

import functools
import hashlib
import hmac
import ipaddress
import os
from pathlib import Path
from typing import Sequence

from ..runtime.errors import InputError

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
ANY = "*"
FEWEST_TOKEN_CHARACTERS = 16
MAX_TOKEN_BYTES = 4096
MAX_FILES = 10_000  # of a model


def allowed_hosts(asked: str, host: str | None) -> tuple[str, ...] | None:
    """The names by which a server at ``host`` may be called; None for any.

    ``asked`` names them, with commas between; where it is empty they are those of the loopback, and
    ``host`` itself. A page in a browser can make its own name one for 127.0.0.1 (DNS rebinding),
    but not have the browser call it otherwise. Who listens at all addresses may be called by each
    of them: an address cannot be rebound.
    """
    named = tuple(name.strip().lower() for name in asked.split(",") if name.strip())
    if ANY in named:
        return None
    if named:
        return named
    own = (_in_brackets(host.lower()),) if host else ()
    return (*LOOPBACK, *own)


@functools.lru_cache(maxsize=128)
def is_allowed(host: str, allowed: tuple[str, ...]) -> bool:
    """Whether a Host header, a name with or without a port, is one of ``allowed``."""
    name, separator, port = host.lower().rpartition(":")
    if not separator or not port.isdigit():
        name = host.lower()
    return name.rstrip(".") in allowed or (_listens_everywhere(allowed) and _is_address(name))


def _listens_everywhere(allowed: Sequence[str]) -> bool:
    return "0.0.0.0" in allowed or "[::]" in allowed


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _in_brackets(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def read_token(path: Path, option: str = "--token-file") -> bytes:
    """The token in the file of ``option``, without the blanks around it. Raises InputError."""
    try:
        with path.open("rb") as file:
            token = file.read(MAX_TOKEN_BYTES + 1).strip()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror} ({option})") from None
    if not FEWEST_TOKEN_CHARACTERS <= len(token) <= MAX_TOKEN_BYTES or len(token.split()) != 1:
        raise InputError(
            f"{path}: expected one token of {FEWEST_TOKEN_CHARACTERS} characters or more, such as "
            f"`openssl rand -hex 32` prints ({option})"
        )
    return token


def knows(authorization: str, token: bytes) -> bool:
    """Whether an Authorization header bears ``token``; it takes as long whatever is wrong."""
    scheme, _, given = authorization.partition(" ")
    digests = (hashlib.sha256(text).digest() for text in (given.strip().encode("latin-1"), token))
    return hmac.compare_digest(*digests) and scheme.lower() == "bearer"


def confined(path: Path, roots: Sequence[Path]) -> Path:
    """The real path of a model folder, which lies within one of ``roots`` as all that it holds.

    A relative path starts at the first of them. Raises InputError, which says nothing of what is
    there.
    """
    if ".." in path.parts:
        raise InputError("expected a path without ..")
    real_roots = [Path(os.path.realpath(root)) for root in roots]
    if not real_roots:
        raise InputError("no folder may be loaded from")
    real = Path(os.path.realpath(real_roots[0] / path))
    for root in real_roots:
        if _is_within(real, root):
            _check_links(real, root)
            return real
    raise InputError("it lies outside of the folder that --model-root names")


def _is_within(path: Path, root: Path) -> bool:
    return path == root or root in path.parents


def _check_links(folder: Path, root: Path) -> None:
    """Raise InputError where a link in ``folder`` leads out of ``root``."""
    count = 0
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            count += 1
            if count > MAX_FILES:
                raise InputError(f"it holds more than {MAX_FILES:,} files: this is no model")
            path = os.path.join(parent, name)
            if os.path.islink(path) and not _is_within(Path(os.path.realpath(path)), root):
                raise InputError("it holds a link that leads out of the folder of --model-root")
