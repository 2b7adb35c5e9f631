"""The files of the page as they are sent: its own, and those that it shares with `serve`'s page."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Mapping

from ...core.serving import page
from .app import HEADERS, INDEX
from .corrections import MAX_LABEL, MAX_TEXT

OWN = Path(__file__).parent / "page"
SHARED = ("answer.js", "asking.js", "csv.js", "dom.js", "icon.svg", "style.css")
ABOUT = "about.js"
FOLDER = "FOLDER"  # in index.html, where all else lies
FOR_EVER = "public, max-age=31536000, immutable"


def files(model: str, example: str = "") -> dict[str, bytes]:
    """The files of the page by their paths, with HEADERS, which has the headers of each.

    ``model`` is how the model is called on it, and ``example`` a text to ask about. All but the
    first file lies in a folder that is named after its content, so that it is kept for ever.
    """
    shown = {"model": model, "example": example, "maxText": MAX_TEXT, "maxLabel": MAX_LABEL}
    content = {name: (page.STATIC / name).read_bytes() for name in SHARED}
    own = (path for path in OWN.iterdir() if path.suffix in page.TYPES)
    content.update((path.name, path.read_bytes()) for path in own)
    content[ABOUT] = f"export const about = {_script(shown)};\n".encode()
    index = content.pop(INDEX)
    digest = hashlib.sha256(b"".join(content[name] for name in sorted(content))).hexdigest()[:16]
    folder = f"page/{digest}"
    found = {f"{folder}/{name}": body for name, body in content.items()}
    found[INDEX] = index.replace(FOLDER.encode(), folder.encode())
    headers = {name: _headers(name, body) for name, body in found.items()}
    return {**found, HEADERS: json.dumps(headers, indent=1).encode()}


def _headers(name: str, body: bytes) -> Mapping[str, str]:
    security = {name.decode(): value.decode() for name, value in page.SECURITY}
    return {
        **security,
        "content-type": page.TYPES[Path(name).suffix],
        "etag": f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        "cache-control": "no-cache" if name == INDEX else FOR_EVER,
    }


def _script(value: Any) -> str:
    """JSON as a module of JavaScript has it: in ASCII, as some line ends are none of a string."""
    return json.dumps(value, ensure_ascii=True)
