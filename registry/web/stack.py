"""Write the stack of the review app: its template, and the archive of its function."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from ...core import Classifier, container
from ...core.algorithm import widgets
from ...core.artifact.folder import Artifact
from ...core.payload import JSON
from ...core.runtime.errors import InputError
from ...core.serving.page.described import widget_of
from ..discovery import Entry
from ..packaging import answering, writing
from ..packaging.contents import OWN, Files
from ..packaging.kinds import filled
from . import app, site
from .template import ARCHIVE, TEMPLATE, Stack, template

SCAFFOLD = Path(__file__).parent / "scaffold"
# The modules of the function that an endpoint answers for, and the packages that hold them.
MODULES = ("app.py", "corrections.py")
EVENTS = "events.py"
EMPTY = ("registry/__init__.py", "registry/web/__init__.py")
EMPTY_OF_CORE = ("core/__init__.py", "core/container/__init__.py")


def check_texts(entry: Entry, artifact: Artifact) -> None:
    """Raises InputError for a model that does not tell the class of one text at a time, in JSON."""
    algorithm = entry.algorithm
    kind = widget_of(algorithm, artifact.metadata)
    if kind != widgets.TEXT or JSON not in algorithm.accepted_media_types():
        raise InputError(
            f"{artifact.folder}: the review app asks about texts, and {algorithm.name} is asked by "
            f"the widget {kind}: `algoshelf serve {artifact.folder}` has a page for it"
        )
    if not isinstance(algorithm, Classifier):
        raise InputError(
            f"{artifact.folder}: the review app shows the class of a text and keeps corrections of "
            f"it, and {algorithm.name} answers otherwise: `algoshelf serve {artifact.folder}` has "
            "a page for it"
        )


def example(artifact: Artifact) -> str:
    """The text of a model's example; empty where it is none."""
    found = artifact.metadata.example
    if not found.content_type.startswith(JSON):
        return found.body.strip().split("\n")[0]
    try:
        value = json.loads(found.body)
        [first, *_] = value["instances"] if isinstance(value, dict) else value
        return first if isinstance(first, str) else str(next(iter(first.values())))
    except (ValueError, TypeError, KeyError, AttributeError, StopIteration):
        return ""


def write_for_endpoint(stack: Stack, target: Path) -> None:
    """Write the stack that asks ``stack.endpoint`` to the folder ``target``. Raises OutputError."""
    writing.check_free(target)
    files = {
        **_handler(stack, ""),
        f"{OWN}/core/container/{EVENTS}": Path(container.__file__).parent / EVENTS,
        **{f"{OWN}/{name}": b"" for name in EMPTY_OF_CORE},
        answering.FUNCTION: SCAFFOLD / "endpoint" / answering.FUNCTION,
    }
    _write(stack, target, files)


def write_with_model(stack: Stack, entry: Entry, artifact: Artifact, target: Path) -> None:
    """Write the stack whose function has the model ``artifact`` itself to the folder ``target``.

    Raises as ``answering.function`` does.
    """
    writing.check_free(target)
    own = _handler(stack, example(artifact))
    own[answering.FUNCTION] = filled(SCAFFOLD / "onnx" / answering.FUNCTION, entry).encode()
    with answering.function_files(entry, artifact, own) as files:
        _write(stack, target, files)


def digest(password: bytes) -> str:
    """What a template has of a password; "" of none."""
    return app.digest(password.decode("latin-1"), secrets.token_bytes(16)) if password else ""


def _handler(stack: Stack, example: str) -> Files:
    """The app's modules and the page, as they lie in a function."""
    here = Path(__file__).parent
    found: Files = {f"{OWN}/{name}": b"" for name in EMPTY}
    found.update({f"{OWN}/registry/web/{name}": here / name for name in MODULES})
    pages = site.files(stack.endpoint or stack.model, example)
    found.update({f"{app.SITE}/{name}": content for name, content in pages.items()})
    return found


def _write(stack: Stack, target: Path, files: Files) -> None:
    written = json.dumps(template(stack), indent=2).encode() + b"\n"
    writing.write_function(target, ARCHIVE, files, {TEMPLATE: written})
