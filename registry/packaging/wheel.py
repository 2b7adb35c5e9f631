"""Rebuild a wheel of an installed distribution, the same bytes every time: PEP 427, PEP 376."""

from __future__ import annotations

import base64
import hashlib
import io
from importlib import metadata

from ...core.runtime.errors import PluginError
from .contents import Files, read
from .writing import write_zip

WHEEL = "Wheel-Version: 1.0\nGenerator: algoshelf\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel(distribution: metadata.Distribution, files: Files) -> tuple[str, bytes]:
    """The name and the content of the wheel that installs ``files`` as ``distribution``.

    Raises PluginError where its metadata is not to be found.
    """
    name = distribution.metadata["Name"].replace("-", "_").replace(".", "_")
    info = f"{name}-{distribution.version}.dist-info"
    parts = {path: read(content) for path, content in files.items()}
    parts[f"{info}/METADATA"] = _metadata(distribution).encode()
    parts[f"{info}/WHEEL"] = WHEEL.encode()
    parts[f"{info}/entry_points.txt"] = (distribution.read_text("entry_points.txt") or "").encode()
    record = "".join(
        f"{path},{_digest(parts[path])},{len(parts[path])}\n" for path in sorted(parts)
    )
    parts[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    buffer = io.BytesIO()
    write_zip(buffer, dict(parts))
    return f"{name}-{distribution.version}-py3-none-any.whl", buffer.getvalue()


def _metadata(distribution: metadata.Distribution) -> str:
    """What an installer reads; a folder of sources on the path has it as PKG-INFO.

    Setuptools before 69 leaves the requirements out of that, and has them in a file of their own.
    """
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO")
    if not text:
        raise PluginError(
            f"{distribution.metadata['Name']}: its metadata cannot be found: reinstall it"
        )
    if "\nRequires-Dist:" not in text:
        first, _, rest = text.partition("\n")
        required = "".join(f"Requires-Dist: {line}\n" for line in distribution.requires or ())
        text = f"{first}\n{required}{rest}"
    return text


def _digest(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"
